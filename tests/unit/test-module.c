/* SPDX-License-Identifier: Apache-2.0 */

/* Modules: what is loaded, what is refused with which sentence, and whether forking is safe
 * afterwards. Each case in a child, as loading changes the process. */

#include "basic.h"

#include "module.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#define M(name) TEST_MODULES "/" name ".so"

/* Runs body in a child, whose standard error goes away, and asserts that it reached its end. */
#define IN_CHILD(...)                                                                              \
        do {                                                                                       \
                int status_;                                                                       \
                pid_t pid_ = fork();                                                               \
                                                                                                   \
                assert_true(pid_ >= 0);                                                            \
                if (pid_ == 0) {                                                                   \
                        __VA_ARGS__;                                                               \
                        _exit(42);                                                                 \
                }                                                                                  \
                assert_int_equal(waitpid(pid_, &status_, 0), pid_);                                \
                assert_true(WIFEXITED(status_));                                                   \
                assert_int_equal(WEXITSTATUS(status_), 42);                                        \
        } while (0)

/* In children a failed assertion must end them. */
#define EXPECT(condition)                                                                          \
        do {                                                                                       \
                if (!(condition)) {                                                                \
                        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
                        _exit(1);                                                                  \
                }                                                                                  \
        } while (0)

static void expect_refused(const char *const *names, const char *sentence) {
        char *reason = NULL;
        ModuleSet *set;

        EXPECT(modules_load(&set, (char *const *)names, &reason) == MODULES_E_FAILED);
        if (!strstr(reason, sentence)) {
                fprintf(stderr, "'%s' is not in '%s'\n", sentence, reason);
                _exit(1);
        }
        free(reason);
}

static void test_load(void **state) {
        (void)state;
        IN_CHILD({
                char *names[] = { (char *)"misbehave", NULL };
                const ForkdModule *module = NULL;
                char *reason = NULL;
                ModuleSet *set;
                size_t n;

                setenv("FORKD_MODULE_PATH", "/no/such:" TEST_MODULES, 1);
                EXPECT(modules_load(&set, names, &reason) == 0);
                EXPECT(modules_count(set) == 1);
                EXPECT(streq(modules_get(set, 0)->name, "misbehave"));
                EXPECT(modules_find(set, "echo", &module) && module == modules_get(set, 0));
                EXPECT(!modules_find(set, "ech", NULL) && !modules_find(set, "", NULL));
                modules_kept_fds(set, &n);
                EXPECT(n == 1);
                modules_free(set);
        });
        IN_CHILD({
                char *names[] = { NULL };
                char *reason = NULL;
                ModuleSet *set;

                EXPECT(modules_load(&set, names, &reason) == 0);
                EXPECT(modules_count(set) == 0);
                modules_free(set);
        });
}

static void test_refused(void **state) {
        static const struct {
                const char *names[3];
                const char *sentence;
        } cases[] = {
                { { M("no-such") }, "module '" M("no-such") "' cannot be loaded: " },
                { { "no-such" }, "module 'no-such': there is no no-such.so in " },
                { { M("nomodule") }, "module '" M("nomodule") "' is none: " },
                { { M("badabi") }, "module '" M("badabi") "' was built for version 2 " },
                { { M("noentries") }, "module '" M("noentries") "' has no entries" },
                { { M("badname") }, "module '" M("badname") "' has an entry named 'no name'" },
                { { M("misbehave"), M("twice") },
                  "module '" M(
                          "twice") "' has an entry 'echo', but so does the module 'misbehave'" },
                { { M("preload-fails") },
                  "module '" M(
                          "preload-fails") "': its preload failed: No such file or directory" },
                { { "/etc/passwd" }, "module '/etc/passwd' cannot be loaded: " },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                IN_CHILD(expect_refused(cases[i].names, cases[i].sentence));
}

static void load(const char *name) {
        char *names[] = { (char *)name, NULL };
        char *reason = NULL;
        ModuleSet *set;

        EXPECT(modules_load(&set, names, &reason) == 0);
}

/* The test program itself may have inherited descriptors. */
static void close_all(void) {
        EXPECT(close_range(3, ~0U, 0) == 0);
}

static void expect_unsafe(const char *sentence) {
        char *reason = NULL;

        EXPECT(modules_check_safety(NULL, 0, &reason) == MODULES_E_FAILED);
        if (!strstr(reason, sentence)) {
                fprintf(stderr, "'%s' is not in '%s'\n", sentence, reason);
                _exit(1);
        }
        free(reason);
}

static void on_signal(int number) {
        (void)number;
}

static void test_safety(void **state) {
        (void)state;
        IN_CHILD({
                int fd;
                char *reason = NULL;

                close_all();
                EXPECT(modules_check_safety(NULL, 0, &reason) == 0);
                fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
                expect_unsafe("descriptor 3 (/dev/null) is open and undeclared");
                EXPECT(modules_check_safety(&fd, 1, &reason) == 0);
        });
        IN_CHILD({
                close_all();
                load(M("leaky"));
                expect_unsafe(" (/dev/full) is open and undeclared");
        });
        IN_CHILD({
                load(M("threaded"));
                expect_unsafe("'left-behind' is running");
        });
}

static void test_safety_signals(void **state) {
        (void)state;
        IN_CHILD({
                struct sigaction action;
                char *reason = NULL;

                close_all();
                signal(SIGCHLD, SIG_IGN);
                expect_unsafe("SIGCHLD is ignored");
                signal(SIGCHLD, on_signal);
                signal(SIGPIPE, on_signal);
                signal(SIGHUP, SIG_IGN); /* as nohup(1) does */
                EXPECT(modules_check_safety(NULL, 0, &reason) == 0);
                EXPECT(sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
                EXPECT(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
        });
}

/* Numbers that workers need for themselves are not given to modules. */
static void test_reserved_descriptors(void **state) {
        (void)state;
        IN_CHILD({
                char *names[] = { (char *)M("misbehave"), NULL };
                char *reason = NULL;
                const int *kept;
                ModuleSet *set;
                size_t n;

                close_all();
                EXPECT(modules_load(&set, names, &reason) == 0);
                kept = modules_kept_fds(set, &n);
                EXPECT(n == 1 && kept[0] == 5);
                EXPECT(modules_check_safety(kept, n, &reason) == 0);
                modules_free(set);
        });
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_load),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_safety),
                cmocka_unit_test(test_safety_signals),
                cmocka_unit_test(test_reserved_descriptors),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
