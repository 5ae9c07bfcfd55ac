/* SPDX-License-Identifier: Apache-2.0 */

/* proto/stream.c, what comes in: framing in split and merged writes, descriptors and whose they
 * are, bounds. */

#include "stream-fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>

static void give(const Fixture *f, const char *bytes, size_t n) {
        assert_int_equal(send(f->peer, bytes, n, MSG_NOSIGNAL), n);
}

static void give_fds(const Fixture *f, const char *bytes, size_t n, size_t n_fds) {
        int fds[253];

        for (size_t i = 0; i < n_fds; i++)
                fds[i] = f->peer;
        assert_int_equal(send_fds(f->peer, bytes, n, fds, n_fds), n);
}

#define GIVE(f, literal)            give(f, literal, sizeof(literal) - 1)
#define GIVE_FDS(f, literal, n_fds) give_fds(f, literal, sizeof(literal) - 1, n_fds)

static void expect(Stream *s, const char *text, size_t n_fds) {
        StreamMessage m;

        assert_int_equal(stream_next(s, &m), 0);
        assert_int_equal(m.length, strlen(text));
        assert_string_equal(m.text, text);
        assert_int_equal(m.n_fds, n_fds);
        for (size_t i = 0; i < n_fds; i++)
                assert_true(fcntl(m.fds[i], F_GETFD) & FD_CLOEXEC);
        stream_message_done(&m);
}

static void expect_nothing(Stream *s) {
        StreamMessage m;

        assert_int_equal(stream_next(s, &m), STREAM_E_AGAIN);
}

/* ---- in */

static void test_one(void **state) {
        Fixture *f = *state;

        assert_int_equal(stream_read(f->stream), STREAM_E_AGAIN);
        expect_nothing(f->stream);
        GIVE(f, "{\"a\":1}\0");
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_buffered_input(f->stream), 8);
        expect(f->stream, "{\"a\":1}", 0);
        expect_nothing(f->stream);
        assert_int_equal(stream_buffered_input(f->stream), 0);
        assert_int_equal(stream_read(f->stream), STREAM_E_AGAIN);
}

static void test_split(void **state) {
        static const char text[] = "first\0second\0\0third";
        Fixture *f = *state;

        for (size_t i = 0; i < sizeof(text); i++) {
                give(f, text + i, 1);
                assert_int_equal(stream_read(f->stream), 0);
                if (i == 5)
                        expect(f->stream, "first", 0);
                else if (i == 12)
                        expect(f->stream, "second", 0);
                else if (i == 13)
                        expect(f->stream, "", 0);
                else if (i < sizeof(text) - 1)
                        expect_nothing(f->stream);
        }
        expect(f->stream, "third", 0);
        expect_nothing(f->stream);
}

static void test_merged(void **state) {
        Fixture *f = *state;

        GIVE(f, "one\0two\0thr");
        assert_int_equal(stream_read(f->stream), 0);
        expect(f->stream, "one", 0);
        expect(f->stream, "two", 0);
        expect_nothing(f->stream);
        GIVE(f, "ee\0four\0");
        assert_int_equal(stream_read(f->stream), 0);
        expect(f->stream, "three", 0);
        expect(f->stream, "four", 0);
        expect_nothing(f->stream);
}

static void test_closed(void **state) {
        Fixture *f = *state;

        GIVE(f, "last\0half");
        f->peer = close_fd(f->peer);
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_read(f->stream), STREAM_E_CLOSED);
        expect(f->stream, "last", 0);
        expect_nothing(f->stream);
        assert_int_equal(stream_read(f->stream), STREAM_E_CLOSED);
}

/* The peer goes with something unread, which resets: no fault either. */
static void test_reset(void **state) {
        Fixture *f = *state;

        assert_int_equal(stream_write(f->stream, "x", 1, NULL, 0), 0);
        f->peer = close_fd(f->peer);
        assert_int_equal(stream_read(f->stream), STREAM_E_CLOSED);
        assert_int_equal(stream_write(f->stream, "x", 1, NULL, 0), -EPIPE);
}

/* Feeds a message of this length in pieces that the socket takes, and returns what came of it. */
static int feed_large(Fixture *f, size_t length, StreamMessage *ret) {
        char *text = malloc(length + 1);
        size_t given = 0;
        int r = STREAM_E_AGAIN;

        memset(text, 'x', length);
        text[length] = 0;
        while (r == STREAM_E_AGAIN) {
                if (given <= length) {
                        ssize_t n = send(f->peer, text + given, length + 1 - given,
                                         MSG_DONTWAIT | MSG_NOSIGNAL);

                        given += n > 0 ? (size_t)n : 0;
                }
                assert_int_equal(stream_read(f->stream), 0);
                r = stream_next(f->stream, ret);
        }
        free(text);
        return r;
}

