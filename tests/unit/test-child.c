/* SPDX-License-Identifier: Apache-2.0 */

/* Between fork and exec: what a command finds, and how what cannot be done is reported. */

#include "server-fixture.h"

#include "child.h"
#include "process-id.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void write_program(const char *path, const char *content, mode_t mode) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, content, strlen(content)), strlen(content));
        assert_int_equal(fchmod(fd, mode), 0);
        close(fd);
}

static void test_broken_executables(void **state) {
        char directory[] = "/tmp/forkd-test-XXXXXX", path[64];
        Outcome o;

        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/program", directory);

        fixture_run_plan(*state, plan_of_command(path, NULL), &o);
        outcome_assert_failed(&o, "exec", ENOENT, path);

        write_program(path, "no format", 0755);
        fixture_run_plan(*state, plan_of_command(path, NULL), &o);
        outcome_assert_failed(&o, "exec", ENOEXEC, path);

        write_program(path, "#!/no/such/interpreter\n", 0755);
        fixture_run_plan(*state, plan_of_command(path, NULL), &o);
        outcome_assert_failed(&o, "exec", ENOENT, path);

        write_program(path, "#!/bin/sh\n", 0644);
        fixture_run_plan(*state, plan_of_command(path, NULL), &o);
        outcome_assert_failed(&o, "exec", EACCES, path);

        unlink(path);
        fixture_run_plan(*state, plan_of_command(directory, NULL), &o);
        outcome_assert_failed(&o, "exec", EACCES, directory);

        fixture_run_plan(*state, plan_of_command("/etc/passwd/x", NULL), &o);
        outcome_assert_failed(&o, "exec", ENOTDIR, "/etc/passwd/x");
        fixture_run_plan(*state, plan_of_command("", NULL), &o);
        outcome_assert_failed(&o, "exec", ENOENT, "");
        rmdir(directory);
}

static json_t *with_path(json_t *plan, const char *path) {
        json_object_set_new(plan, "environment", json_pack("[s]", path));
        return plan;
}

static void test_path_lookup(void **state) {
        char directory[] = "/tmp/forkd-test-XXXXXX", program[64], path[128];
        Outcome o;

        assert_non_null(mkdtemp(directory));
        snprintf(program, sizeof(program), "%s/hidden", directory);
        snprintf(path, sizeof(path), "PATH=/no/such:/etc/passwd:%s:/usr/bin:/bin", directory);
        write_program(program, "#!/bin/sh\n", 0644);

        fixture_run_plan(*state, plan_of_command("true", NULL), &o); /* without PATH: the default */
        outcome_assert_exited(&o, 0);
        fixture_run_plan(*state, with_path(plan_of_command("true", NULL), path), &o);
        outcome_assert_exited(&o, 0);
        fixture_run_plan(*state, with_path(plan_of_command("no-such-program", NULL), path), &o);
        outcome_assert_failed(&o, "exec", ENOENT, "no-such-program");
        /* one that is there but forbidden is remembered, and those behind it are tried */
        fixture_run_plan(*state, with_path(plan_of_command("hidden", NULL), path), &o);
        outcome_assert_failed(&o, "exec", EACCES, "hidden");
        fixture_run_plan(*state, with_path(plan_of_command("true", NULL), "PATH=/no/such"), &o);
        outcome_assert_failed(&o, "exec", ENOENT, "true");

        /* an empty element is the job's directory */
        write_program(program, "#!/bin/sh\nexit 7\n", 0755);
        {
                json_t *plan = with_path(plan_of_command("hidden", NULL), "PATH=/no/such:");

                json_object_set_new(plan, "directory", json_string(directory));
                fixture_run_plan(*state, plan, &o);
                outcome_assert_exited(&o, 7);
        }
        unlink(program);
        rmdir(directory);
}

