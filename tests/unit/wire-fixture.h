/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A service on a loop of its own, with an interface made to be tried, and clients that are plain
 * sockets of the same process. Nothing sleeps: whoever waits turns the loop. */

#include "service.h"
#include "stream.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define KEPT_MAX        64
#define TURN_GUARD      (10 * USEC_PER_SEC)
#define CALL(m)         "{\"method\":\"org.test.wire." m "\"}"
#define CALL_WITH(m, p) "{\"method\":\"org.test.wire." m "\",\"parameters\":" p "}"

typedef struct Fixture {
        sd_event *event;
        Service *service;
        Call *kept[KEPT_MAX]; /* by Later and More, in the order they came; NULL once gone */
        size_t n_kept;
        size_t n_gone;             /* calls */
        size_t n_connections_gone; /* connections */
        size_t n_fds_before;
} Fixture;

static inline size_t count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

/* ---- the interface */

static inline int on_echo(Call *call, json_t *parameters, void *userdata) {
        (void)userdata;
        return call_reply(call, parameters, false);
}

static inline void on_kept_gone(Call *call, void *userdata) {
        Fixture *f = userdata;

        for (size_t i = 0; i < f->n_kept; i++)
                if (f->kept[i] == call)
                        f->kept[i] = NULL;
        f->n_gone++;
}

static inline int on_later(Call *call, json_t *parameters, void *userdata) {
        Fixture *f = userdata;

        (void)parameters;
        assert_true(f->n_kept < KEPT_MAX);
        f->kept[f->n_kept++] = call;
        call_set_gone(call, on_kept_gone, f);
        return 0;
}

static inline int on_count(Call *call, json_t *parameters, void *userdata) {
        json_int_t n = json_integer_value(json_object_get(parameters, "n"));

        (void)userdata;
        for (json_int_t i = 0; i <= n; i++) {
                json_t *reply = json_pack("{sI}", "i", i);
                int r = call_reply(call, reply, i < n);

                json_decref(reply);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Says which descriptors it got, after it was asked for one it has not. */
static inline int on_descriptors(Call *call, json_t *parameters, void *userdata) {
        json_int_t index = json_integer_value(json_object_get(parameters, "index"));
        json_t *reply;
        int fd = call_take_fd(call, (size_t)index), r;

        (void)userdata;
        if (fd < 0)
                return call_invalid_parameter(call, "index", "there is no descriptor %lld",
                                              (long long)index);
        assert_int_equal(call_fd(call, (size_t)index), -EBADF);
        assert_int_equal(call_take_fd(call, (size_t)index), -EBADF);
        reply = json_pack("{sI}", "n", (json_int_t)call_n_fds(call));
        r = call_reply_fds(call, reply, &fd, 1);
        json_decref(reply);
        close_fd(fd);
        return r;
}

static inline int on_large(Call *call, json_t *parameters, void *userdata) {
        size_t n = (size_t)json_integer_value(json_object_get(parameters, "bytes"));
        char *text = malloc(n + 16);
        size_t length;
        int r;

        (void)userdata;
        length = (size_t)sprintf(text, "{\"x\":\"");
        memset(text + length, 'x', n);
        length += n;
        length += (size_t)sprintf(text + length, "\"}");
        r = call_reply_text(call, text, length, false);
        free(text);
        if (r == -EMSGSIZE) /* the call still stands */
                r = call_invalid_parameter(call, "bytes", "%zu bytes fit no message", n);
        return r;
}

static inline int on_fault(Call *call, json_t *parameters, void *userdata) {
        (void)call;
        (void)parameters;
        (void)userdata;
        return -ENOMEM;
}

static inline int on_captures(Call *call, json_t *parameters, void *userdata) {
        json_t *list = json_array(), *reply;
        int r;

        (void)userdata;
        for (size_t i = 0; i < call_n_captured(call); i++) {
                size_t n;
                const char *text = call_captured(call, i, &n);

                json_array_append_new(list, json_stringn(text, n));
        }
        reply = json_pack("{soso}", "captured", list, "rest", json_incref(parameters));
        r = call_reply(call, reply, false);
        json_decref(reply);
        return r;
}

/* The parameters are there until the function returns, even after the answer. */
static inline int on_use_after(Call *call, json_t *parameters, void *userdata) {
        int r = call_reply(call, NULL, false);

        (void)userdata;
        assert_int_equal(json_integer_value(json_object_get(parameters, "a")), 1);
        return r;
}

static inline int on_denied(Call *call, json_t *parameters, void *userdata) {
        const char *text = json_string_value(json_object_get(parameters, "text"));

        (void)userdata;
        return call_permission_denied(call, "uid %u may not: %s\xff", 7, text ? text : "");
}

static const char *const wire_captures[] = { "parameters/arguments", "parameters/jobs/*/arguments",
                                             NULL };

static const Method wire_methods[] = {
        { "Echo", on_echo, 0, NULL },
        { "Later", on_later, 0, NULL },
        { "More", on_later, METHOD_MORE_REQUIRED, NULL },
        { "Count", on_count, METHOD_MORE_REQUIRED, NULL },
        { "Descriptors", on_descriptors, METHOD_DESCRIPTORS, NULL },
        { "Large", on_large, 0, NULL },
        { "Fault", on_fault, 0, NULL },
        { "Captures", on_captures, 0, wire_captures },
        { "UseAfter", on_use_after, 0, NULL },
        { "Denied", on_denied, 0, NULL },
        { 0 },
};

static const Interface wire_interface = {
        .name = "org.test.wire",
        .description = "interface org.test.wire\n"
                       "# method Comment() -> ()\n"
                       "method Absent() -> ()\n"
                       "  method  AbsentToo(a: int)->()\n"
                       "method Echo() -> ()\n",
        .methods = wire_methods,
};

static const Interface *const wire_interfaces[] = { &wire_interface, NULL };
static const ServiceInfo wire_info = { "vendor", "product", "1", "https://example.org" };

/* ---- the service */

static inline void on_connection_gone(Connection *connection, void *userdata) {
        Fixture *f = userdata;

        assert_non_null(connection_peer(connection));
        f->n_connections_gone++;
}

static inline Fixture *fixture_new(const ServiceLimits *limits) {
        Fixture *f = calloc(1, sizeof(*f));

        f->n_fds_before = count_fds();
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(service_new(&f->service, f->event, &wire_info, wire_interfaces, limits, f),
                         0);
        service_set_connection_gone(f->service, on_connection_gone);
        return f;
}

static inline int setup(void **state) {
        *state = fixture_new(&SERVICE_LIMITS_DEFAULT);
        return 0;
}

static inline int teardown(void **state) {
        Fixture *f = *state;

        service_free(f->service);
        sd_event_unref(f->event);
        assert_int_equal(count_fds(), f->n_fds_before);
        free(f);
        return 0;
}

/* Turns the loop once; that something happens is due within the guard. */
static inline void turn(Fixture *f) {
        assert_true(sd_event_run(f->event, TURN_GUARD) > 0);
}

/* Turns the loop until there is nothing to do. */
static inline void settle(Fixture *f) {
        while (sd_event_run(f->event, 0) > 0)
                ;
}

/* ---- clients */

static inline int client_new(Fixture *f) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], NULL), 0);
        return pair[0];
}

