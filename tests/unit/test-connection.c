/* SPDX-License-Identifier: Apache-2.0 */

/* How connections of a service come to their end, and what holds against clients that are slow,
 * silent, rude, gone or greedy. */

#include "wire-fixture.h"

#include <sys/ioctl.h>
#include <sys/resource.h>

#define OK_REPLY "{\"parameters\":{}}"

static Fixture *fixture_with(void **state, const ServiceLimits *limits) {
        *state = fixture_new(limits);
        return *state;
}

/* ---- what ends it */

static void check_ended_by(Fixture *f, const char *bytes, size_t n, bool split) {
        size_t gone = f->n_connections_gone;
        int fd = client_new(f);

        client_send(fd, CALL("Echo"));
        client_expect(f, fd, OK_REPLY);
        for (size_t i = 0; split && i < n && f->n_connections_gone == gone; i++) {
                (void)send(fd, bytes + i, 1, MSG_NOSIGNAL);
                settle(f);
        }
        if (!split)
                client_send_bytes(fd, bytes, n);
        client_expect_end(f, fd);
        assert_int_equal(f->n_connections_gone, gone + 1);
        close_fd(fd);
}

static void test_bad_messages(void **state) {
        static const char *const texts[] = {
                "",
                "{",
                "[]",
                "hello",
                "GET / HTTP/1.1\r\n\r\n",
                "{}",
                "{\"method\":1}",
                "{\"method\":\"org.test.wire.Echo\",\"more\":1}",
                "{\"method\":\"org.test.wire.Echo\",\"oneway\":null}",
                "{\"method\":\"org.test.wire.Echo\",\"more\":true,\"oneway\":true}",
                "{\"method\":\"org.test.wire.Echo\",\"parameters\":[]}",
                "{\"method\":\"org.test.wire.Echo\",\"parameters\":3}",
                "{\"method\":\"org.test.wire.Echo\",\"other\":1}",
                "{\"method\":\"org.test.wire.Echo\",\"method\":\"org.test.wire.Echo\"}",
                "{\"method\":\"org.test.wire.Echo\",\"parameters\":{\"a\":\"\xff\"}}",
                "{\"method\":\"org.test.wire.Echo\"} {}",
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                check_ended_by(f, texts[i], strlen(texts[i]) + 1, false);
                check_ended_by(f, texts[i], strlen(texts[i]) + 1, true);
        }
}

static void test_extension_member(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.Echo\",\"org.example.trace\":{\"id\":1}}");
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_too_long(void **state) {
        static char text[STREAM_MESSAGE_MAX + 64];
        Fixture *f = *state;
        size_t sent = 0;
        int fd = client_new(f);

        memset(text, ' ', sizeof(text));
        while (f->n_connections_gone == 0) {
                ssize_t n = send(fd, text, sizeof(text), MSG_DONTWAIT | MSG_NOSIGNAL);

                sent += n > 0 ? (size_t)n : 0;
                turn(f);
        }
        assert_true(sent > STREAM_MESSAGE_MAX);
        close_fd(fd);
}

static void test_fault(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Fault"));
        client_expect_end(f, fd);
        close_fd(fd);
}

/* ---- descriptors that end it: nothing of them is left */

static void test_descriptors_in_the_middle(void **state) {
        static const char call[] = CALL_WITH("Descriptors", "{\"index\":0}");
        Fixture *f = *state;
        int fd = client_new(f);

        client_send_bytes(fd, call, 9);
        settle(f);
        client_send_fds(fd, call + 9, sizeof(call) - 9, 10);
        client_expect_end(f, fd);
        close_fd(fd);
}

static void test_descriptors_merged(void **state) {
        static const char call[] = CALL_WITH("Descriptors", "{\"index\":0}");
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Echo"));
        client_send_fds(fd, call, sizeof(call), 1);
        client_expect_end(f, fd);
        close_fd(fd);
}

static void test_descriptors_too_many(void **state) {
        static const char call[] = CALL_WITH("Descriptors", "{\"index\":0}");
        Fixture *f = *state;
        int fd = client_new(f);

        client_send_fds(fd, call, sizeof(call), STREAM_DESCRIPTORS_MAX + 1);
        client_expect_end(f, fd);
        close_fd(fd);
}