static void test_bad_places(void **state) {
        json_t *plan;
        Outcome o;

        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "directory", json_string("/no/such/directory"));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "directory", ENOENT, "/no/such/directory");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0,
                           json_pack("{ss}", "path", "/no/such/file"));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "stdin", ENOENT, "/no/such/file");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_pack("{ss}", "path", "/"));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "stdout", EISDIR, "/");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 2,
                           json_pack("{ss}", "path", "/no/such/file"));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "stderr", ENOENT, "/no/such/file");
}

static char *file_content(const char *path) {
        char *text = calloc(1, 4096);
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        assert_true(read(fd, text, 4095) >= 0);
        close(fd);
        return text;
}

static void test_stdio_paths(void **state) {
        char directory[] = "/tmp/forkd-test-XXXXXX", file[64], fifo[64];
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        json_t *plan;
        Outcome o;

        assert_non_null(mkdtemp(directory));
        snprintf(file, sizeof(file), "%s/out", directory);
        snprintf(fifo, sizeof(fifo), "%s/fifo", directory);
        assert_int_equal(mkfifo(fifo, 0600), 0);

        for (int i = 0; i < 3; i++) {
                plan = plan_of_command("/bin/sh", "-c", "echo $1; echo err >&2", "sh", "line",
                                       NULL);
                json_object_set_new(plan, "umask", json_integer(027));
                json_array_set_new(json_object_get(plan, "stdio"), 1,
                                   json_pack("{ss,sb}", "path", file, "append", i == 2));
                json_array_set_new(json_object_get(plan, "stdio"), 2, json_string("stdout"));
                fixture_run_plan(*state, plan, &o);
                outcome_assert_exited(&o, 0);
        }
        text = file_content(file);
        assert_string_equal(text, "line\nerr\nline\nerr\n"); /* truncated once, then appended */
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);

        /* a FIFO holds nobody up: a reader finds its end, a writer an error */
        plan = plan_of_command("/bin/cat", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0, json_pack("{ss}", "path", fifo));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_exited(&o, 0);
        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_pack("{ss}", "path", fifo));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "stdout", ENXIO, fifo);

        /* but the job itself may wait: its streams block, as from a shell */
        free(text);
        text = fixture_output(*state, plan_of_command("cat", "/proc/self/fdinfo/0", NULL), &o);
        outcome_assert_exited(&o, 0);
        assert_non_null(strstr(text, "flags:\t0100000\n"));

        unlink(file);
        unlink(fifo);
        rmdir(directory);
}

static void test_descriptors(void **state) {
        _cleanup_(freep) char *text = NULL;
        json_t *plan;
        Outcome o;

        /* without opening the folder, which would be one more */
        plan = plan_of_command("/bin/sh", "-c",
                               "i=0; while [ $i -lt 300 ]; do "
                               "[ -e /proc/self/fd/$i ] && echo $i; i=$((i+1)); done; exit 0",
                               NULL);
        text = fixture_output(*state, plan, &o);
        outcome_assert_exited(&o, 0);
        assert_string_equal(text, "0\n1\n2\n");
}

/* More descriptors in the order than are wanted, and numbers that are in the way of each other. */
static void test_descriptors_shuffled(void **state) {
        int fds[14], status;
        json_t *plan;
        Outcome o;

        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                char content = (char)('a' + i);

                fds[i] = memfd_create("test", MFD_CLOEXEC);
                assert_int_equal(pwrite(fds[i], &content, 1, 0), 1);
        }
        plan = plan_of_command("/bin/sh", "-c",
                               "read x <&0; read y <&1; read z <&2; [ \"$x$y$z\" = nab ] && exit 9",
                               NULL);
        json_object_set_new(plan, "stdio", json_pack("[i,i,i]", 14, 1, 2));
        fixture_run(*state, &(Order){ .id = 1, .plan = plan, .fds = fds, .n_fds = ELEMENTSOF(fds) },
                    &o);
        status = o.status;
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close(fds[i]);
        assert_int_equal(status, 9);
}