static void test_large(void **state) {
        static const size_t sizes[] = {
                8191, 8192, 8193, 65536, STREAM_MESSAGE_MAX - 1, STREAM_MESSAGE_MAX
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                StreamMessage m;

                assert_int_equal(feed_large(f, sizes[i], &m), 0);
                assert_int_equal(m.length, sizes[i]);
                assert_int_equal(strlen(m.text), sizes[i]);
                stream_message_done(&m);
                GIVE(f, "after\0");
                assert_int_equal(stream_read(f->stream), 0);
                expect(f->stream, "after", 0);
        }
}

static void test_too_long(void **state) {
        Fixture *f = *state;
        StreamMessage m;

        assert_int_equal(feed_large(f, STREAM_MESSAGE_MAX + 1, &m), STREAM_E_TOO_LONG);
}

static void test_too_long_without_end(void **state) {
        Fixture *f = *state;
        char block[4096];
        StreamMessage m;
        int r;

        memset(block, 'x', sizeof(block));
        do {
                give(f, block, sizeof(block));
                assert_int_equal(stream_read(f->stream), 0);
                assert_true(stream_buffered_input(f->stream) <= STREAM_MESSAGE_MAX + sizeof(block));
                r = stream_next(f->stream, &m);
        } while (r == STREAM_E_AGAIN);
        assert_int_equal(r, STREAM_E_TOO_LONG);
}

/* Who never takes messages is told, rather than given memory without end. */
static void test_not_taken(void **state) {
        static const char block[4096];
        Fixture *f = *state;
        int r;

        do {
                give(f, block, sizeof(block));
                r = stream_read(f->stream);
        } while (r == 0);
        assert_int_equal(r, -ENOBUFS);
        assert_true(stream_buffered_input(f->stream) <= 2 * STREAM_MESSAGE_MAX);
}

static void test_pending_input(void **state) {
        Fixture *f = *state;
        uint64_t before = now_usec(CLOCK_MONOTONIC), since = 0, again = 0;

        assert_int_equal(stream_pending_input(f->stream, &since), 0);
        assert_int_equal(since, 0);
        GIVE(f, "whole\0");
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_pending_input(f->stream, &since), 0);
        GIVE(f, "next\0ha");
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_pending_input(f->stream, &since), 2);
        assert_true(since >= before && since <= now_usec(CLOCK_MONOTONIC));
        GIVE(f, "lf");
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_pending_input(f->stream, &again), 4);
        assert_int_equal(again, since); /* of the first byte, not of the last */

        expect(f->stream, "whole", 0);
        expect(f->stream, "next", 0);
        expect_nothing(f->stream);
        assert_int_equal(stream_pending_input(f->stream, &again), 4);
        GIVE(f, "\0");
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_pending_input(f->stream, NULL), 0);
        expect(f->stream, "half", 0);
}

/* ---- descriptors in */

static void test_descriptors(void **state) {
        Fixture *f = *state;
        struct stat sent, received;
        StreamMessage m;
        int pipes[2];

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(send_fds(f->peer, "two\0", 4, pipes, 2), 4);
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(stream_next(f->stream, &m), 0);
        assert_int_equal(m.n_fds, 2);
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(fstat(pipes[i], &sent), 0);
                assert_int_equal(fstat(m.fds[i], &received), 0);
                assert_int_equal(sent.st_ino, received.st_ino);
                assert_int_equal(fcntl(pipes[i], F_GETFL), fcntl(m.fds[i], F_GETFL));
                close_fd(pipes[i]);
        }
        stream_message_done(&m);
}

static void test_descriptors_max(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "all\0", STREAM_DESCRIPTORS_MAX);
        assert_int_equal(stream_read(f->stream), 0);
        expect(f->stream, "all", STREAM_DESCRIPTORS_MAX);
        GIVE_FDS(f, "more\0", STREAM_DESCRIPTORS_MAX + 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
        expect_nothing(f->stream);
}

static void test_descriptors_far_too_many(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "more\0", 253);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

/* At the limit of descriptors the kernel keeps some and drops the rest: all are refused. */
static void test_descriptors_emfile(void **state) {
        Fixture *f = *state;
        struct rlimit limit, tight;

        GIVE_FDS(f, "ten\0", 10);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        tight = limit;
        tight.rlim_cur = (rlim_t)dup(0) + 4;
        close_fd((int)tight.rlim_cur - 4);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_descriptors_with_split_message(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "he", 2);
        assert_int_equal(stream_read(f->stream), 0);
        expect_nothing(f->stream);
        GIVE(f, "llo\0");
        assert_int_equal(stream_read(f->stream), 0);
        expect(f->stream, "hello", 2);
        /* whole messages that wait do not matter, and each keeps its own */
        GIVE_FDS(f, "a\0", 1);
        assert_int_equal(stream_read(f->stream), 0);
        GIVE(f, "b\0");
        assert_int_equal(stream_read(f->stream), 0);
        GIVE_FDS(f, "c\0", 3);
        assert_int_equal(stream_read(f->stream), 0);
        expect(f->stream, "a", 1);
        expect(f->stream, "b", 0);
        expect(f->stream, "c", 3);
}