/* Who sends descriptors again and again behind a call that is pending does not fill our table. */
static void test_descriptors_hoarded(void **state) {
        static const char call[] = CALL_WITH("Descriptors", "{\"index\":0}");
        Fixture *f = *state;
        int fd = client_new(f);
        size_t before;

        client_send(fd, CALL("Later"));
        settle(f);
        before = count_fds();
        for (int i = 0; i < 20; i++) {
                client_send_fds(fd, call, sizeof(call), STREAM_DESCRIPTORS_MAX);
                settle(f);
        }
        assert_int_equal(count_fds(), before);
        client_close(f, fd);
}

/* ---- half-close and disconnect */

static void test_half_close(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Echo"));
        client_send(fd, CALL("Later"));
        client_send(fd, CALL("Later"));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        client_expect(f, fd, OK_REPLY);
        settle(f);
        assert_int_equal(f->n_kept, 1);
        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        client_expect(f, fd, OK_REPLY);
        settle(f);
        assert_int_equal(f->n_kept, 2);
        assert_int_equal(service_n_connections(f->service), 1);
        assert_int_equal(call_reply(f->kept[1], NULL, false), 0);
        client_expect(f, fd, OK_REPLY);
        client_expect_end(f, fd);
        assert_int_equal(f->n_gone, 0);
        close_fd(fd);
}

static void test_half_close_idle(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        client_expect_end(f, fd);
        close_fd(fd);
}

/* After a half-close, too, the rest of the disconnect is noticed while a call is pending. */
static void test_half_close_then_gone(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Later"));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        settle(f);
        assert_int_equal(f->n_gone, 0);
        assert_int_equal(f->n_connections_gone, 0);
        client_close(f, fd);
        assert_int_equal(f->n_gone, 1);
        assert_null(f->kept[0]);
}

/* A large answer reaches whoever has closed its sending half before. */
static void test_half_close_large(void **state) {
        static char text[1024 * 1024];
        Fixture *f = *state;
        int fd = client_new(f);
        size_t n, n_fds;

        client_send(fd, CALL_WITH("Large", "{\"bytes\":900000}"));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        n = client_receive_fds(f, fd, text, sizeof(text), &n_fds);
        assert_true(n > 900000);
        client_expect_end(f, fd);
        close_fd(fd);
}

static void test_gone_while_pending(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Later"));
        client_send(fd, CALL("Later"));
        settle(f);
        client_close(f, fd);
        assert_int_equal(f->n_kept, 1);
        assert_int_equal(f->n_gone, 1);
}

/* It leaves with replies unread, that is, by a reset. */
static void test_gone_by_reset(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.More\",\"more\":true}");
        settle(f);
        assert_int_equal(call_reply(f->kept[0], NULL, true), 0);
        client_close(f, fd);
        assert_int_equal(f->n_gone, 1);
}

/* The reply itself finds that the peer is gone: the call ends as any, the connection after it. */
static void test_gone_inside_reply(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Later"));
        settle(f);
        close_fd(fd);
        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        assert_int_equal(f->n_connections_gone, 0);
        settle(f);
        assert_int_equal(f->n_connections_gone, 1);
        assert_int_equal(f->n_gone, 0); /* it had been answered */
}

static void test_gone_inside_continues(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, "{\"method\":\"org.test.wire.More\",\"more\":true}");
        settle(f);
        close_fd(fd);
        for (int i = 0; i < 3; i++)
                assert_int_equal(call_reply(f->kept[0], NULL, true), 0);
        assert_int_equal(f->n_gone, 0); /* not from within the reply */
        settle(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(f->n_connections_gone, 1);
}

/* Many replies on the spot, to somebody who left. */
static void test_gone_inside_method(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(
                fd,
                "{\"method\":\"org.test.wire.Count\",\"more\":true,\"parameters\":{\"n\":100}}");
        client_send(fd, CALL("Later"));
        client_close(f, fd);
        assert_int_equal(f->n_kept, 0);
}

