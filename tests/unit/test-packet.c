/* SPDX-License-Identifier: Apache-2.0 */

/* Packets over a socketpair: what comes out is what went in, what is no packet is refused, and no
 * descriptor stays behind either way. The payload (arguments, value) is found and left alone. */

#include "basic.h"

#include "json-span.h"
#include "packet.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cmocka.h>

typedef struct State {
        int pair[2];
        int n_fds;
} State;

static int count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int setup(void **state) {
        State *s = calloc(1, sizeof(State));

        s->n_fds = count_fds();
        *state = s;
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s->pair);
}

static int teardown(void **state) {
        State *s = *state;
        int left;

        close(s->pair[0]);
        close(s->pair[1]);
        left = count_fds() - s->n_fds;
        free(s);
        return left;
}

static void test_round_trip(void **state) {
        State *s = *state;
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *parameters = json_pack("{si,si,sn}", "first", 0, "second", 1, "none");
        int fds[2] = { open("/dev/null", O_RDONLY | O_CLOEXEC),
                       open("/dev/zero", O_RDONLY | O_CLOEXEC) };
        char byte = 1;
        int fd;

        assert_int_equal(packet_send(s->pair[0], "Do", parameters, fds, 2), 0);
        json_decref(parameters);
        close(fds[0]);
        close(fds[1]);

        assert_int_equal(packet_receive(s->pair[1], &p), 0);
        assert_string_equal(p.method, "Do");
        assert_string_equal(
                p.text,
                "{\"method\":\"Do\",\"parameters\":{\"first\":0,\"second\":1,\"none\":null}}");
        assert_int_equal(p.length, strlen(p.text));
        assert_int_equal(p.n_fds, 2);
        assert_null(p.captured);
        assert_true(fcntl(p.fds[0], F_GETFD) & FD_CLOEXEC);
        fd = packet_take_fd(&p, "second");
        assert_int_equal(read(fd, &byte, 1), 1);
        assert_int_equal(byte, 0);
        close(fd);
        assert_int_equal(packet_take_fd(&p, "second"), -EBADF); /* taken */
        assert_int_equal(packet_take_fd(&p, "none"), -ENOENT);
        assert_int_equal(packet_take_fd(&p, "absent"), -ENOENT);
        assert_int_equal(packet_receive(s->pair[1], &(Packet){ 0 }), PACKET_E_AGAIN);
}

static void test_bad_index(void **state) {
        State *s = *state;
        static const char text[] =
                "{\"method\":\"x\",\"parameters\":{\"a\":0,\"b\":-1,\"c\":\"0\",\"d\":0.0}}";
        _cleanup_(packet_done) Packet p = PACKET_NULL;

        assert_int_equal(packet_send_text(s->pair[0], text, strlen(text), NULL, 0), 0);
        assert_int_equal(packet_receive(s->pair[1], &p), 0);
        for (const char *name = "a\0b\0c\0d\0"; *name; name += 2)
                assert_int_equal(packet_take_fd(&p, name), -EBADF);
}

static void test_captured(void **state) {
        State *s = *state;
        static const struct {
                const char *text, *captured;
        } cases[] = {
                { "{\"method\":\"x\",\"parameters\":{\"value\":{\"a\":[1,{}]},\"z\":1}}",
                  "{\"a\":[1,{}]}" },
                { "{\"parameters\":{\"a\":{\"value\":{}},\"arguments\" : {\"v\":\"}\\\"\"} },\"method\":\"x\"}",
                  "{\"v\":\"}\\\"\"}" },
                { "{\"method\":\"x\",\"parameters\":{\"value\":[{}]}}", NULL },
                { "{\"method\":\"x\",\"parameters\":{\"value\":7}}", NULL },
                { "{\"method\":\"x\",\"value\":{},\"arguments\":{}}", NULL },
                { "{\"method\":\"x\",\"parameters\":null}", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                assert_int_equal(
                        packet_send_text(s->pair[0], cases[i].text, strlen(cases[i].text), NULL, 0),
                        0);
                assert_int_equal(packet_receive(s->pair[1], &p), 0);
                assert_true(json_is_object(p.parameters));
                if (!cases[i].captured) {
                        assert_null(p.captured);
                        continue;
                }
                assert_int_equal(p.captured_length, strlen(cases[i].captured));
                assert_memory_equal(p.captured, cases[i].captured, p.captured_length);
        }
}

static void test_captured_stands_as_zero(void **state) {
        State *s = *state;
        static const char text[] =
                "{\"method\":\"x\",\"parameters\":{\"value\":{\"a\":1},\"z\":5}}";
        _cleanup_(packet_done) Packet p = PACKET_NULL;

        assert_int_equal(packet_send_text(s->pair[0], text, strlen(text), NULL, 0), 0);
        assert_int_equal(packet_receive(s->pair[1], &p), 0);
        assert_true(json_is_integer(json_object_get(p.parameters, "value")));
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "value")), 0);
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "z")), 5);
}

