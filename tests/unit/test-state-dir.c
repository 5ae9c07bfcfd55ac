/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/state-dir.h: one daemon at a time, and ids that are never used twice. */

#include "state-dir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

typedef struct Folder {
        char root[64], state[80];
} Folder;

static int folder_make(void **state) {
        static Folder f;

        snprintf(f.root, sizeof(f.root), "/tmp/test-state-XXXXXX");
        if (!mkdtemp(f.root))
                return -1;
        snprintf(f.state, sizeof(f.state), "%s/var/state", f.root);
        *state = &f;
        return 0;
}

static int folder_remove(void **state) {
        Folder *f = *state;
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", f->root);
        return system(command);
}

static StateDir *state_open(const Folder *f) {
        StateDir *s = NULL;

        assert_int_equal(state_dir_open(&s, f->state), 0);
        assert_non_null(s);
        return s;
}

static uint64_t next_id(StateDir *s) {
        uint64_t id = 0;

        assert_int_equal(state_dir_next_id(s, &id), 0);
        return id;
}

static void write_ids(const Folder *f, const char *text, size_t n) {
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/ids", f->state);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, n), n);
        close(fd);
}

static void test_fresh(void **state) {
        Folder *f = *state;
        StateDir *s = state_open(f);
        struct stat st;
        int fds[4];
        size_t n;

        assert_string_equal(state_dir_path(s), f->state);
        assert_int_equal(stat(f->state, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(fstat(state_dir_output_fd(s), &st), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0700);

        n = state_dir_fds(s, fds);
        assert_true(n <= 4);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);

        for (uint64_t id = 1; id <= 2500; id++)
                assert_int_equal(next_id(s), id);
        state_dir_free(s);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(fcntl(fds[i], F_GETFD), -1);
}

static void test_reopen(void **state) {
        uint64_t last = 0;

        for (int i = 0; i < 5; i++) {
                StateDir *s = state_open(*state);

                for (int k = 0; k < 1 + i * 700; k++) {
                        uint64_t id = next_id(s);

                        assert_true(id > last);
                        last = id;
                }
                state_dir_free(s);
        }
        state_dir_free(state_open(*state)); /* opening alone uses none up */
}

/* A process that is killed at any moment while it takes ids; it writes each down before the next.
 */
static void test_crash(void **state) {
        uint64_t *last = mmap(NULL, sizeof(*last), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_true(last != MAP_FAILED);
        for (int i = 0; i < 20; i++) {
                uint64_t before = *last;
                int pipes[2], status;
                StateDir *s;
                pid_t pid;
                char byte;

                assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        uint64_t id, n = 0;

                        close(pipes[0]);
                        if (state_dir_open(&s, ((Folder *)*state)->state) != 0)
                                _exit(1);
                        while (state_dir_next_id(s, &id) == 0) {
                                if (id <= *(volatile uint64_t *)last)
                                        _exit(2);
                                *(volatile uint64_t *)last = id;
                                if (n++ == (uint64_t)i * 333 && write(pipes[1], "", 1) != 1)
                                        _exit(3);
                        }
                        _exit(5);
                }
                close(pipes[1]);
                assert_int_equal(read(pipes[0], &byte, 1), 1);
                close(pipes[0]);
                kill(pid, SIGKILL);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_true(*last > before);

                s = state_open(*state); /* its lock is gone with it */
                assert_true(next_id(s) > *last);
                *last = next_id(s);
                state_dir_free(s);
        }
        munmap(last, sizeof(*last));
}

/* What a write that was cut short has left is no harm. */
static void test_crash_while_reserving(void **state) {
        Folder *f = *state;
        StateDir *s = state_open(f);
        char path[128];
        uint64_t id = next_id(s);
        int fd;

        state_dir_free(s);
        snprintf(path, sizeof(path), "%s/ids.new", f->state);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, "99999999", 8), 8);
        close(fd);
        s = state_open(f);
        assert_true(next_id(s) > id);
        state_dir_free(s);
        assert_int_equal(access(path, F_OK), -1);
}