static void on_gone_reply(Call *call, void *userdata) {
        Fixture *f = userdata;

        f->n_gone++;
        assert_int_equal(call_reply(call, NULL, false), 0);
}

/* Whoever answers from `gone` does no harm. */
static void test_reply_from_gone(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL("Later"));
        settle(f);
        call_set_gone(f->kept[0], on_gone_reply, f);
        client_close(f, fd);
        assert_int_equal(f->n_gone, 1);
}

static void test_service_free_while_pending(void **state) {
        Fixture *f = *state;
        int fd = client_new(f), other = client_new(f);

        client_send(fd, CALL("Later"));
        client_send(other, CALL("Later"));
        settle(f);
        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        f->service = service_free(f->service);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(f->n_connections_gone, 2);
        close_fd(fd);
        close_fd(other);
}

/* Half a message, then nothing: the connection goes, and only for that. */
static void test_rude(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send_bytes(fd, "{\"method\":", 10);
        client_close(f, fd);
        assert_int_equal(service_n_connections(f->service), 0);
}

/* ---- time */

static int setup_impatient(void **state) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;

        limits.half_message_usec = 50 * USEC_PER_MSEC;
        limits.stalled_output_usec = 50 * USEC_PER_MSEC;
        fixture_with(state, &limits);
        return 0;
}

static void test_half_message(void **state) {
        Fixture *f = *state;
        int silent = client_new(f), half = client_new(f);
        uint64_t before = now_usec(CLOCK_MONOTONIC);

        client_send(half, CALL("Echo"));
        client_expect(f, half, OK_REPLY);
        client_send_bytes(half, "{\"me", 4);
        client_expect_end(f, half);
        assert_true(now_usec(CLOCK_MONOTONIC) - before >= 50 * USEC_PER_MSEC);
        /* who says nothing at all may stay */
        assert_int_equal(service_n_connections(f->service), 1);
        client_send(silent, CALL("Echo"));
        client_expect(f, silent, OK_REPLY);
        close_fd(half);
        client_close(f, silent);
}

/* A byte now and then does not help: the first one counts. */
static void test_half_message_dribbled(void **state) {
        Fixture *f = *state;
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        int fd = client_new(f);

        while (f->n_connections_gone == 0) {
                (void)send(fd, " ", 1, MSG_NOSIGNAL);
                assert_true(sd_event_run(f->event, USEC_PER_MSEC) >= 0);
                assert_true(now_usec(CLOCK_MONOTONIC) - start < TURN_GUARD);
        }
        close_fd(fd);
}

/* Time that we did not read for is not the client's: it sent the rest long ago. */
static void test_half_message_unread(void **state) {
        static const char text[] = CALL("Later") "\0" CALL("Ech");
        Fixture *f = *state;
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        int fd = client_new(f);

        client_send_bytes(fd, text, sizeof(text) - 1 - 2); /* without the quote and the brace */
        settle(f);
        assert_int_equal(f->n_kept, 1);
        client_send_bytes(fd, "o\"}", 4);
        while (now_usec(CLOCK_MONOTONIC) < start + 120 * USEC_PER_MSEC)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(f->n_connections_gone, 0);
        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        client_expect(f, fd, OK_REPLY);
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_stalled_output(void **state) {
        Fixture *f = *state;
        int fd = client_new(f);

        client_send(fd, CALL_WITH("Large", "{\"bytes\":1000000}"));
        while (f->n_connections_gone == 0)
                turn(f);
        close_fd(fd);
}

/* Reading slowly is fine as long as it goes on. */
static void test_slow_reader(void **state) {
        static char text[1024 * 1024];
        Fixture *f = *state;
        int fd = client_new(f);
        size_t n = 0, step = 100 * 1024;

        client_send(fd, CALL_WITH("Large", "{\"bytes\":1000000}"));
        while (n == 0 || text[n - 1]) {
                ssize_t k;

                settle(f);
                (void)sd_event_run(f->event, 20 * USEC_PER_MSEC);
                k = recv(fd, text + n, step, MSG_DONTWAIT);
                assert_true(k > 0 || f->n_connections_gone == 0);
                n += k > 0 ? (size_t)k : 0;
        }
        assert_int_equal(n, 1000000 + strlen("{\"parameters\":{\"x\":\"\"}}") + 1);
        assert_int_equal(f->n_connections_gone, 0);
        client_close(f, fd);
}

/* ---- bounds */

static int setup_small(void **state) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;

        limits.output_max = 400 * 1024;
        limits.buffered_per_uid_max = 1024 * 1024;
        limits.connections_max = 8;
        limits.connections_per_uid_max = 6;
        fixture_with(state, &limits);
        return 0;
}