static void test_invalid(void **state) {
        State *s = *state;
        static const char *const cases[] = {
                "{",
                "[]",
                "x",
                "{}",
                "{\"method\":1}",
                "{\"method\":\"a\",\"parameters\":[]}",
                "{\"method\":\"a\"}{}",
                "{\"method\":\"a\",\"method\":\"b\"}",
                "{\"memfd\":true}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\"}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":01}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":\"\xff\"}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":\"\\ud800\"}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":\"\\u0000\"}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":1e999}}}",
                "{\"method\":\"a\",\"parameters\":{\"value\":{\"x\":9223372036854775808}}}",
        };
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Packet p = PACKET_NULL;

                assert_int_equal(packet_send_text(s->pair[0], cases[i], strlen(cases[i]), &fd, 1),
                                 0);
                assert_int_equal(packet_receive(s->pair[1], &p), PACKET_E_INVALID);
                assert_int_equal(p.n_fds, 0);
        }
        close(fd);
}

static char *filler(size_t length) {
        static const char head[] = "{\"method\":\"Big\",\"parameters\":{\"x\":\"", tail[] = "\"}}";
        char *text = malloc(length + 1);

        memset(text, 'x', length);
        memcpy(text, head, sizeof(head) - 1);
        memcpy(text + length - (sizeof(tail) - 1), tail, sizeof(tail));
        return text;
}

static void test_sizes(void **state) {
        State *s = *state;
        static const size_t sizes[] = { PACKET_INLINE_MAX - 1, PACKET_INLINE_MAX,
                                        PACKET_INLINE_MAX + 1, 1 << 20 };
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                _cleanup_(freep) char *text = filler(sizes[i]);

                assert_int_equal(packet_send_text(s->pair[0], text, sizes[i], &fd, 1), 0);
                assert_int_equal(packet_receive(s->pair[1], &p), 0);
                assert_string_equal(p.method, "Big");
                assert_int_equal(p.length, sizes[i]);
                assert_memory_equal(p.text, text, sizes[i]);
                assert_int_equal(p.n_fds, 1); /* the memfd is not the receiver's business */
        }
        close(fd);
}

static void test_too_large(void **state) {
        State *s = *state;
        _cleanup_(freep) char *text = filler(PACKET_MAX + 1);

        assert_int_equal(packet_send_text(s->pair[0], text, PACKET_MAX + 1, NULL, 0), -EMSGSIZE);
        assert_int_equal(packet_receive(s->pair[1], &(Packet){ 0 }), PACKET_E_AGAIN);
}

/* Somebody else's idea of a memfd. */
static void test_hostile_memfd(void **state) {
        State *s = *state;
        static const char text[] = "{\"memfd\":true}", content[] = "{\"method\":\"x\"}";
        int plain = open("/dev/zero", O_RDONLY | O_CLOEXEC);
        int unsealed = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int nested = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int empty = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int huge = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        int all[] = { plain, unsealed, nested, empty, huge };

        assert_int_equal(write(unsealed, content, strlen(content)), strlen(content));
        assert_int_equal(write(nested, text, strlen(text)), strlen(text));
        assert_int_equal(ftruncate(huge, (off_t)PACKET_MAX + 1), 0);
        for (size_t i = 2; i < ELEMENTSOF(all); i++)
                assert_int_equal(
                        fcntl(all[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), 0);
        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                assert_int_equal(packet_send_text(s->pair[0], text, strlen(text), &all[i], 1), 0);
                assert_int_equal(packet_receive(s->pair[1], &(Packet){ 0 }), PACKET_E_INVALID);
                close(all[i]);
        }
}

