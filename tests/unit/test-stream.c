/* SPDX-License-Identifier: Apache-2.0 */

/* proto/stream.c: framing in split and merged writes, descriptors and whose they are, bounds. One
 * end is the stream, the other a plain socket that does as it likes. */

#include "stream.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Fixture {
        Stream *stream;
        int peer;
        size_t n_fds_before;
} Fixture;

static size_t count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int setup_with(void **state, size_t output_max, bool descriptors) {
        Fixture *f = calloc(1, sizeof(*f));
        int pair[2];

        f->n_fds_before = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(stream_new(&f->stream, pair[0], output_max, descriptors), 0);
        f->peer = pair[1];
        *state = f;
        return 0;
}

static int setup(void **state) {
        return setup_with(state, SIZE_MAX, true);
}

static int teardown(void **state) {
        Fixture *f = *state;

        stream_free(f->stream);
        close_fd(f->peer);
        assert_int_equal(count_fds(), f->n_fds_before);
        free(f);
        return 0;
}

/* Sends n bytes with n_fds duplicates of descriptor 2's file, or of made[]. */
static ssize_t send_fds(int fd, const void *bytes, size_t n, const int *fds, size_t n_fds) {
        char control[CMSG_SPACE(sizeof(int) * 253)] = { 0 };
        struct iovec iov = { (void *)bytes, n };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        return sendmsg(fd, &m, MSG_NOSIGNAL);
}

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

/* ---- out */

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
                cmocka_unit_test_setup_teardown(test_descriptors_not_taken, setup_no_descriptors,
                                                teardown),
                cmocka_unit_test(test_descriptors_not_taken_early),
                TEST(test_write),
                TEST(test_write_queued),
                TEST(test_write_many),
                cmocka_unit_test_setup_teardown(test_write_full, setup_small_output, teardown),
                TEST(test_write_too_long),
                TEST(test_write_peer_gone),
                TEST(test_write_queued_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
