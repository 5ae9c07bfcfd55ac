/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/cgroup.h, on the real cgroup2 where it is writable (skipped elsewhere). */

#include "cgroup-tree.h"
#include "cgroup.h"

#include <linux/sched.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static char the_instance[64];

static CgroupBase *base_make(void) {
        CgroupBase *base = NULL;
        unsigned ended = 99;
        int r = cgroup_base_new(&base, the_instance, &ended);

        if (r > 0) {
                print_message("%s\n", cgroup_error_string(r));
                skip();
        }
        assert_int_equal(r, 0);
        assert_int_equal(ended, 0);
        return base;
}

/* Frees and sees that nothing is left. */
static void base_end(CgroupBase *base) {
        char *path = strdup(cgroup_base_path(base));

        while (cgroup_base_tidy(base, 0))
                ;
        assert_null(cgroup_base_free(base));
        assert_int_equal(access(path, F_OK), -1);
        free(path);
}

static pid_t born_in(int dir_fd) {
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)dir_fd,
        };

        return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* A process in the cgroup that tells by its end how it went. */
static pid_t sleeper(int dir_fd) {
        pid_t pid = born_in(dir_fd);

        if (pid == 0)
                for (;;)
                        pause();
        assert_true(pid > 0);
        return pid;
}

static void expect_signal(pid_t pid, int signal) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signal);
}

static void wait_unpopulated(const Cgroup *c) {
        struct pollfd p = { .fd = cgroup_events_fd(c), .events = POLLPRI };

        while (cgroup_populated(c) == 1)
                assert_true(poll(&p, 1, 10000) > 0);
        assert_int_equal(cgroup_populated(c), 0);
}

static void test_off(void **state) {
        CgroupBase *base = NULL;
        unsigned ended;

        (void)state;
        setenv("FORKD_CGROUP", "off", 1);
        assert_int_equal(cgroup_base_new(&base, the_instance, &ended), CGROUP_E_NOT_WRITABLE);
        unsetenv("FORKD_CGROUP");
        assert_null(base);
        for (int e = CGROUP_E_NO_CGROUP2; e <= CGROUP_E_BROKEN; e++)
                assert_string_not_equal(cgroup_error_string(e), cgroup_error_string(0));
}

