/* SPDX-License-Identifier: Apache-2.0 */

/* proto/stream.c, what goes out: at once or queued, in order, each message with its own
 * descriptors, bounds. */

#include "stream-fixture.h"

/* Reads what is there, at most size bytes; counts and closes descriptors. */
static size_t take(const Fixture *f, char *buffer, size_t size, size_t *ret_n_fds) {
        char control[CMSG_SPACE(sizeof(int) * 253)];
        struct iovec iov = { buffer, size };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        ssize_t n = recvmsg(f->peer, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (ret_n_fds)
                *ret_n_fds = 0;
        if (n < 0)
                return 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
                size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                const int *fds = (const int *)CMSG_DATA(c);

                for (size_t i = 0; i < k; i++)
                        close_fd(fds[i]);
                if (ret_n_fds)
                        *ret_n_fds += k;
        }
        return (size_t)n;
}

static void test_write(void **state) {
        Fixture *f = *state;
        char buffer[64];
        size_t n_fds;

        assert_int_equal(stream_write(f->stream, "abc", 3, NULL, 0), 0);
        assert_int_equal(stream_pending_output(f->stream), 0);
        assert_int_equal(take(f, buffer, sizeof(buffer), NULL), 4);
        assert_memory_equal(buffer, "abc", 4);

        assert_int_equal(stream_write(f->stream, "d", 1, (int[]){ f->peer, f->peer }, 2), 0);
        assert_int_equal(take(f, buffer, sizeof(buffer), &n_fds), 2);
        assert_memory_equal(buffer, "d", 2);
        assert_int_equal(n_fds, 2);
        assert_int_equal(stream_flush(f->stream), 0);
}

/* Everything arrives, in order, and each message's descriptors with its first byte and no other's.
 */
static void test_write_queued(void **state) {
        static char all[4 * 1024 * 1024], text[300 * 1024];
        Fixture *f = *state;
        size_t n_all = 0, at_fds[3], n_at = 0, n_sent = 0;

        for (int i = 0; i < 8; i++) {
                memset(text, 'a' + i, sizeof(text));
                assert_int_equal(stream_write(f->stream, text, sizeof(text), &f->peer, i % 3 == 2),
                                 0);
                n_sent += sizeof(text) + 1;
        }
        assert_true(stream_pending_output(f->stream) > 1024 * 1024);

        while (n_all < n_sent) {
                size_t n_fds, n;
                int r = stream_flush(f->stream);

                assert_true(r == 0 || r == STREAM_E_AGAIN);
                n = take(f, all + n_all, 7000, &n_fds);
                assert_true(n > 0);
                if (n_fds > 0) {
                        assert_int_equal(n_fds, 1);
                        assert_true(n_at < 2);
                        at_fds[n_at++] = n_all;
                }
                n_all += n;
        }
        assert_int_equal(stream_pending_output(f->stream), 0);
        assert_int_equal(n_at, 2);
        for (size_t i = 0; i < 8; i++) {
                const char *message = all + i * (sizeof(text) + 1);

                assert_int_equal(strlen(message), sizeof(text));
                assert_int_equal(message[0], 'a' + i);
                assert_int_equal(message[sizeof(text) - 1], 'a' + i);
        }
        /* a reader may find plain bytes before them, but none of another message after them */
        assert_true(at_fds[0] <= 2 * (sizeof(text) + 1) &&
                    at_fds[0] + 7000 > 2 * (sizeof(text) + 1));
        assert_true(at_fds[1] <= 5 * (sizeof(text) + 1) &&
                    at_fds[1] + 7000 > 5 * (sizeof(text) + 1));
}

/* A large message that goes in parts takes its descriptors along once. */
static void test_write_descriptors_once(void **state) {
        static char text[512 * 1024], all[sizeof(text) + 1];
        Fixture *f = *state;
        size_t n_all = 0, n_all_fds = 0, n_fds;

        memset(text, 'x', sizeof(text));
        assert_int_equal(stream_write(f->stream, text, sizeof(text), &f->peer, 1), 0);
        assert_true(stream_pending_output(f->stream) > 0);
        while (n_all < sizeof(all)) {
                n_all += take(f, all + n_all, sizeof(all) - n_all, &n_fds);
                n_all_fds += n_fds;
                (void)stream_flush(f->stream);
        }
        assert_int_equal(strlen(all), sizeof(text));
        assert_int_equal(n_all_fds, 1);
}

