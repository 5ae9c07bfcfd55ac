/* SPDX-License-Identifier: Apache-2.0 */

/* Who a process is, living, as a zombie and gone. */

#include "basic.h"

#include "process-id.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

static pid_t child(void) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                prctl(PR_SET_NAME, "a) Z 1 (b");
                raise(SIGSTOP);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
        return pid;
}

static void test_life(void **state) {
        pid_t pid = child(), parent, group, session;
        uint64_t start, again, bytes = 0;
        struct pollfd p = { .events = POLLIN };
        char letter;
        int fd;

        (void)state;
        /* the name does not confuse */
        assert_int_equal(process_stat(pid, &parent, &group, &session, &letter, &start), 0);
        assert_int_equal(parent, getpid());
        assert_int_equal(group, getpgrp());
        assert_int_equal(session, getsid(0));
        assert_int_equal(letter, 'T');
        assert_true(start > 0);
        assert_int_equal(process_memory(pid, &bytes, NULL), 0);
        assert_true(bytes > 0);

        fd = process_open(pid, start);
        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(process_open(pid, start + 1), -ESRCH);

        assert_int_equal(process_signal(fd, SIGKILL), 0);
        p.fd = fd;
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_int_equal(process_start_time(pid, &again), 0); /* also of a zombie */
        assert_int_equal(start, again);
        close(process_open(pid, start));
        assert_int_equal(process_memory(pid, &bytes, NULL), -ESRCH);

        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(process_signal(fd, 0), -ESRCH);
        assert_int_equal(process_start_time(pid, &again), -ESRCH);
        assert_int_equal(process_open(pid, start), -ESRCH);
        assert_int_equal(process_open(pid, 0), -ESRCH);
        close(fd);
}

static void test_no_process(void **state) {
        uint64_t start;

        (void)state;
        assert_int_equal(process_start_time(0, &start), -ESRCH);
        assert_int_equal(process_start_time(-1, &start), -ESRCH);
        assert_int_equal(process_open(0, 0), -ESRCH);
        assert_int_equal(process_open(-1, 0), -ESRCH);
}

static void test_boot_id(void **state) {
        char a[37], b[37];

        (void)state;
        assert_int_equal(boot_id(a), 0);
        assert_int_equal(boot_id(b), 0);
        assert_int_equal(strlen(a), 36);
        assert_string_equal(a, b);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_no_process),
                cmocka_unit_test(test_boot_id),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
