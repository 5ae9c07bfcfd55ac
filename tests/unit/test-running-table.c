/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/running-table.h: what one process writes another reads, whatever killed the first.
 */

#include "running-table.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static RunningSlot slot(uint64_t job) {
        RunningSlot s = { .job = job,
                          .attempt = (uint32_t)job + 1,
                          .pid = (int32_t)job + 2,
                          .start_time = job * 3,
                          .uid = 1000,
                          .class = 1 };

        snprintf(s.server, sizeof(s.server), "server%u", (unsigned)job);
        return s;
}

static size_t count_valid(const RunningTable *t) {
        RunningSlot s;
        size_t n = 0;
        bool valid;

        for (size_t i = 0; running_table_get(t, i, &s, &valid); i++) {
                RunningSlot expected;

                if (!valid)
                        continue;
                n++;
                expected = slot(s.job);
                expected.seal = s.seal;
                assert_memory_equal(&s, &expected, sizeof(s));
        }
        return n;
}

static void test_put_get_clear(void **state) {
        RunningTable *t = NULL;
        RunningSlot s, got;
        bool valid = true;
        int numbers[4];

        (void)state;
        assert_int_equal(running_table_new(&t, 0), -EINVAL);
        assert_int_equal(running_table_new(&t, 4), 0);
        assert_true(fcntl(running_table_fd(t), F_GETFD) & FD_CLOEXEC);
        for (int i = 0; i < 4; i++) {
                s = slot((uint64_t)i);
                numbers[i] = running_table_put(t, &s);
                assert_true(numbers[i] >= 0 && numbers[i] < 4);
        }
        assert_int_equal(running_table_put(t, &s), -ENOSPC);
        assert_int_equal(count_valid(t), 4);
        assert_false(running_table_get(t, 4, &got, &valid));

        running_table_clear(t, numbers[2]);
        running_table_clear(t, numbers[2]); /* twice is once */
        running_table_clear(t, 4);
        running_table_clear(t, -1);
        assert_int_equal(count_valid(t), 3);
        assert_true(running_table_get(t, (size_t)numbers[2], &got, &valid));
        assert_false(valid);
        assert_int_equal(running_table_put(t, &s), numbers[2]);
        assert_int_equal(running_table_put(t, &s), -ENOSPC);
        assert_null(running_table_free(t));
        assert_null(running_table_free(NULL));
}

static void test_reopen(void **state) {
        RunningTable *t, *again;
        RunningSlot s;
        int fd;

        (void)state;
        assert_int_equal(running_table_new(&t, 100), 0);
        for (uint64_t i = 0; i < 60; i++) {
                s = slot(i);
                assert_true(running_table_put(t, &s) >= 0);
        }
        fd = fcntl(running_table_fd(t), F_DUPFD_CLOEXEC, 0);
        running_table_free(t);
        assert_int_equal(running_table_open(&again, fd), 0);
        assert_int_equal(count_valid(again), 60);
        for (int i = 0; i < 40; i++)
                assert_true(running_table_put(again, &s) >= 0);
        assert_int_equal(running_table_put(again, &s), -ENOSPC);
        running_table_free(again);
        assert_int_equal(fcntl(fd, F_GETFD), -1); /* it was the table's */
}

static void test_open_refuses(void **state) {
        RunningTable *t = NULL, *made;
        int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING), pipes[2];
        char boot[40];

        (void)state;
        assert_int_equal(running_table_open(&t, fd), -EBADMSG); /* no seals */
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
        assert_int_equal(running_table_open(&t, fd), -EBADMSG); /* empty */
        close(fd);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(running_table_open(&t, pipes[0]), -EBADMSG);
        close(pipes[0]);
        close(pipes[1]);

        /* another boot: the id stands at 24 */
        assert_int_equal(running_table_new(&made, 4), 0);
        fd = running_table_fd(made);
        assert_int_equal(pread(fd, boot, sizeof(boot), 24), sizeof(boot));
        assert_int_equal(boot[8], '-');
        boot[0] = boot[0] == '0' ? '1' : '0';
        assert_int_equal(pwrite(fd, boot, sizeof(boot), 24), sizeof(boot));
        assert_int_equal(running_table_open(&t, fd), -EBADMSG);
        boot[0] = boot[0] == '0' ? '1' : '0';
        assert_null(t);
        running_table_free(made);
}

/* Any byte of a slot that changes without its seal makes it read as empty. */
static void test_torn_slot(void **state) {
        RunningTable *t;
        RunningSlot s = slot(1), got;
        struct stat st;
        off_t first;
        bool valid;

        (void)state;
        assert_int_equal(running_table_new(&t, 1), 0);
        assert_int_equal(running_table_put(t, &s), 0);
        assert_int_equal(fstat(running_table_fd(t), &st), 0);
        first = st.st_size - (off_t)sizeof(RunningSlot);
        for (off_t i = first; i < st.st_size; i++) {
                uint8_t byte, other;

                assert_int_equal(pread(running_table_fd(t), &byte, 1, i), 1);
                other = byte ^ 1;
                assert_int_equal(pwrite(running_table_fd(t), &other, 1, i), 1);
                assert_true(running_table_get(t, 0, &got, &valid));
                assert_false(valid);
                assert_int_equal(pwrite(running_table_fd(t), &byte, 1, i), 1);
                assert_true(running_table_get(t, 0, &got, &valid));
                assert_true(valid);
        }
        running_table_free(t);
}

/* A writer that is killed anywhere leaves only whole slots. */
static void test_killed_writer(void **state) {
        (void)state;
        for (int i = 0; i < 30; i++) {
                RunningTable *t;
                char byte;
                pid_t pid;
                int pipes[2];

                assert_int_equal(running_table_new(&t, 64), 0);
                assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        for (uint64_t k = 0;; k++) {
                                RunningSlot s = slot(k);
                                int number = running_table_put(t, &s);

                                if (k == (uint64_t)i * 50 && write(pipes[1], "x", 1) < 0)
                                        _exit(1);
                                if (number < 0 || k % 3)
                                        running_table_clear(t, (int)(k * 7 % 64));
                        }
                }
                assert_int_equal(read(pipes[0], &byte, 1), 1);
                kill(pid, SIGKILL);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                count_valid(t); /* asserts each one's content */
                close(pipes[0]);
                close(pipes[1]);
                running_table_free(t);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_put_get_clear), cmocka_unit_test(test_reopen),
                cmocka_unit_test(test_open_refuses),  cmocka_unit_test(test_torn_slot),
                cmocka_unit_test(test_killed_writer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
