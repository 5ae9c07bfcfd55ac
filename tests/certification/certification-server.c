/* SPDX-License-Identifier: Apache-2.0 */

/* A server of org.varlink.certification on the daemon's own layer: certification-server PATH. It
 * serves on a socket at PATH until SIGTERM. A process of the tests. */

#include "certification-values.h"
#include "log.h"
#include "service.h"

#include <signal.h>
#include <sys/un.h>

#define CLIENTS_MAX 100

extern const char varlink_org_varlink_certification[];

typedef struct Client {
        struct Client *next;
        char id[32];
} Client;

typedef struct Certification {
        Client *clients;
        unsigned n_started;
        unsigned n_passed; /* of Test11, which has no reply */
} Certification;

static Client *certification_find(Certification *c, const json_t *parameters) {
        const char *id = json_string_value(json_object_get(parameters, "client_id"));

        for (Client *client = c->clients; id && client; client = client->next)
                if (streq(client->id, id))
                        return client;
        return NULL;
}

static void certification_forget(Certification *c, Client *client) {
        Client **p = &c->clients;

        while (*p != client)
                p = &(*p)->next;
        *p = client->next;
        free(client);
}

static int reply_error(Call *call, const json_t *wants, json_t *got) {
        json_t *error = json_pack("{sOsO}", "wants", wants, "got", got);
        int r = error ? call_error(call, CERTIFICATION("CertificationError"), error) : -ENOMEM;

        json_decref(error);
        return r;
}

static int reply_value(Call *call, int test) {
        return call_reply_text(call, certification_values[test], strlen(certification_values[test]),
                               false);
}

static int method_start(Call *call, json_t *parameters, void *userdata) {
        Certification *c = userdata;
        Client *client = calloc(1, sizeof(*client));
        json_t *reply;
        int r;

        (void)parameters;
        if (!client)
                return -ENOMEM;
        snprintf(client->id, sizeof(client->id), "client-%u", ++c->n_started);
        client->next = c->clients;
        c->clients = client;

        reply = json_pack("{ss}", "client_id", client->id);
        r = reply ? call_reply(call, reply, false) : -ENOMEM;
        json_decref(reply);
        return r;
}

/* Are the parameters what the method before has replied? Replies with the error when they are not.
 */
static int check_parameters(Call *call, json_t *parameters, Certification *c, int test, bool *ret) {
        json_t *wants = json_loads(certification_values[test - 1], 0, NULL);
        json_t *got = json_copy(parameters);
        int r = 0;

        if (!wants || !got)
                r = -ENOMEM;
        else if (!certification_find(c, parameters))
                r = call_error(call, CERTIFICATION("ClientIdError"), NULL);
        else {
                json_object_del(got, "client_id");
                *ret = certification_equal(wants, got);
                if (!*ret)
                        r = reply_error(call, wants, got);
        }
        json_decref(wants);
        json_decref(got);
        return r;
}

/* Test01 … Test09: what came is the last reply, what goes is the next. */
static int method_step(Call *call, json_t *parameters, void *userdata) {
        int test = atoi(strrchr(call_method(call), 't') + 1), r;
        bool good = false;

        r = check_parameters(call, parameters, userdata, test, &good);
        return good && r == 0 ? reply_value(call, test) : r;
}

static int method_test10(Call *call, json_t *parameters, void *userdata) {
        bool good = false;
        int r;

        r = check_parameters(call, parameters, userdata, 10, &good);
        for (int i = 1; good && r == 0 && i <= CERTIFICATION_REPLIES; i++) {
                char text[64];
                int n = snprintf(text, sizeof(text), "{\"string\":\"Reply number %d\"}", i);

                r = call_reply_text(call, text, (size_t)n, i < CERTIFICATION_REPLIES);
        }
        return r;
}

static int method_test11(Call *call, json_t *parameters, void *userdata) {
        const json_t *replies = json_object_get(parameters, "last_more_replies");
        Certification *c = userdata;
        bool good = call_is_oneway(call) && json_array_size(replies) == CERTIFICATION_REPLIES;

        if (!certification_find(c, parameters))
                return call_error(call, CERTIFICATION("ClientIdError"), NULL);
        for (size_t i = 0; good && i < CERTIFICATION_REPLIES; i++) {
                const char *reply = json_string_value(json_array_get(replies, i));
                char text[64];

                snprintf(text, sizeof(text), "Reply number %zu", i + 1);
                good = reply && streq(reply, text);
        }

        printf("Test11: %s\n", good ? "passed" : "failed");
        fflush(stdout);
        c->n_passed += good;
        return good ? call_reply(call, NULL, false)
                    : call_error(call, CERTIFICATION("CertificationError"), NULL);
}

static int method_end(Call *call, json_t *parameters, void *userdata) {
        Certification *c = userdata;
        Client *client = certification_find(c, parameters);

        if (!client)
                return call_error(call, CERTIFICATION("ClientIdError"), NULL);
        certification_forget(c, client);
        return call_reply_text(call, "{\"all_ok\":true}", 15, false);
}

static const Method methods[] = {
        { "Start", method_start, 0, NULL },
        { "Test01", method_step, 0, NULL },
        { "Test02", method_step, 0, NULL },
        { "Test03", method_step, 0, NULL },
        { "Test04", method_step, 0, NULL },
        { "Test05", method_step, 0, NULL },
        { "Test06", method_step, 0, NULL },
        { "Test07", method_step, 0, NULL },
        { "Test08", method_step, 0, NULL },
        { "Test09", method_step, 0, NULL },
        { "Test10", method_test10, METHOD_MORE_REQUIRED, NULL },
        { "Test11", method_test11, 0, NULL },
        { "End", method_end, 0, NULL },
        { 0 },
};

static const Interface interface = {
        .name = "org.varlink.certification",
        .description = varlink_org_varlink_certification,
        .methods = methods,
};

static const Interface *const interfaces[] = { &interface, NULL };

static const ServiceInfo info = { "forkd", "certification", FORKD_VERSION, "https://varlink.org" };

static int listen_at(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(fd, 16) < 0) {
                int r = -errno;

                close_fd(fd);
                return r;
        }
        return fd;
}

static int serve(const char *path, Certification *c) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(service_freep) Service *service = NULL;
        sigset_t signals;
        int r, fd;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigprocmask(SIG_BLOCK, &signals, NULL);

        r = sd_event_new(&event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
        if (r < 0)
                return r;
        r = service_new(&service, event, &info, interfaces, &SERVICE_LIMITS_DEFAULT, c);
        if (r < 0)
                return r;
        fd = listen_at(path);
        if (fd < 0)
                return fd;
        r = service_listen(service, fd);
        if (r < 0)
                return r;

        printf("ready\n");
        fflush(stdout);
        r = sd_event_loop(event);
        unlink(path);
        return r;
}

int main(int argc, char **argv) {
        Certification c = { 0 };
        int r;

        if (argc != 2) {
                fprintf(stderr, "usage: %s PATH\n", argv[0]);
                return 2;
        }
        r = serve(argv[1], &c);
        if (r < 0)
                log_error_errno(r, "cannot serve at %s", argv[1]);
        while (c.clients)
                certification_forget(&c, c.clients);
        return r < 0 ? 1 : 0;
}