/* A stream to somebody who does not read is cut off; others are not. */
static void test_output_max(void **state) {
        static char value[20000];
        Fixture *f = *state;
        int fd = client_new(f), other = client_new(f);
        size_t n;

        client_send(fd, "{\"method\":\"org.test.wire.More\",\"more\":true}");
        settle(f);
        n = (size_t)sprintf(value, "{\"x\":\"");
        memset(value + n, 'x', 19000);
        strcpy(value + n + 19000, "\"}");
        for (int i = 0; i < 100; i++)
                assert_int_equal(call_reply_text(f->kept[0], value, strlen(value), true), 0);
        settle(f);
        assert_int_equal(f->n_gone, 1);
        assert_int_equal(f->n_connections_gone, 1);
        client_send(other, CALL("Echo"));
        client_expect(f, other, OK_REPLY);
        close_fd(fd);
        client_close(f, other);
}

/* Asking without reading: answers stop at half of what may wait, and go on when it reads. */
static void test_backed_up(void **state) {
        static const char call[] = CALL_WITH("Large", "{\"bytes\":50000}");
        static char text[64 * 1024];
        Fixture *f = *state;
        int fd = client_new(f);
        size_t n_fds;

        for (int i = 0; i < 60; i++)
                client_send(fd, call);
        settle(f);
        assert_int_equal(f->n_connections_gone, 0);
        for (int i = 0; i < 60; i++)
                assert_int_equal(client_receive_fds(f, fd, text, sizeof(text), &n_fds),
                                 50000 + strlen("{\"parameters\":{\"x\":\"\"}}") + 1);
        client_send(fd, CALL("Echo"));
        client_expect(f, fd, OK_REPLY);
        client_close(f, fd);
}

static void test_buffered_per_uid(void **state) {
        static char half[400 * 1024];
        Fixture *f = *state;
        int fds[4];

        memset(half, ' ', sizeof(half));
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                size_t sent = 0;

                fds[i] = client_new(f);
                while (sent < sizeof(half) && f->n_connections_gone == 0) {
                        ssize_t n = send(fds[i], half + sent, sizeof(half) - sent,
                                         MSG_DONTWAIT | MSG_NOSIGNAL);

                        sent += n > 0 ? (size_t)n : 0;
                        turn(f);
                }
                settle(f);
                assert_int_equal(f->n_connections_gone, i < 2 ? 0 : 1);
                if (i == 2)
                        break;
        }
        /* what it held is given back */
        fds[3] = client_new(f);
        client_send(fds[3], CALL("Echo"));
        client_expect(f, fds[3], OK_REPLY);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void test_connections_per_uid(void **state) {
        Fixture *f = *state;
        int fds[6], pair[2];
        size_t before;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = client_new(f);
        before = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], NULL), -EUSERS);
        assert_int_equal(count_fds(), before + 1);
        close_fd(pair[0]);

        client_close(f, fds[0]);
        fds[0] = client_new(f);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

/* ---- listeners */

static int listener_new(Fixture *f, struct sockaddr_un *ret) {
        socklen_t size = sizeof(*ret);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* autobind: a name that nobody else has, and no file */
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        assert_int_equal(bind(fd, (struct sockaddr *)ret, sizeof(sa_family_t)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
        assert_int_equal(listen(fd, 64), 0);
        assert_int_equal(service_listen(f->service, fd), 0);
        return (int)size;
}

static int client_connect(const struct sockaddr_un *address, int size) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *)address, (socklen_t)size), 0);
        return fd;
}