/* A channel besides the streams, whatever numbers the descriptors came with, and nothing else. */
static void test_command_channel(void **state) {
        for (int index = 1; index <= 3; index++) {
                int fds[3], pair[2];
                char text[2] = "";
                json_t *plan;
                Outcome o;

                assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
                for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                        fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
                close(fds[index - 1]);
                fds[index - 1] = pair[1];
                plan = plan_of_command(
                        "/bin/bash", "-c",
                        "printf x >&3; for i in 4 5 6 7 8 9; do [ -e /proc/self/fd/$i ] && exit 1; "
                        "done; exit 0",
                        NULL);
                json_object_set_new(plan, "channel", json_integer(index));
                fixture_run(*state, &(Order){ .id = 1, .plan = plan, .fds = fds, .n_fds = 3 }, &o);
                for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                        close(fds[i]);
                outcome_assert_exited(&o, 0);
                assert_int_equal(read(pair[0], text, 1), 1);
                assert_string_equal(text, "x");
                assert_int_equal(read(pair[0], text, 1), 0); /* nobody has kept it open */
                close(pair[0]);
        }
}

/* What the numbers are that the channel and the token came with, and may have of each other. */
static void test_command_numbers(void **state) {
        static const int numbers[][2] = { { 3, 4 }, { 4, 3 }, { 3, 9 }, { 9, 3 },
                                          { 9, 4 }, { 4, 9 }, { 8, 9 } };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                int pair[2], status;
                char text[2] = "";
                pid_t pid;

                assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        const char *script = "printf x >&3; [ ! -e /proc/self/fd/4 ]";
                        const char *argv[] = { "bash", "-c", script, NULL }, *envp[] = { NULL };
                        char *candidates[] = { (char *)"/bin/bash", NULL };
                        Plan plan = { .argv = argv,
                                      .candidates = candidates,
                                      .envp = envp,
                                      .umask = -1,
                                      .cgroup = -1,
                                      .channel = numbers[i][0],
                                      .token = numbers[i][1] };
                        ChildReport report;
                        int channel = fcntl(pair[1], F_DUPFD_CLOEXEC, 20);
                        int token = fcntl(eventfd(1, EFD_NONBLOCK), F_DUPFD_CLOEXEC, 20);

                        if (dup3(channel, plan.channel, O_CLOEXEC) < 0 ||
                            dup3(token, plan.token, O_CLOEXEC) < 0)
                                _exit(99);
                        child_exec(&(ChildStart){ .plan = &plan, .report = &report });
                }
                close(pair[1]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(status, 0);
                assert_int_equal(read(pair[0], text, 1), 1);
                assert_string_equal(text, "x");
                close(pair[0]);
        }
}

static void assert_line(const char *text, const char *line) {
        if (!strstr(text, line))
                fail_msg("'%s' is not in: %s", line, text);
}

static void test_inherited(void **state) {
        _cleanup_(freep) char *text = NULL;
        char line[64];
        Outcome o;

        text = fixture_output(
                *state,
                plan_of_command(
                        "/bin/sh", "-c",
                        "cat /proc/self/status; read s < /proc/$$/stat; echo stat $s; env; pwd; umask",
                        NULL),
                &o);
        outcome_assert_exited(&o, 0);
        assert_line(text, "SigBlk:\t0000000000000000\n");
        assert_line(text, "SigIgn:\t0000000000000000\n");
        assert_line(text, "SigCgt:\t0000000000000000\n");
        assert_line(text, "SigPnd:\t0000000000000000\n");
        assert_line(text, "NoNewPrivs:\t1\n");
        /* parent, then leader of a group and a session of its own, without a terminal */
        snprintf(line, sizeof(line), " %d %d %d 0 -1 ", (int)((Fixture *)*state)->pid, o.pid,
                 o.pid);
        assert_line(text, line);
        assert_line(text, "\nPWD=/\n/\n0022\n"); /* PWD is the shell's own */
        assert_null(strstr(text, "FORKD"));
}

static void test_environment(void **state) {
        _cleanup_(freep) char *text = NULL;
        json_t *plan = plan_of_command("env", NULL);
        Outcome o;

        json_object_set_new(plan, "environment",
                            json_pack("[s,s,s]", "A=1", "B=two words", "PATH=/usr/bin:/bin"));
        text = fixture_output(*state, plan, &o);
        assert_string_equal(text, "A=1\nB=two words\nPATH=/usr/bin:/bin\n");
}

