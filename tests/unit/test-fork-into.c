/* SPDX-License-Identifier: Apache-2.0 */

/* fork_into(): what it gives birth to is as after fork(), and in the cgroup. */

#include "cgroup.h"
#include "fork-into.h"
#include "process-id.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

static char the_trace[64];

static void trace(char c) {
        size_t n = strlen(the_trace);

        the_trace[n] = c;
        the_trace[n + 1] = '\0';
}

static void prepare_a(void) {
        trace('a');
}
static void prepare_b(void) {
        trace('b');
}
static void parent_a(void) {
        trace('p');
}
static void parent_b(void) {
        trace('q');
}
static void child_a(void) {
        trace('c');
}
static void child_b(void) {
        trace('d');
}

static int wait_status(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* What a child finds of its own identity; 0 when all is well. */
static int child_complaint(void) {
        pthread_mutexattr_t attributes;
        pthread_mutex_t mutex;
        pthread_t self = pthread_self();

        if (getpid() != (pid_t)syscall(SYS_gettid))
                return 10;
        pthread_mutexattr_init(&attributes);
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(&mutex, &attributes);
        if (pthread_mutex_lock(&mutex) != 0 || mutex.__data.__owner != getpid() ||
            pthread_mutex_unlock(&mutex) != 0)
                return 11;
        if (pthread_kill(self, 0) != 0)
                return 12;
        return 0;
}

static void *thread_nothing(void *argument) {
        return argument;
}

static int child_makes_threads(void) {
        pthread_t thread;
        void *value = NULL;

        if (pthread_create(&thread, NULL, thread_nothing, &value) != 0 ||
            pthread_join(thread, &value) != 0)
                return 13;
        return 0;
}

static CgroupBase *base_or_fail(void) {
        CgroupBase *base = NULL;
        unsigned ended;

        return cgroup_base_new(&base, "test-fork-into", &ended) == 0 ? base : NULL;
}

static void test_handlers_run_in_order(void **state) {
        CgroupBase *base = base_or_fail();
        ForkIntoHow how;
        Cgroup *cgroup = NULL;
        int pidfd, status;
        pid_t pid;

        (void)state;
        if (base)
                assert_int_equal(cgroup_new(base, &cgroup), 0);
        assert_int_equal(pthread_atfork(prepare_a, parent_a, child_a), 0);
        assert_int_equal(pthread_atfork(prepare_b, parent_b, child_b), 0);
        the_trace[0] = '\0';

        pid = fork_into(cgroup ? cgroup_fd(cgroup) : -1, &pidfd, &how);
        if (pid == 0)
                _exit(strcmp(the_trace, "bacd") == 0 ? child_complaint() ?: child_makes_threads()
                                                     : 20);
        assert_true(pid > 0);
        assert_string_equal(the_trace, "bapq");
        assert_true(pidfd >= 0);
        status = wait_status(pid);
        assert_int_equal(status, 0);
        close_fd(pidfd);
        cgroup_release(cgroup);
        if (base)
                cgroup_base_free(base);
}

static void test_born_in_its_cgroup(void **state) {
        CgroupBase *base = base_or_fail();
        int pidfd, release[2];
        ForkIntoHow how;
        Cgroup *cgroup;
        pid_t pid;

        (void)state;
        if (!base || !fork_into_is_proven()) {
                cgroup_base_free(base);
                return; /* nothing of it is used here either */
        }
        assert_int_equal(cgroup_new(base, &cgroup), 0);
        assert_int_equal(pipe(release), 0);

        pid = fork_into(cgroup_fd(cgroup), &pidfd, &how);
        if (pid == 0) {
                char c;

                close(release[1]);
                _exit(read(release[0], &c, 1) == 0 ? 7 : 8);
        }
        assert_true(pid > 0);
        assert_int_equal(how, FORK_INTO_BORN);
        assert_true(cgroup_contains(cgroup, pid));
        close(release[0]);
        close(release[1]);
        assert_int_equal(wait_status(pid), 7);
        close_fd(pidfd);
        cgroup_release(cgroup);
        cgroup_base_free(base);
}

static void test_without_a_cgroup_it_is_fork(void **state) {
        ForkIntoHow how;
        int pidfd;
        pid_t pid;

        (void)state;
        the_trace[0] = '\0';
        pid = fork_into(-1, &pidfd, &how);
        if (pid == 0)
                _exit(strcmp(the_trace, "bacd") == 0 ? child_complaint() : 20);
        assert_int_equal(how, FORK_INTO_BORN);
        assert_int_equal(wait_status(pid), 0);
        close_fd(pidfd);
}

/* A descriptor that is no cgroup: the child is there nevertheless, and is to enter by itself. */
static void test_what_is_no_cgroup(void **state) {
        int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), pidfd;
        ForkIntoHow how;
        pid_t pid;

        (void)state;
        the_trace[0] = '\0';
        pid = fork_into(fd, &pidfd, &how);
        if (pid == 0)
                _exit(how == FORK_INTO_ENTER ? child_complaint() : 21);
        assert_int_equal(how, FORK_INTO_ENTER);
        assert_int_equal(wait_status(pid), 0);
        close_fd(pidfd);
        close_fd(fd);
}