static inline void client_send_bytes(int fd, const char *bytes, size_t n) {
        assert_int_equal(send(fd, bytes, n, MSG_NOSIGNAL), n);
}

static inline void client_send(int fd, const char *text) {
        client_send_bytes(fd, text, strlen(text) + 1);
}

/* Sends with n_fds duplicates of descriptor 2: of fd itself they would keep it open while unread.
 */
static inline void client_send_fds(int fd, const char *bytes, size_t n, size_t n_fds) {
        char control[CMSG_SPACE(sizeof(int) * 64)] = { 0 };
        struct iovec iov = { (void *)bytes, n };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds) };
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (size_t i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){ STDERR_FILENO }, sizeof(int));
        assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), n);
}

/* Up to size bytes or one message, whichever is shorter; 0 at the end, with descriptors closed. */
static inline size_t client_receive_fds(Fixture *f, int fd, char *text, size_t size,
                                        size_t *ret_n_fds) {
        size_t n = 0;

        *ret_n_fds = 0;
        while (n < size) {
                char control[CMSG_SPACE(sizeof(int) * 64)];
                struct iovec iov = { text + n, 1 };
                struct msghdr m = { .msg_iov = &iov,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control) };
                ssize_t k = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                struct cmsghdr *c;

                if (k < 0 && errno == EAGAIN) {
                        turn(f);
                        continue;
                }
                if (k <= 0)
                        return 0;
                c = CMSG_FIRSTHDR(&m);
                for (size_t i = 0; c && CMSG_LEN((i + 1) * sizeof(int)) <= c->cmsg_len; i++) {
                        close_fd(((int *)CMSG_DATA(c))[i]);
                        ++*ret_n_fds;
                }
                if (text[n++] == 0)
                        break;
        }
        return n;
}

static inline size_t client_receive(Fixture *f, int fd, char *text, size_t size) {
        size_t n_fds, n = client_receive_fds(f, fd, text, size, &n_fds);

        assert_int_equal(n_fds, 0);
        return n;
}

/* The next reply is this. */
static inline void client_expect(Fixture *f, int fd, const char *expected) {
        char text[4096];

        assert_true(client_receive(f, fd, text, sizeof(text)) > 0);
        assert_string_equal(text, expected);
}

/* The next reply is this error, with this in its parameters; NULL: without looking. */
static inline void client_expect_error(Fixture *f, int fd, const char *error, const char *key,
                                       const char *value) {
        char text[4096];
        json_t *json;

        assert_true(client_receive(f, fd, text, sizeof(text)) > 0);
        json = json_loads(text, 0, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "error")), error);
        if (key)
                assert_string_equal(json_string_value(json_object_get(
                                            json_object_get(json, "parameters"), key)),
                                    value);
        json_decref(json);
}

/* The service closes it, and has sent nothing more. */
static inline void client_expect_end(Fixture *f, int fd) {
        char text[4096];

        assert_int_equal(client_receive(f, fd, text, sizeof(text)), 0);
}

static inline void client_close(Fixture *f, int fd) {
        size_t gone = f->n_connections_gone;

        close_fd(fd);
        while (f->n_connections_gone == gone)
                turn(f);
}