static void test_limits(void **state) {
        _cleanup_(freep) char *text = NULL;
        json_t *plan;
        Outcome o;

        /* fewer descriptors than the forkserver has numbers in use */
        plan = plan_of_command(
                "/bin/sh", "-c",
                "ulimit -n; ulimit -Hn; nice; grep Cpus_allowed_list /proc/self/status", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitNOFILE", 5, 6));
        json_object_set_new(plan, "nice", json_integer(3));
        json_object_set_new(plan, "affinity", json_pack("[i]", 0));
        text = fixture_output(*state, plan, &o);
        outcome_assert_exited(&o, 0);
        assert_string_equal(text, "5\n6\n3\nCpus_allowed_list:\t0\n");

        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitFSIZE", 5, 4));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "limits", EINVAL, "LimitFSIZE");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "affinity", json_pack("[i]", 8000));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "limits", EINVAL, "affinity");
}

static void test_user(void **state) {
        _cleanup_(freep) char *text = NULL;
        json_t *plan;
        Outcome o;

        if (getuid() != 0)
                skip();
        plan = plan_of_command("/bin/sh", "-c",
                               "id -u; id -g; id -G; grep CapEff /proc/self/status", NULL);
        json_object_set_new(plan, "uid", json_integer(12345));
        json_object_set_new(plan, "gid", json_integer(23456));
        json_object_set_new(plan, "groups", json_pack("[i,i]", 34567, 3456));
        text = fixture_output(*state, plan, &o);
        outcome_assert_exited(&o, 0);
        assert_string_equal(text, "12345\n23456\n23456 3456 34567\nCapEff:\t0000000000000000\n");

        /* paths and directories are looked at with the eyes of that user */
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "uid", json_integer(12345));
        json_object_set_new(plan, "gid", json_integer(23456));
        json_array_set_new(json_object_get(plan, "stdio"), 1,
                           json_pack("{ss}", "path", "/etc/forkd-test"));
        fixture_run_plan(*state, plan, &o);
        outcome_assert_failed(&o, "stdout", EACCES, "/etc/forkd-test");
        assert_int_equal(access("/etc/forkd-test", F_OK), -1);
}

/* setuid() succeeds although the user has too many processes; the exec then tells. */
static void test_user_at_limit(void **state) {
        json_t *plan, *blocker;
        int token;
        Outcome o;

        if (getuid() != 0)
                skip();
        blocker = plan_of_command("sleep", "1000", NULL);
        json_object_set_new(blocker, "uid", json_integer(12347));
        json_object_set_new(blocker, "gid", json_integer(12347));
        token = fixture_order(*state, &(Order){ .id = 2, .plan = blocker });
        {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                int pidfd;

                fixture_receive(*state, &p);
                assert_string_equal(p.method, "Started");
                pidfd = packet_take_fd(&p, "pidfd");

                plan = plan_of_command("true", NULL);
                json_object_set_new(plan, "uid", json_integer(12347));
                json_object_set_new(plan, "gid", json_integer(12347));
                json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitNPROC", 0, 0));
                fixture_run_plan(*state, plan, &o);
                assert_int_equal(process_signal(pidfd, SIGKILL), 0);
                close(pidfd);
        }
        outcome_assert_failed(&o, "exec", EAGAIN, "true");
        fixture_outcome(*state, 2, &o);
        assert_string_equal(o.code, "killed");
        fixture_acknowledge(*state, 2);
        close(token);
}

