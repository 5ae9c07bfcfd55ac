/* SPDX-License-Identifier: Apache-2.0 */

/* How connections of a service come to their end, and what holds against clients that are slow,
 * silent, rude, gone or greedy. */

#include "wire-fixture.h"

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

/* Nobody spins over the closed half while the answer waits, and the rest of the disconnect is
 * noticed. */
static void test_half_close_unread(void **state) {
        Fixture *f = *state;
        int fd = client_new(f), turns = 0;

        client_send(fd, CALL_WITH("Large", "{\"bytes\":900000}"));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        while (sd_event_run(f->event, 0) > 0)
                assert_true(++turns < 50);
        assert_int_equal(f->n_connections_gone, 0);
        client_close(f, fd);
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
        client_send_bytes(fd, "o\"", 2);
        settle(f);
        while (now_usec(CLOCK_MONOTONIC) < start + 120 * USEC_PER_MSEC)
                assert_true(sd_event_run(f->event, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(f->n_connections_gone, 0);
        /* from now on it is */
        assert_int_equal(call_reply(f->kept[0], NULL, false), 0);
        client_expect(f, fd, OK_REPLY);
        settle(f);
        assert_int_equal(f->n_connections_gone, 0);
        client_send_bytes(fd, "}", 2);
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
                TEST(test_half_close_unread),
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
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
