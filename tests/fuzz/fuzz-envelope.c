/* SPDX-License-Identifier: Apache-2.0 */

/* A whole connection: what a client sends, in pieces, and then half-closes. Each call before the
 * first message that is none must be answered once, unless it was oneway, and nothing else may
 * come. The first byte of the input says how long the pieces are. */

#include "service.h"

#include <sys/socket.h>

#define INPUT_MAX ((size_t)64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good, const char *what) {
        if (!good) {
                fprintf(stderr, "the connection is wrong: %s\n", what);
                abort();
        }
}

/* ---- the service */

typedef struct State {
        sd_event *event;
        Call *later;
} State;

static int on_echo(Call *call, json_t *parameters, void *userdata) {
        (void)userdata;
        return call_reply(call, parameters, false);
}

static int on_captures(Call *call, json_t *parameters, void *userdata) {
        (void)parameters;
        (void)userdata;
        for (size_t i = 0; i < call_n_captured(call); i++) {
                size_t length;
                const char *text = call_captured(call, i, &length);
                json_t *json = json_loadb(text, length, 0, NULL);

                check(json_is_object(json), "a capture that is no object");
                json_decref(json);
        }
        return call_reply(call, NULL, false);
}

static int on_later(Call *call, json_t *parameters, void *userdata) {
        State *state = userdata;

        (void)parameters;
        check(!state->later, "two calls at once");
        state->later = call;
        return 0;
}

static const Method methods[] = {
        { "Echo", on_echo, 0, NULL },
        { "Captures", on_captures, 0,
          (const char *const[]){ "parameters/arguments", "parameters/jobs/*/arguments", NULL } },
        { "Later", on_later, 0, NULL },
        { "More", on_echo, METHOD_MORE_REQUIRED, NULL },
        { 0 },
};

static const Interface interface = { "a.b", "interface a.b\nmethod None() -> ()\n", methods };
static const Interface *const interfaces[] = { &interface, NULL };
static const ServiceInfo info = { "v", "p", "1", "u" };

/* ---- what has to come */

static bool flag_is_valid(const json_t *flag, int *n_true) {
        *n_true += json_is_true(flag);
        return !flag || json_is_boolean(flag);
}

/* Is it a call, by the rules as they are written? */
static bool is_call(const char *text, size_t length, bool *ret_oneway) {
        json_t *call = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL), *parameters;
        bool valid = json_is_string(json_object_get(call, "method"));
        int n_true = 0;
        const char *key;
        json_t *value;

        parameters = json_object_get(call, "parameters");
        valid = valid && (!parameters || json_is_object(parameters) || json_is_null(parameters));
        valid = valid && flag_is_valid(json_object_get(call, "more"), &n_true);
        valid = valid && flag_is_valid(json_object_get(call, "upgrade"), &n_true);
        valid = valid && flag_is_valid(json_object_get(call, "oneway"), &n_true) && n_true <= 1;
        json_object_foreach (call, key, value)
                if (strcmp(key, "method") && strcmp(key, "parameters") && strcmp(key, "more") &&
                    strcmp(key, "upgrade") && strcmp(key, "oneway") && !strchr(key, '.'))
                        valid = false;
        *ret_oneway = json_is_true(json_object_get(call, "oneway"));
        json_decref(call);
        return valid;
}

static size_t count_expected(const char *bytes, size_t size) {
        size_t n = 0;

        for (;;) {
                const char *nul = memchr(bytes, 0, size);
                size_t length = nul ? (size_t)(nul - bytes) : 0;
                bool oneway;
                Scan scan;
                int r;

                if (!nul)
                        return n;
                r = scan_text(bytes, length, NULL, &scan);
                scan_done(&scan);
                if (r == SCAN_E_DEPTH || r == SCAN_E_VALUES || !is_call(bytes, length, &oneway))
                        return n;
                n += !oneway;
                bytes += length + 1;
                size -= length + 1;
        }
}

/* ---- the client */

static void settle(State *state) {
        do {
                while (sd_event_run(state->event, 0) > 0)
                        ;
                if (!state->later)
                        break;
                check(call_reply(steal(state->later), NULL, false) == 0, "no reply");
        } while (true);
}

typedef struct Replies {
        char bytes[256 * 1024];
        size_t length;
        size_t n;
        bool ended;
} Replies;

static void receive(int fd, Replies *replies) {
        ssize_t n;

        while ((n = recv(fd, replies->bytes + replies->length,
                         sizeof(replies->bytes) - replies->length, MSG_DONTWAIT)) > 0) {
                char *nul;

                replies->length += (size_t)n;
                while ((nul = memchr(replies->bytes, 0, replies->length))) {
                        size_t length = (size_t)(nul - replies->bytes);
                        json_t *json =
                                json_loadb(replies->bytes, length, JSON_REJECT_DUPLICATES, NULL);

                        check(json_is_object(json), "a reply that is no object");
                        json_decref(json);
                        memmove(replies->bytes, nul + 1, replies->length - length - 1);
                        replies->length -= length + 1;
                        replies->n++;
                }
        }
        if (n == 0 || errno != EAGAIN)
                replies->ended = true;
}

static int next_fd(void) {
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

        close_fd(fd);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Replies replies;
        int before = next_fd(), pair[2];
        State state = { 0 };
        Service *service;
        size_t expected, piece;

        if (size < 2 || size > INPUT_MAX)
                return 0;
        piece = data[0] ? (size_t)data[0] * data[0] : 1;
        data++;
        size--;
        expected = count_expected((const char *)data, size);
        replies.length = replies.n = 0;
        replies.ended = false;

        check(sd_event_new(&state.event) >= 0, "no loop");
        check(service_new(&service, state.event, &info, interfaces, &SERVICE_LIMITS_DEFAULT,
                          &state) == 0,
              "no service");
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket");
        check(service_add_connection(service, pair[1], NULL) == 0, "no connection");

        for (size_t sent = 0; sent < size && !replies.ended;) {
                size_t n = piece < size - sent ? piece : size - sent;
                ssize_t k = send(pair[0], data + sent, n, MSG_DONTWAIT | MSG_NOSIGNAL);

                sent += k > 0 ? (size_t)k : 0;
                settle(&state);
                receive(pair[0], &replies);
        }
        (void)shutdown(pair[0], SHUT_WR);
        while (!replies.ended) {
                settle(&state);
                receive(pair[0], &replies);
        }

        check(replies.n == expected, "a reply too many or too few");
        check(replies.length == 0, "half a reply");
        settle(&state);
        check(service_n_connections(service) == 0, "the connection is still there");

        close_fd(pair[0]);
        service_free(service);
        sd_event_unref(state.event);
        check(next_fd() == before, "a descriptor is left");
        return 0;
}