static void test_descriptors_in_the_middle(void **state) {
        Fixture *f = *state;

        GIVE(f, "he");
        assert_int_equal(stream_read(f->stream), 0);
        GIVE_FDS(f, "llo\0", 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

static void test_descriptors_twice(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "he", 1);
        assert_int_equal(stream_read(f->stream), 0);
        GIVE_FDS(f, "llo\0", 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

/* Linux gives both writes by one read. */
static void test_descriptors_merged(void **state) {
        Fixture *f = *state;

        GIVE(f, "plain\0");
        GIVE_FDS(f, "with\0", 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

static void test_descriptors_of_several(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "one\0two\0", 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

static void test_descriptors_of_one_and_a_half(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "one\0tw", 1);
        assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

/* What nobody took is closed with the stream: the teardown counts. */
static void test_descriptors_left(void **state) {
        Fixture *f = *state;

        GIVE_FDS(f, "one\0", 5);
        assert_int_equal(stream_read(f->stream), 0);
        GIVE_FDS(f, "tw", 5);
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(count_fds(), f->n_fds_before + 2 + 10);
}

/* What clients expect: replies in front of the one that brings descriptors. */
static void test_descriptors_of_the_last(void **state) {
        Fixture *f = *state;
        StreamMessage m = STREAM_MESSAGE_NULL;

        stream_expect_whole_sends(f->stream);
        assert_int_equal(write(f->peer, "one\0two\0", 8), 8);
        assert_int_equal(send_fds(f->peer, "three\0", 6, &f->peer, 1), 6);
        assert_int_equal(stream_read(f->stream), 0);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(stream_next(f->stream, &m), 0);
                assert_string_equal(m.text, i == 0 ? "one" : i == 1 ? "two" : "three");
                assert_int_equal(m.n_fds, i == 2);
                stream_message_done(&m);
        }

        /* half a message in front of it, and half of it */
        assert_int_equal(write(f->peer, "fo", 2), 2);
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(write(f->peer, "ur\0", 3), 3);
        assert_int_equal(send_fds(f->peer, "fi", 2, &f->peer, 1), 2);
        assert_int_equal(stream_read(f->stream), 0);
        assert_int_equal(write(f->peer, "ve\0", 3), 3);
        assert_int_equal(stream_read(f->stream), 0);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(stream_next(f->stream, &m), 0);
                assert_string_equal(m.text, i == 0 ? "four" : "five");
                assert_int_equal(m.n_fds, i);
                stream_message_done(&m);
        }
}

static void test_descriptors_not_taken(void **state) {
        Fixture *f = *state;
        ssize_t n = send_fds(f->peer, "x\0", 2, &f->peer, 1);

        if (n < 0) /* Linux 6.16 and later: the sender is told */
                assert_int_equal(errno, EPERM);
        else
                assert_int_equal(stream_read(f->stream), STREAM_E_DESCRIPTORS);
}

/* The same, when they were sent before the stream was made. */
static void test_descriptors_not_taken_early(void **state) {
        Stream *s;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(send_fds(pair[1], "x\0", 2, pair, 1), 2);
        assert_int_equal(stream_new(&s, pair[0], SIZE_MAX, false), 0);
        assert_int_equal(stream_read(s), STREAM_E_DESCRIPTORS);
        stream_free(s);
        close_fd(pair[1]);
}

static int setup_no_descriptors(void **state) {
        return setup_with(state, SIZE_MAX, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_one),
                TEST(test_split),
                TEST(test_merged),
                TEST(test_closed),
                TEST(test_reset),
                TEST(test_large),
                TEST(test_too_long),
                TEST(test_too_long_without_end),
                TEST(test_not_taken),
                TEST(test_pending_input),
                TEST(test_descriptors),
                TEST(test_descriptors_max),
                TEST(test_descriptors_far_too_many),
                TEST(test_descriptors_emfile),
                TEST(test_descriptors_with_split_message),
                TEST(test_descriptors_in_the_middle),
                TEST(test_descriptors_twice),
                TEST(test_descriptors_merged),
                TEST(test_descriptors_of_several),
                TEST(test_descriptors_of_one_and_a_half),
                TEST(test_descriptors_left),
                TEST(test_descriptors_of_the_last),
                cmocka_unit_test_setup_teardown(test_descriptors_not_taken, setup_no_descriptors,
                                                teardown),
                cmocka_unit_test(test_descriptors_not_taken_early),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