/* More than a packet may carry, from a sender that does not use our code. */
static void test_too_many_descriptors(void **state) {
        State *s = *state;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 40)];
        } control = { 0 };
        struct iovec iov = { .iov_base = (char[]){ "{\"method\":\"x\"}" }, .iov_len = 14 };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };

        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * 40);
        for (int i = 0; i < 40; i++) {
                int zero = 0;

                memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &zero, sizeof(int));
        }
        assert_int_equal(sendmsg(s->pair[0], &m, MSG_NOSIGNAL), 14);
        assert_int_equal(packet_receive(s->pair[1], &(Packet){ 0 }), PACKET_E_INVALID);
}

static void test_full_and_closed(void **state) {
        State *s = *state;
        int r = 0, n = 0, extra[2];

        while (r == 0) {
                r = packet_send_text(s->pair[0], "{\"method\":\"x\"}", 14, NULL, 0);
                n += r == 0;
        }
        assert_int_equal(r, PACKET_E_AGAIN);
        while (n-- > 0) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                assert_int_equal(packet_receive(s->pair[1], &p), 0);
        }
        assert_int_equal(packet_receive(s->pair[1], &(Packet){ 0 }), PACKET_E_AGAIN);

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, extra), 0);
        close(extra[0]);
        assert_int_equal(packet_receive(extra[1], &(Packet){ 0 }), PACKET_E_CLOSED);
        assert_int_equal(packet_send_text(extra[1], "{\"method\":\"x\"}", 14, NULL, 0),
                         PACKET_E_CLOSED);
        close(extra[1]);
}

/* One that ends without having read all: the kernel says ECONNRESET first, once, and what the other
 * end had sent before is still there. */
static void test_closed_with_unread_packets(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(packet_send_text(pair[0], "{\"method\":\"Cancel\"}", 19, NULL, 0), 0);
        assert_int_equal(packet_send_text(pair[1], "{\"method\":\"Returned\"}", 21, NULL, 0), 0);
        close(pair[1]);
        assert_int_equal(packet_receive(pair[0], &p), 0);
        assert_string_equal(p.method, "Returned");
        assert_int_equal(packet_receive(pair[0], &(Packet){ 0 }), PACKET_E_CLOSED);
        close(pair[0]);
}

static char *nested_text(size_t depth) {
        char *text = malloc(2 * depth + 64), *p = text;

        p += sprintf(p, "{\"a\":");
        memset(p, '[', depth);
        memset(p + depth, ']', depth);
        strcpy(p + 2 * depth, "}");
        return text;
}

static void test_span_limits(void **state) {
        JsonSpan span = JSON_SPAN_NULL;
        char *text, *p;

        (void)state;
        text = nested_text(JSON_SPAN_DEPTH_MAX - 1);
        assert_int_equal(json_span_find(text, strlen(text), &span), 0);
        free(text);
        text = nested_text(JSON_SPAN_DEPTH_MAX);
        assert_int_equal(json_span_find(text, strlen(text), &span), JSON_SPAN_E_INVALID);
        free(text);

        /* {"a":[0,0,…]}: the object and the array are values too */
        text = p = malloc(2 * JSON_SPAN_VALUES_MAX + 64);
        p += sprintf(p, "{\"a\":[");
        for (size_t i = 0; i < JSON_SPAN_VALUES_MAX - 2; i++)
                p += sprintf(p, i ? ",0" : "0");
        strcpy(p, "]}");
        assert_int_equal(json_span_find(text, strlen(text), &span), 0);
        strcpy(p, ",0]}");
        assert_int_equal(json_span_find(text, strlen(text), &span), JSON_SPAN_E_INVALID);
        free(text);
}

int main(void) {
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_PAIR(test_round_trip),
                WITH_PAIR(test_bad_index),
                WITH_PAIR(test_captured),
                WITH_PAIR(test_captured_stands_as_zero),
                WITH_PAIR(test_invalid),
                WITH_PAIR(test_sizes),
                WITH_PAIR(test_too_large),
                WITH_PAIR(test_hostile_memfd),
                WITH_PAIR(test_too_many_descriptors),
                WITH_PAIR(test_full_and_closed),
                WITH_PAIR(test_closed_with_unread_packets),
                cmocka_unit_test(test_span_limits),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
