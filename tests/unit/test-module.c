/* SPDX-License-Identifier: Apache-2.0 */

/* Modules: what is loaded, what is refused with which sentence, and whether forking is safe
 * afterwards. Each case in a child, as loading changes the process. */

#include "basic.h"

#include "module.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
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

static void test_hint_at_a_slash(void **state) {
        (void)state;
        IN_CHILD({
                char *names[] = { (char *)"hello.so", NULL }, *reason = NULL;
                ModuleSet *set = NULL;

                EXPECT(modules_load(&set, names, &reason) == MODULES_E_FAILED);
                EXPECT(strstr(reason, "no hello.so.so in "));
                EXPECT(strstr(reason, "; a file is named with a slash in its path"));
                free(reason);
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

static int unix_socket(int type, const char *name, bool connected) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", name ?: "");
        EXPECT(fd >= 0);
        if (name && connected)
                EXPECT(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
        else if (name)
                EXPECT(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
        return fd;
}

/* Only what a library would keep to log is called so; /dev/log itself is in test-forkd-server. */
static void test_safety_log_sockets(void **state) {
        char folder[] = "/tmp/forkd-test-XXXXXX", path[64];

        (void)state;
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/socket", folder);
        IN_CHILD({
                char *reason = NULL;
                int fd;

                close_all();
                fd = unix_socket(SOCK_DGRAM, NULL, false);
                expect_unsafe("descriptor 3 (socket:[");
                expect_unsafe("is a socket without a peer, as sd-journal keeps one: let preload");
                EXPECT(modules_check_safety(&fd, 1, &reason) == 0);
        });
        IN_CHILD({
                close_all();
                unix_socket(SOCK_STREAM, NULL, false);
                expect_unsafe("is open and undeclared");
        });
        IN_CHILD({
                char sentence[128];
                int fd;

                close_all();
                fd = unix_socket(SOCK_DGRAM, path, false);
                snprintf(sentence, sizeof(sentence),
                         "descriptor 3 (socket at %s) is open and undeclared", path);
                expect_unsafe(sentence);
                fd = unix_socket(SOCK_DGRAM, path, true); /* some other server's */
                EXPECT(fd == 4 && dup2(fd, 3) == 3);
                snprintf(sentence, sizeof(sentence),
                         "descriptor 3 (socket to %s) is open and undeclared", path);
                expect_unsafe(sentence);
        });
        IN_CHILD({
                close_all();
                EXPECT(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) == 3);
                expect_unsafe("is open and undeclared");
        });
        IN_CHILD({
                struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(514) };

                close_all();
                EXPECT(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) == 3);
                address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                EXPECT(connect(3, (struct sockaddr *)&address, sizeof(address)) == 0);
                expect_unsafe("descriptor 3 (socket to 127.0.0.1:514) is open and undeclared");
        });
        unlink(path);
        snprintf(path, sizeof(path), "%s/caf\xe9", folder);
        IN_CHILD({
                close_all();
                EXPECT(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) == 3);
                expect_unsafe("/caf\xe9) is open and undeclared"); /* no UTF-8, no trouble */
        });
        unlink(path);
        rmdir(folder);
}

/* What forkd_module_keep_fd() was told outside of a preload is the program's. */
static void test_of_program(void **state) {
        static const ForkdEntry none[] = { { 0 } };
        static const ForkdModule empty = { .abi = FORKD_MODULE_ABI,
                                           .name = "empty",
                                           .entries = none };

        (void)state;
        IN_CHILD({
                char *reason = NULL;
                const int *kept;
                ModuleSet *set;
                size_t n;

                EXPECT(modules_of_program(&set, &empty, &reason) == MODULES_E_FAILED);
                EXPECT(streq(reason,
                             "module 'empty' has no entries: list at least one in .entries"));
                free(reason);
                forkd_module_keep_fd(9);
                forkd_module_keep_fd(7);
                forkd_module_keep_fd(9);
                forkd_module_keep_fd(STDOUT_FILENO);
                EXPECT(modules_of_program(&set, NULL, &reason) == 0);
                kept = modules_kept_fds(set, &n);
                EXPECT(modules_count(set) == 0 && n == 2 && kept[0] == 7 && kept[1] == 9);
                modules_free(set);
        });
        IN_CHILD({
                char *reason = NULL;
                ModuleSet *set;

                for (int fd = 3; fd < 3 + 65; fd++)
                        forkd_module_keep_fd(fd);
                EXPECT(modules_of_program(&set, NULL, &reason) == MODULES_E_FAILED);
                EXPECT(streq(reason, "the modules keep 65 descriptors open, more than 64"));
                free(reason);
        });
}

static void test_arguments(void **state) {
        (void)state;
        IN_CHILD({
                unsetenv("FORKD_ARGUMENTS");
                EXPECT(json_object_size(forkd_module_arguments()) == 0);
        });
        IN_CHILD({
                const json_t *arguments;

                setenv("FORKD_ARGUMENTS", "{\"n\": 1}", 1);
                arguments = forkd_module_arguments();
                EXPECT(json_integer_value(json_object_get(arguments, "n")) == 1);
                setenv("FORKD_ARGUMENTS", "{}", 1);
                EXPECT(forkd_module_arguments() == arguments); /* read once */
        });
        IN_CHILD({
                /* as in the twin, whose workers get the environments of jobs */
                load(M("misbehave"));
                setenv("FORKD_ARGUMENTS", "{\"n\": 1}", 1);
                EXPECT(json_object_size(forkd_module_arguments()) == 0);
        });
        IN_CHILD({
                static const char *const wrong[] = { "", "[]", "{", "{} {}", "{\"a\":1,\"a\":2}" };

                for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                        setenv("FORKD_ARGUMENTS", wrong[i], 1);
                        EXPECT(modules_read_arguments() == -EINVAL);
                }
                EXPECT(json_object_size(forkd_module_arguments()) == 0);
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
                cmocka_unit_test(test_hint_at_a_slash),
                cmocka_unit_test(test_safety),
                cmocka_unit_test(test_safety_signals),
                cmocka_unit_test(test_safety_log_sockets),
                cmocka_unit_test(test_reserved_descriptors),
                cmocka_unit_test(test_of_program),
                cmocka_unit_test(test_arguments),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
