/* SPDX-License-Identifier: Apache-2.0 */

/* A client of org.varlink.certification on the stream that libforkd uses: certification-client
 * PATH. Exits 0 when every test has passed. A process of the tests. */

#include "certification-values.h"
#include "stream.h"

#include <jansson.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ANSWER_TIMEOUT_MS 20000

static int connect_to(const char *path, Stream **ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                int r = -errno;

                close_fd(fd);
                return r;
        }
        return stream_new(ret, fd, SIZE_MAX, false);
}

static int send_call(Stream *s, const char *method, json_t *parameters, const char *flag) {
        json_t *call = json_pack("{sssO}", "method", method, "parameters", parameters);
        _cleanup_(freep) char *text = NULL;

        if (call && flag)
                json_object_set_new(call, flag, json_true());
        text = call ? json_dumps(call, JSON_COMPACT) : NULL;
        json_decref(call);
        return text ? stream_write(s, text, strlen(text), NULL, 0) : -ENOMEM;
}

/* The parameters of the next reply; those of an error are printed, and are -EREMOTEIO. */
static int receive_reply(Stream *s, json_t **ret, bool *ret_continues) {
        StreamMessage message;
        json_t *reply;
        int r;

        while ((r = stream_next(s, &message)) == STREAM_E_AGAIN) {
                struct pollfd poll_fd = { stream_fd(s), POLLIN, 0 };

                if (poll(&poll_fd, 1, ANSWER_TIMEOUT_MS) != 1)
                        return -ETIMEDOUT;
                r = stream_read(s);
                if (r != 0 && r != STREAM_E_AGAIN)
                        return r;
        }
        if (r != 0)
                return r;

        reply = json_loadb(message.text, message.length, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(reply) || json_object_get(reply, "error")) {
                fprintf(stderr, "%s\n", message.text);
                json_decref(reply);
                reply = NULL;
        }
        stream_message_done(&message);
        if (!reply)
                return -EREMOTEIO;

        *ret_continues = json_is_true(json_object_get(reply, "continues"));
        *ret = json_incref(json_object_get(reply, "parameters"));
        json_decref(reply);
        return 0;
}

static int exchange(Stream *s, const char *method, json_t *parameters, json_t **ret) {
        bool continues;
        int r;

        r = send_call(s, method, parameters, NULL);
        if (r != 0)
                return r;
        r = receive_reply(s, ret, &continues);
        return r == 0 && continues ? -EBADMSG : r;
}

/* Ten replies that continue but for the last; returns them as Test11 wants them. */
static int exchange_more(Stream *s, json_t *parameters, json_t *replies) {
        bool continues = true;
        int r;

        r = send_call(s, CERTIFICATION("Test10"), parameters, "more");
        while (r == 0 && continues) {
                json_t *reply = NULL;

                r = receive_reply(s, &reply, &continues);
                if (r == 0)
                        json_array_append(replies, json_object_get(reply, "string"));
                json_decref(reply);
        }
        return r == 0 && json_array_size(replies) != CERTIFICATION_REPLIES ? -EBADMSG : r;
}

/* Start, Test01 … Test09: parameters become the reply of each, with the id. */
static int run_steps(Stream *s, json_t *id, json_t **parameters) {
        for (int i = 1; i <= 9; i++) {
                json_t *wants = json_loads(certification_values[i], 0, NULL), *reply = NULL;
                char method[64];
                bool good;
                int r;

                snprintf(method, sizeof(method), CERTIFICATION("Test%02d"), i);
                r = exchange(s, method, *parameters, &reply);
                good = r == 0 && (i == 9 || certification_equal(wants, reply));
                json_decref(wants);
                printf("Test%02d: %s\n", i, good ? "passed" : "failed");
                if (!good) {
                        json_decref(reply);
                        return r != 0 ? r : -EBADMSG;
                }
                json_object_set(reply, "client_id", id);
                json_decref(*parameters);
                *parameters = reply;
        }
        return 0;
}

static int run_last(Stream *s, json_t *id, json_t *parameters) {
        json_t *replies = json_array(), *last, *ended = NULL;
        int r;

        r = exchange_more(s, parameters, replies);
        printf("Test10: %s\n", r == 0 ? "passed" : "failed");
        last = json_pack("{sOso}", "client_id", id, "last_more_replies", replies);
        if (r == 0)
                r = send_call(s, CERTIFICATION("Test11"), last, "oneway");
        json_decref(last);
        if (r != 0)
                return r;

        last = json_pack("{sO}", "client_id", id);
        r = exchange(s, CERTIFICATION("End"), last, &ended);
        if (r == 0 && !json_is_true(json_object_get(ended, "all_ok")))
                r = -EBADMSG;
        printf("End: %s\n", r == 0 ? "passed" : "failed");
        json_decref(last);
        json_decref(ended);
        return r;
}

static int run_tests(Stream *s) {
        json_t *nothing = json_object(), *parameters = NULL, *id;
        int r;

        r = exchange(s, CERTIFICATION("Start"), nothing, &parameters);
        json_decref(nothing);
        if (r != 0)
                return r;
        id = json_incref(json_object_get(parameters, "client_id"));
        if (!json_is_string(id))
                r = -EBADMSG;

        if (r == 0)
                r = run_steps(s, id, &parameters);
        if (r == 0)
                r = run_last(s, id, parameters);
        json_decref(parameters);
        json_decref(id);
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(stream_freep) Stream *s = NULL;
        int r;

        if (argc != 2) {
                fprintf(stderr, "usage: %s PATH\n", argv[0]);
                return 2;
        }
        r = connect_to(argv[1], &s);
        if (r == 0)
                r = run_tests(s);
        if (r != 0)
                fprintf(stderr, "certification failed: %s\n",
                        r < 0 ? strerror(-r) : "the stream came to its end");
        return r == 0 ? 0 : 1;
}