/* Whoever reads descriptors finds nothing of the next message behind them, however much waited. */
static void test_write_descriptors_alone(void **state) {
        static char text[512 * 1024], all[sizeof(text) + 1];
        Fixture *f = *state;
        size_t n_all = 0, n_fds;

        memset(text, 'x', sizeof(text));
        assert_int_equal(stream_write(f->stream, text, sizeof(text), NULL, 0), 0);
        assert_int_equal(stream_write(f->stream, "with", 4, &f->peer, 1), 0);
        assert_int_equal(stream_write(f->stream, "plain", 5, NULL, 0), 0);
        while (n_all < sizeof(all)) {
                n_all += take(f, all + n_all, sizeof(all) - n_all, NULL);
                (void)stream_flush(f->stream);
        }
        assert_int_equal(take(f, all, 64, &n_fds), 5);
        assert_string_equal(all, "with");
        assert_int_equal(n_fds, 1);
        assert_int_equal(take(f, all, 64, &n_fds), 6);
        assert_string_equal(all, "plain");
        assert_int_equal(n_fds, 0);
}

/* Many small messages behind a large one leave in order, by few calls. */
static void test_write_many(void **state) {
        static char large[512 * 1024];
        Fixture *f = *state;
        char *all = malloc(sizeof(large) + 100 * 16);
        size_t n_all = 0, n;
        char small[16];

        memset(large, 'x', sizeof(large));
        assert_int_equal(stream_write(f->stream, large, sizeof(large), NULL, 0), 0);
        for (int i = 0; i < 100; i++) {
                n = (size_t)snprintf(small, sizeof(small), "message %d", i);
                assert_int_equal(stream_write(f->stream, small, n, NULL, 0), 0);
        }
        do {
                (void)stream_flush(f->stream);
                n = take(f, all + n_all, 65536, NULL);
                n_all += n;
        } while (n > 0);

        n = sizeof(large) + 1;
        for (int i = 0; i < 100; i++) {
                snprintf(small, sizeof(small), "message %d", i);
                assert_string_equal(all + n, small);
                n += strlen(small) + 1;
        }
        assert_int_equal(n, n_all);
        free(all);
}

static int setup_small_output(void **state) {
        return setup_with(state, 100000, true);
}

static void test_write_full(void **state) {
        static char text[10000];
        Fixture *f = *state;
        int r;

        memset(text, 'x', sizeof(text));
        do
                r = stream_write(f->stream, text, sizeof(text), NULL, 0);
        while (r == 0);
        assert_int_equal(r, STREAM_E_FULL);
        assert_true(stream_pending_output(f->stream) <= 100000);
        assert_true(stream_pending_output(f->stream) > 80000);
}

static int setup_tiny_output(void **state) {
        return setup_with(state, 5000, true);
}

/* A single message above the bound, too. */
static void test_write_full_at_once(void **state) {
        static char text[10000];
        Fixture *f = *state;
        int r;

        memset(text, 'x', sizeof(text));
        for (size_t n = 0; (r = stream_write(f->stream, text, sizeof(text), NULL, 0)) == 0; n++)
                assert_true(n < 1000);
        assert_int_equal(r, STREAM_E_FULL);
        assert_true(stream_pending_output(f->stream) <= 5000);
}

static void test_write_too_long(void **state) {
        Fixture *f = *state;
        char *text = malloc(STREAM_MESSAGE_MAX + 1);

        memset(text, 'x', STREAM_MESSAGE_MAX + 1);
        assert_int_equal(stream_write(f->stream, text, STREAM_MESSAGE_MAX + 1, NULL, 0),
                         STREAM_E_TOO_LONG);
        assert_int_equal(take(f, text, 1, NULL), 0);
        assert_int_equal(stream_write(f->stream, text, STREAM_MESSAGE_MAX, NULL, 0), 0);
        free(text);
}

static void test_write_peer_gone(void **state) {
        static char text[1024 * 1024];
        Fixture *f = *state;

        memset(text, 'x', sizeof(text));
        assert_int_equal(stream_write(f->stream, text, sizeof(text), NULL, 0), 0);
        assert_true(stream_pending_output(f->stream) > 0);
        f->peer = close_fd(f->peer);
        assert_int_equal(stream_flush(f->stream), -EPIPE);
}

/* Descriptors that wait are duplicates, closed with the stream. */
static void test_write_queued_descriptors(void **state) {
        static char text[1024 * 1024];
        Fixture *f = *state;
        size_t before;

        memset(text, 'x', sizeof(text));
        assert_int_equal(stream_write(f->stream, text, sizeof(text), NULL, 0), 0);
        before = count_fds();
        assert_int_equal(stream_write(f->stream, "x", 1, (int[]){ f->peer, f->peer }, 2), 0);
        assert_int_equal(count_fds(), before + 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_write),
                TEST(test_write_queued),
                TEST(test_write_descriptors_once),
                TEST(test_write_descriptors_alone),
                TEST(test_write_many),
                cmocka_unit_test_setup_teardown(test_write_full_at_once, setup_tiny_output,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_write_full, setup_small_output, teardown),
                TEST(test_write_too_long),
                TEST(test_write_peer_gone),
                TEST(test_write_queued_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