/* A spawner of an ordinary user, who may have so many processes. */
static void start_unprivileged(Fixture *f, unsigned n_processes) {
        struct rlimit limit = { .rlim_cur = n_processes, .rlim_max = n_processes };
        int pair[2];

        f->n_fds = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->pid = fork();
        assert_true(f->pid >= 0);
        if (f->pid == 0) {
                ServeOptions options = { .name = "spawner",
                                         .channel = pair[1],
                                         .log_fd = STDERR_FILENO };

                close(pair[0]);
                if (setrlimit(RLIMIT_NPROC, &limit) < 0 || setresgid(12345, 12345, 12345) < 0 ||
                    setresuid(12345, 12345, 12345) < 0)
                        _exit(99);
                _exit(serve(&options, NULL));
        }
        close(pair[1]);
        f->channel = pair[0];
}

static void test_fork_fails(void **state) {
        Outcome o;
        Fixture f;

        (void)state;
        if (getuid() != 0)
                skip();
        start_unprivileged(&f, 1); /* itself */
        for (int i = 0; i < 3; i++) {
                fixture_run_plan(&f, plan_of_command("true", NULL), &o);
                outcome_assert_failed(&o, "fork", EAGAIN, "");
        }
        assert_int_equal(fixture_end(&f), 0);
}

/* What needs privileges fails, and says where. */
static void test_unprivileged(void **state) {
        struct rlimit limit;
        json_t *plan;
        Outcome o;
        Fixture f;

        (void)state;
        if (getuid() != 0)
                skip();
        start_unprivileged(&f, 100);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        plan = plan_of_command("true", NULL);
        json_object_set_new(
                plan, "limits",
                json_pack("{s[i,I]}", "LimitNOFILE", 10, (json_int_t)limit.rlim_max + 1));
        fixture_run_plan(&f, plan, &o);
        outcome_assert_failed(&o, "limits", EPERM, "LimitNOFILE");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "uid", json_integer(0));
        json_object_set_new(plan, "gid", json_integer(0));
        fixture_run_plan(&f, plan, &o);
        outcome_assert_failed(&o, "user", EPERM, "");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "nice", json_integer(-5));
        fixture_run_plan(&f, plan, &o);
        outcome_assert_failed(&o, "limits", EACCES, "nice");
        assert_int_equal(fixture_end(&f), 0);
}

static void test_cgroup_refused(void **state) {
        int fds[1] = { open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC) };
        Outcome o;

        fixture_run(*state,
                    &(Order){ .id = 1,
                              .plan = plan_of_command("true", NULL),
                              .fds = fds,
                              .n_fds = 1,
                              .cgroup = 1 },
                    &o);
        close(fds[0]);
        assert_true(o.failed);
        assert_string_equal(o.code, "cgroup");
}

static void test_cgroup(void **state) {
        _cleanup_(freep) char *path = NULL;
        char name[64], script[256];
        int fds[1] = { make_cgroup(&path) };
        Outcome o;

        if (fds[0] < 0)
                skip();
        snprintf(name, sizeof(name), "/forkd-test-%d", (int)getpid());
        snprintf(script, sizeof(script), "grep -q '^0::.*%s$' /proc/self/cgroup", name);
        fixture_run(*state,
                    &(Order){ .id = 1,
                              .plan = plan_of_command("/bin/sh", "-c", script, NULL),
                              .fds = fds,
                              .n_fds = 1,
                              .cgroup = 1 },
                    &o);
        close(fds[0]);
        assert_int_equal(rmdir(path), 0);
        outcome_assert_exited(&o, 0);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_broken_executables),
                WITH_SERVER(test_path_lookup),
                WITH_SERVER(test_bad_places),
                WITH_SERVER(test_stdio_paths),
                WITH_SERVER(test_descriptors),
                WITH_SERVER(test_descriptors_shuffled),
                WITH_SERVER(test_command_channel),
                cmocka_unit_test(test_command_numbers),
                WITH_SERVER(test_inherited),
                WITH_SERVER(test_environment),
                WITH_SERVER(test_limits),
                WITH_SERVER(test_user),
                WITH_SERVER(test_user_at_limit),
                cmocka_unit_test(test_fork_fails),
                cmocka_unit_test(test_unprivileged),
                WITH_SERVER(test_cgroup_refused),
                WITH_SERVER(test_cgroup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