static void test_count(void **state) {
        static const char text[] = "low 0\nhigh 1\nmax 22\noom 3\noom_group_kill 9\noom_kill 4\n";
        char folder[] = "/tmp/test-cgroup-XXXXXX", path[64];
        uint64_t n = 99;
        int fd, dir;

        (void)state;
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/memory.events", folder);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
        dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

        assert_int_equal(cgroup_read_count(dir, "memory.events", "oom_kill", &n), 0);
        assert_int_equal(n, 4);
        assert_int_equal(cgroup_read_count(dir, "memory.events", "low", &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(cgroup_read_count(dir, "memory.events", "oom_group", &n), -ENODATA);
        assert_int_equal(cgroup_read_count(dir, "memory.peak", "oom_kill", &n), -ENOENT);
        close(dir);
        unlink(path);
        rmdir(folder);
}

static void test_kill(void **state) {
        CgroupBase *base = base_make();
        pid_t pids[2], seen[1];
        uint64_t peak;
        Cgroup *c;

        (void)state;
        assert_int_equal(cgroup_new(base, &c), 0);
        assert_int_equal(cgroup_populated(c), 0);
        pids[0] = sleeper(cgroup_fd(c));
        pids[1] = sleeper(cgroup_fd(c));
        assert_int_equal(cgroup_populated(c), 1);
        assert_int_equal(cgroup_pids(c, seen, 1), 2);
        assert_true(seen[0] == pids[0] || seen[0] == pids[1]);
        assert_true(cgroup_contains(c, pids[0]));
        assert_false(cgroup_contains(c, getpid()));
        if (cgroup_memory_peak(c, &peak) != 0)
                assert_int_equal(cgroup_memory_peak(c, &peak), -ENODATA);
        assert_int_equal(cgroup_oom_kills(c), 0);

        assert_int_equal(cgroup_kill(c), 0);
        wait_unpopulated(c); /* zombies do not count */
        assert_true(cgroup_contains(c, pids[0]));
        assert_int_equal(cgroup_pids(c, NULL, 0), 0);
        expect_signal(pids[0], SIGKILL);
        expect_signal(pids[1], SIGKILL);
        assert_null(cgroup_release(c));
        base_end(base);
}

/* One that was born elsewhere comes to be a member. */
static void test_attach(void **state) {
        CgroupBase *base = base_make();
        Cgroup *from, *to;
        pid_t pid;

        (void)state;
        assert_int_equal(cgroup_new(base, &from), 0);
        assert_int_equal(cgroup_new(base, &to), 0);
        pid = sleeper(cgroup_fd(from));
        assert_int_equal(cgroup_attach(to, pid), 0);
        assert_true(cgroup_contains(to, pid));
        assert_false(cgroup_contains(from, pid));
        assert_int_equal(cgroup_populated(from), 0);
        assert_int_equal(cgroup_kill(to), 0);
        expect_signal(pid, SIGKILL);
        assert_int_equal(cgroup_attach(to, pid), -ESRCH); /* it is no more */
        cgroup_release(from);
        cgroup_release(to);
        base_end(base);
}

static void test_signal_reaches_only_members(void **state) {
        CgroupBase *base = base_make();
        pid_t mine, other;
        Cgroup *a, *b;

        (void)state;
        assert_int_equal(cgroup_new(base, &a), 0);
        assert_int_equal(cgroup_new(base, &b), 0);
        mine = sleeper(cgroup_fd(a));
        other = sleeper(cgroup_fd(b));
        assert_int_equal(cgroup_signal(a, SIGTERM), 0);
        expect_signal(mine, SIGTERM);
        assert_int_equal(cgroup_populated(b), 1);
        assert_int_equal(cgroup_signal(b, SIGINT), 0);
        expect_signal(other, SIGINT);
        cgroup_release(a);
        cgroup_release(b);
        base_end(base);
}

static void test_freeze(void **state) {
        CgroupBase *base = base_make();
        int pipes[2], status;
        char byte = 0;
        pid_t pid;
        Cgroup *c;

        (void)state;
        assert_int_equal(cgroup_new(base, &c), 0);
        assert_int_equal(cgroup_freeze(c, true), 0);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid = born_in(cgroup_fd(c));
        if (pid == 0)
                _exit(write(pipes[1], "x", 1) == 1 ? 0 : 1);
        assert_true(pid > 0);
        close(pipes[1]);
        assert_int_equal(fcntl(pipes[0], F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(read(pipes[0], &byte, 1), -1); /* born frozen, it writes nothing */
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(cgroup_freeze(c, false), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(read(pipes[0], &byte, 1), 1);
        close(pipes[0]);
        cgroup_release(c);
        base_end(base);
}

/* What a job made below its cgroup is counted, killed and removed. */
static void test_tree_below(void **state) {
        CgroupBase *base = base_make();
        char path[512], name[700];
        pid_t deep;
        Cgroup *c;
        int fd;

        (void)state;
        assert_int_equal(cgroup_new(base, &c), 0);
        snprintf(name, sizeof(name), "/proc/self/fd/%d", cgroup_fd(c));
        path[readlink(name, path, sizeof(path) - 1)] = '\0';
        snprintf(name, sizeof(name), "%s/a", path);
        assert_int_equal(mkdir(name, 0755), 0);
        snprintf(name, sizeof(name), "%s/b", path);
        assert_int_equal(mkdir(name, 0755), 0);
        snprintf(name, sizeof(name), "%s/a/b", path);
        assert_int_equal(mkdir(name, 0755), 0);
        fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        deep = sleeper(fd);
        close(fd);

        assert_int_equal(cgroup_populated(c), 1);
        assert_int_equal(cgroup_pids(c, NULL, 0), 1);
        assert_true(cgroup_contains(c, deep));
        cgroup_release(c);
        assert_false(
                cgroup_base_tidy(base, 0)); /* populated: stays, and is nothing to hurry about */
        assert_int_equal(access(name, F_OK), 0);
        assert_int_equal(kill(deep, SIGKILL), 0);
        expect_signal(deep, SIGKILL);
        base_end(base);
}

static void path_of(const Cgroup *c, char ret[static 300]) {
        char name[64];

        snprintf(name, sizeof(name), "/proc/self/fd/%d", cgroup_fd(c));
        ret[readlink(name, ret, 299)] = '\0';
}

static void test_ready_and_fresh(void **state) {
        CgroupBase *base = base_make();
        Cgroup *c[5];
        char a[300], b[300];

        (void)state;
        while (cgroup_base_tidy(base, 3))
                ;
        for (int i = 0; i < 5; i++) { /* three from those ready, two made now */
                assert_int_equal(cgroup_new(base, &c[i]), 0);
                path_of(c[i], a);
                for (int k = 0; k < i; k++) {
                        path_of(c[k], b);
                        assert_string_not_equal(a, b);
                }
        }
        for (int i = 0; i < 5; i++)
                cgroup_release(c[i]);
        base_end(base);
}

/* What its attempt has left no trace in serves the next one; what was killed or frozen, or has
 * grown, does not. */
static void test_used_again(void **state) {
        CgroupBase *base = base_make();
        char first[300], next[300];

        (void)state;
        for (int trace = 0; trace < 4; trace++) {
                Cgroup *c;

                assert_int_equal(cgroup_new(base, &c), 0);
                path_of(c, first);
                if (trace == 1)
                        assert_int_equal(cgroup_kill(c), 0);
                else if (trace == 2)
                        assert_int_equal(cgroup_freeze(c, false), 0);
                else if (trace == 3) {
                        char below[320];

                        snprintf(below, sizeof(below), "%s/below", first);
                        assert_int_equal(mkdir(below, 0755), 0);
                }
                cgroup_release(c);

                assert_int_equal(cgroup_new(base, &c), 0);
                path_of(c, next);
                if (trace == 0)
                        assert_string_equal(first, next);
                else
                        assert_string_not_equal(first, next);
                cgroup_release(c);
        }
        base_end(base);
}

/* A former forkd: makes a base and frozen processes in it, and dies without a word. */
static _Noreturn void former_forkd(int report_fd) {
        CgroupBase *base;
        unsigned ended;
        pid_t pids[3];
        Cgroup *c;

        if (cgroup_base_new(&base, the_instance, &ended) != 0 || cgroup_new(base, &c) != 0)
                _exit(1);
        for (int i = 0; i < 3; i++)
                pids[i] = sleeper(cgroup_fd(c));
        if (cgroup_freeze(c, true) < 0 || write(report_fd, pids, sizeof(pids)) != sizeof(pids))
                _exit(1);
        _exit(0);
}

/* The next forkd ends what the last one has left. */
static void test_left_behind(void **state) {
        CgroupBase *base = base_make();
        unsigned ended = 0;
        int pipes[2], status;
        pid_t pids[3], pid;
        Cgroup *c;

        (void)state;
        base_end(base); /* or this test is skipped */
        assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L), 0);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0)
                former_forkd(pipes[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(read(pipes[0], pids, sizeof(pids)), sizeof(pids));
        close(pipes[0]);
        close(pipes[1]);

        assert_int_equal(cgroup_base_new(&base, the_instance, &ended), 0);
        assert_int_equal(ended, 3);
        for (int i = 0; i < 3; i++)
                expect_signal(pids[i], SIGKILL);

        /* and newborns live in what came after */
        assert_int_equal(cgroup_new(base, &c), 0);
        pids[0] = sleeper(cgroup_fd(c));
        assert_int_equal(cgroup_signal(c, SIGTERM), 0);
        expect_signal(pids[0], SIGTERM);
        cgroup_release(c);
        base_end(base);
}

static void test_of_process(void **state) {
        char *inner = NULL;
        int r = cgroup_of_process(getpid(), &inner);

        (void)state;
        if (r == 0)
                assert_int_equal(inner[0], '/');
        free(inner);
        assert_true(cgroup_of_process(0x7ffffffe, &inner) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_off),
                cmocka_unit_test(test_count),
                cmocka_unit_test(test_kill),
                cmocka_unit_test(test_attach),
                cmocka_unit_test(test_signal_reaches_only_members),
                cmocka_unit_test(test_freeze),
                cmocka_unit_test(test_tree_below),
                cmocka_unit_test(test_ready_and_fresh),
                cmocka_unit_test(test_used_again),
                cmocka_unit_test(test_left_behind),
                cmocka_unit_test(test_of_process),
        };

        snprintf(the_instance, sizeof(the_instance), "forkd-test-%d", (int)getpid());
        return cmocka_run_group_tests(tests, NULL, NULL);
}