static void test_listen(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        int size = listener_new(f, &address), fds[40];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_expect(f, fds[i], OK_REPLY);
        assert_int_equal(service_n_connections(f->service), ELEMENTSOF(fds));

        service_stop_listening(f->service);
        assert_int_equal(connect(fds[0], (struct sockaddr *)&address, (socklen_t)size), -1);
        client_send(fds[0], CALL("Echo"));
        client_expect(f, fds[0], OK_REPLY);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

static int setup_few(void **state) {
        ServiceLimits limits = SERVICE_LIMITS_DEFAULT;

        limits.connections_max = 3;
        fixture_with(state, &limits);
        return 0;
}

/* Above the limit accept waits, until one goes. */
static void test_connections_max(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        int size = listener_new(f, &address), fds[5], pair[2];

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        for (size_t i = 0; i < 3; i++)
                client_expect(f, fds[i], OK_REPLY);
        settle(f); /* ends: it does not spin */
        assert_int_equal(service_n_connections(f->service), 3);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(service_add_connection(f->service, pair[1], NULL), -EUSERS);
        close_fd(pair[0]);

        client_close(f, fds[0]);
        client_expect(f, fds[3], OK_REPLY);
        assert_int_equal(service_n_connections(f->service), 3);
        client_close(f, fds[1]);
        client_expect(f, fds[4], OK_REPLY);
        for (size_t i = 2; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

/* No descriptor is left to accept with: one is turned away, the loop rests, then all goes on. */
static void test_accept_emfile(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address;
        struct rlimit limit, tight;
        int size = listener_new(f, &address), fds[3];
        uint64_t start;
        size_t turns = 0;
        char byte;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = client_connect(&address, size);
                client_send(fds[i], CALL("Echo"));
        }
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        tight = limit;
        tight.rlim_cur = (rlim_t)dup(0);
        close_fd((int)tight.rlim_cur);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);

        start = now_usec(CLOCK_MONOTONIC);
        while (now_usec(CLOCK_MONOTONIC) < start + 50 * USEC_PER_MSEC) {
                int r = sd_event_run(f->event, 10 * USEC_PER_MSEC);

                assert_true(r >= 0);
                turns += r > 0;
        }
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_true(turns < 5);
        assert_int_equal(service_n_connections(f->service), 0);
        /* the first was told; with its call unread, by a reset */
        assert_true(recv(fds[0], &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN);

        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                client_expect(f, fds[i], OK_REPLY);
        close_fd(fds[0]);
        for (size_t i = 1; i < ELEMENTSOF(fds); i++)
                client_close(f, fds[i]);
}

#define TEST(name)                cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_WITH(name, setup_as) cmocka_unit_test_setup_teardown(name, setup_as, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_bad_messages),
                TEST(test_extension_member),
                TEST(test_too_long),
                TEST(test_fault),
                TEST(test_descriptors_in_the_middle),
                TEST(test_descriptors_merged),
                TEST(test_descriptors_too_many),
                TEST(test_descriptors_hoarded),
                TEST(test_half_close),
                TEST(test_half_close_idle),
                TEST(test_half_close_then_gone),
                TEST(test_half_close_large),
                TEST(test_gone_while_pending),
                TEST(test_gone_by_reset),
                TEST(test_gone_inside_reply),
                TEST(test_gone_inside_continues),
                TEST(test_gone_inside_method),
                TEST(test_reply_from_gone),
                TEST(test_service_free_while_pending),
                TEST(test_rude),
                TEST_WITH(test_half_message, setup_impatient),
                TEST_WITH(test_half_message_dribbled, setup_impatient),
                TEST_WITH(test_half_message_unread, setup_impatient),
                TEST_WITH(test_stalled_output, setup_impatient),
                TEST_WITH(test_slow_reader, setup_impatient),
                TEST_WITH(test_output_max, setup_small),
                TEST_WITH(test_backed_up, setup_small),
                TEST_WITH(test_buffered_per_uid, setup_small),
                TEST_WITH(test_connections_per_uid, setup_small),
                TEST(test_listen),
                TEST_WITH(test_connections_max, setup_few),
                TEST(test_accept_emfile),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