static void test_locked(void **state) {
        Folder *f = *state;
        StateDir *s = state_open(f), *other = (StateDir *)f;
        int status;
        pid_t pid;

        assert_int_equal(state_dir_open(&other, f->state), STATE_DIR_E_LOCKED);
        assert_ptr_equal(other, f);
        pid = fork();
        if (pid == 0)
                _exit(state_dir_open(&other, f->state) == STATE_DIR_E_LOCKED ? 42 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), 42);
        assert_int_equal(next_id(s), 1);

        state_dir_free(s);
        state_dir_free(state_open(f));
}

/* Never guessed: whoever sees a damaged file must look at it. */
static void test_damaged(void **state) {
        static const struct {
                const char *text;
                size_t n;
        } cases[] = {
                { "", 0 },
                { "\n", 1 },
                { "0\n", 2 },
                { "1001", 4 },
                { "-1\n", 3 },
                { "x1001\n", 6 },
                { "1001x\n", 6 },
                { "1001\nmore", 9 },
                { "10\0\0\0", 5 },
                { "\0\0\0\0\0", 5 },
                { "1001\n\0\0", 7 },
                { "9223372036854775807\n", 20 },
                { "99999999999999999999999\n", 24 },
                { "00000000000000000000000000000000000000001001\n", 45 },
        };
        Folder *f = *state;

        state_dir_free(state_open(f));
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                StateDir *s = (StateDir *)f;
                struct stat st;
                char path[128];

                write_ids(f, cases[i].text, cases[i].n);
                if (state_dir_open(&s, f->state) != STATE_DIR_E_DAMAGED)
                        fail_msg("case %zu was taken for a number", i);
                assert_ptr_equal(s, f);
                snprintf(path, sizeof(path), "%s/ids", f->state);
                assert_int_equal(stat(path, &st), 0);
                assert_int_equal(st.st_size, cases[i].n); /* untouched */
        }

        write_ids(f, "1001\n", 5);
        state_dir_free(state_open(f)); /* and it is not locked for ever */
}

/* Ids that cannot be reserved are not given out. */
static void test_cannot_reserve(void **state) {
        Folder *f = *state;
        StateDir *s = state_open(f);
        uint64_t id = 77, last = 0;
        char path[128];

        while (last < 1000)
                last = next_id(s);
        snprintf(path, sizeof(path), "%s/ids.new", f->state);
        assert_int_equal(mkdir(path, 0700), 0); /* no file can be written there */
        assert_int_equal(state_dir_next_id(s, &id), -EISDIR);
        assert_int_equal(id, 77);
        assert_int_equal(rmdir(path), 0);
        assert_int_equal(next_id(s), 1001);
        state_dir_free(s);
}

static void test_instance(void **state) {
        Folder *f = *state;
        StateDir *s = state_open(f), *other;
        char instance[64], path[160];

        snprintf(instance, sizeof(instance), "%s", state_dir_instance(s));
        assert_memory_equal(instance, "forkd-", 6);
        assert_null(strchr(instance, '/'));
        snprintf(path, sizeof(path), "%s/other", f->root);
        assert_int_equal(state_dir_open(&other, path), 0);
        assert_string_not_equal(state_dir_instance(other), instance);
        state_dir_free(other);
        state_dir_free(s);
        s = state_open(f);
        assert_string_equal(state_dir_instance(s), instance);
        state_dir_free(s);
}

static void test_clear_output(void **state) {
        StateDir *s = state_open(*state);

        assert_int_equal(state_dir_clear_output(s), 0);
        for (int i = 0; i < 30; i++) {
                char name[16];

                snprintf(name, sizeof(name), "%d.out", i);
                close(openat(state_dir_output_fd(s), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        }
        assert_int_equal(state_dir_clear_output(s), 30);
        assert_int_equal(state_dir_clear_output(s), 0);
        state_dir_free(s);
}

static void test_unusable(void **state) {
        Folder *f = *state;
        StateDir *s = (StateDir *)f;
        char path[128];

        snprintf(path, sizeof(path), "%s/file", f->root);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        assert_int_equal(state_dir_open(&s, path), -ENOTDIR);
        assert_ptr_equal(s, f);
        assert_null(state_dir_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_fresh, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_reopen, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_crash, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_crash_while_reserving, folder_make,
                                                folder_remove),
                cmocka_unit_test_setup_teardown(test_locked, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_damaged, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_cannot_reserve, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_instance, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_clear_output, folder_make, folder_remove),
                cmocka_unit_test_setup_teardown(test_unusable, folder_make, folder_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