#ifndef __SANITIZE_ADDRESS__ /* which does not let itself be preloaded behind others */
/* A fork_into() in a fresh process of this program, with that library preloaded or loaded; its exit
 * status is then 0 when the child has that variable. */
static int run_with(const char *preloaded, const char *loaded, const char *variable) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                if (preloaded)
                        setenv("LD_PRELOAD", preloaded, 1);
                execl("/proc/self/exe", "test-fork-into", loaded ?: "", variable, NULL);
                _exit(99);
        }
        return wait_status(pid);
}

/* Whichever way it came, what fork() would have run for it is run. */
static void test_libraries(void **state) {
        (void)state;
        assert_int_equal(run_with(TEST_MODULES "/atfork.so", NULL, "TEST_ATFORK"), 0);
        assert_int_equal(run_with(TEST_MODULES "/fork-of-its-own.so", NULL, "TEST_FORK"), 0);
        assert_int_equal(run_with(NULL, TEST_MODULES "/atfork.so", "TEST_ATFORK"), 0);
        assert_int_equal(run_with(NULL, NULL, "TEST_ATFORK"), 1);
}
#endif

static int fork_with(const char *loaded, const char *variable) {
        CgroupBase *base = base_or_fail();
        Cgroup *cgroup = NULL;
        ForkIntoHow how;
        int pidfd;
        pid_t pid;

        if (*loaded && !dlopen(loaded, RTLD_NOW | RTLD_DEEPBIND))
                return 98;
        if (base && cgroup_new(base, &cgroup) < 0)
                return 97;
        pid = fork_into(cgroup ? cgroup_fd(cgroup) : -1, &pidfd, &how);
        if (pid == 0)
                _exit(!getenv(variable));
        pid = wait_status(pid);
        cgroup_release(cgroup);
        cgroup_base_free(base);
        return pid;
}

/* Last: from here on nothing is proven any more. */
static void test_an_unloaded_library_ends_the_proof(void **state) {
        void *handle = dlopen("libutil.so.1", RTLD_NOW);
        bool before = fork_into_is_proven();

        (void)state;
        if (!handle)
                handle = dlopen("libBrokenLocale.so.1", RTLD_NOW);
        assert_non_null(handle);
        dlclose(handle);
#ifdef __SANITIZE_ADDRESS__
        assert_false(before);
#else
        assert_true(before);
#endif
        assert_false(fork_into_is_proven());
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_handlers_run_in_order),
                cmocka_unit_test(test_born_in_its_cgroup),
                cmocka_unit_test(test_without_a_cgroup_it_is_fork),
                cmocka_unit_test(test_what_is_no_cgroup),
#ifndef __SANITIZE_ADDRESS__
                cmocka_unit_test(test_libraries),
#endif
                cmocka_unit_test(test_an_unloaded_library_ends_the_proof),
        };

        if (argc == 3)
                return fork_with(argv[1], argv[2]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
