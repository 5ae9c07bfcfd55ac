/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/keeper-channel.h: records and their descriptors arrive whole or not at all. */

#include "keeper-channel.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Pair {
        int a, b;
        int n_fds; /* open before */
} Pair;

static int count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int pair_open(void **state) {
        static Pair pair;
        int fds[2];

        pair.n_fds = count_fds();
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        pair.a = fds[0];
        pair.b = fds[1];
        *state = &pair;
        return 0;
}

static int pair_close(void **state) {
        Pair *pair = *state;

        close_fd(pair->a);
        close_fd(pair->b);
        return count_fds() == pair->n_fds ? 0 : -1;
}

static void test_round_trip(void **state) {
        Pair *pair = *state;
        KeeperRecord in = { .type = KEEPER_ENDED,
                            .pid = 7,
                            .start_time = UINT64_MAX,
                            .usec = 1,
                            .value = -1,
                            .code = 2,
                            .status = 9 },
                     out;
        int fd = 99;

        snprintf(in.name, sizeof(in.name), "name");
        snprintf(in.text, sizeof(in.text), "text");
        in.usage.ru_utime.tv_sec = 5;
        assert_int_equal(keeper_record_send(pair->a, &in, -1), 0);
        assert_int_equal(keeper_record_receive(pair->b, &out, &fd), 0);
        assert_int_equal(fd, -1);
        assert_memory_equal(&in, &out, sizeof(in));
        assert_int_equal(keeper_record_receive(pair->b, &out, &fd), KEEPER_E_AGAIN);
}

static void test_descriptor(void **state) {
        Pair *pair = *state;
        KeeperRecord record = { .type = KEEPER_STORE };
        struct stat a, b;
        int fd = -1;

        assert_int_equal(keeper_record_send(pair->a, &record, pair->a), 0);
        assert_int_equal(keeper_record_receive(pair->b, &record, &fd), 0);
        assert_true(fd >= 0 && fd != pair->a);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        fstat(fd, &a);
        fstat(pair->a, &b);
        assert_int_equal(a.st_ino, b.st_ino);
        close(fd);
}

static void test_full_and_closed(void **state) {
        Pair *pair = *state;
        KeeperRecord record = { .type = KEEPER_ALIVE };
        int n = 0, r, fd;

        while ((r = keeper_record_send(pair->a, &record, -1)) == 0)
                assert_true(++n < 100000);
        assert_int_equal(r, KEEPER_E_AGAIN);
        pair->a = close_fd(pair->a);
        for (; n > 0; n--)
                assert_int_equal(keeper_record_receive(pair->b, &record, &fd), 0);
        assert_int_equal(keeper_record_receive(pair->b, &record, &fd), KEEPER_E_CLOSED);
        assert_int_equal(keeper_record_send(pair->b, &record, -1), KEEPER_E_CLOSED);
}

/* Sends bytes with n copies of a descriptor. */
static void send_raw(int channel, const void *data, size_t size, int n) {
        union {
                char buffer[CMSG_SPACE(10 * sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { (void *)data, size };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n > 0) {
                struct cmsghdr *c;

                message.msg_control = control.buffer;
                message.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
                for (int i = 0; i < n; i++)
                        memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &channel, sizeof(int));
        }
        assert_true(sendmsg(channel, &message, 0) >= 0);
}

static void test_invalid(void **state) {
        Pair *pair = *state;
        char bytes[2 * sizeof(KeeperRecord)];
        KeeperRecord record = { .type = KEEPER_STATUS }, out = { .type = 1234 };
        int fd = 77;

        memset(bytes, 0, sizeof(bytes));
        send_raw(pair->a, bytes, 1, 0);
        send_raw(pair->a, bytes, sizeof(record) - 1, 1);
        send_raw(pair->a, bytes, sizeof(record) + 1, 1);
        send_raw(pair->a, bytes, sizeof(bytes), 0);
        send_raw(pair->a, &record, sizeof(record), 2);
        send_raw(pair->a, &record, sizeof(record), 3);
        send_raw(pair->a, &record, sizeof(record), 10);
        memset(record.text, 'x', sizeof(record.text));
        send_raw(pair->a, &record, sizeof(record), 1);
        memset(record.text, 0, sizeof(record.text));
        memset(record.name, 'x', sizeof(record.name));
        send_raw(pair->a, &record, sizeof(record), 0);
        for (int i = 0; i < 9; i++) {
                assert_int_equal(keeper_record_receive(pair->b, &out, &fd), KEEPER_E_INVALID);
                assert_int_equal(fd, 77);
                assert_int_equal(out.type, 1234);
        }
        assert_int_equal(keeper_record_receive(pair->b, &out, &fd), KEEPER_E_AGAIN);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, pair_open, pair_close),
                cmocka_unit_test_setup_teardown(test_descriptor, pair_open, pair_close),
                cmocka_unit_test_setup_teardown(test_full_and_closed, pair_open, pair_close),
                cmocka_unit_test_setup_teardown(test_invalid, pair_open, pair_close),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
