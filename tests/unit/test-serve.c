/* SPDX-License-Identifier: Apache-2.0 */

/* serve(): commands from the order to the acknowledged end, what they inherit, and what the channel
 * does. */

#include "server-fixture.h"

#include "process-id.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        Packet p = PACKET_NULL;

        fixture_start(f, "spawner", NULL);
        fixture_receive(f, &p);
        assert_string_equal(p.method, "Ready");
        packet_done(&p);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;
        int r = fixture_end(f);

        free(f);
        return r;
}

static void run(Fixture *f, json_t *plan, Outcome *ret) {
        fixture_run(f, &(Order){ .id = 1, .plan = plan }, ret);
}

static void assert_exited(const Outcome *o, int status) {
        assert_false(o->failed);
        assert_string_equal(o->code, "exited");
        assert_int_equal(o->status, status);
}

static void assert_failed(const Outcome *o, const char *stage, int error, const char *text) {
        assert_true(o->failed);
        assert_string_equal(o->code, stage);
        assert_int_equal(o->status, error);
        assert_string_equal(o->text, text);
}

static void test_ready(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *safety;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        fixture_receive(&f, &p);
        assert_string_equal(p.method, "Ready");
        assert_string_equal(json_string_value(json_object_get(p.parameters, "name")), "spawner");
        assert_int_equal(json_array_size(json_object_get(p.parameters, "entries")), 0);
        safety = json_object_get(p.parameters, "safety");
        assert_int_equal(json_integer_value(json_object_get(safety, "threads")), 1);
        assert_true(json_is_array(json_object_get(safety, "descriptors")));
        assert_int_equal(json_array_size(json_object_get(safety, "signals")), 0);
        assert_int_equal(fixture_end(&f), 0);
}

static void test_exit_status(void **state) {
        static const int statuses[] = { 0, 1, 2, 126, 127, 128, 255 };
        Outcome o;

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                char script[32];

                snprintf(script, sizeof(script), "exit %d", statuses[i]);
                run(*state, plan_of_command("/bin/sh", "-c", script, NULL), &o);
                assert_exited(&o, statuses[i]);
        }
}

static void test_signals(void **state) {
        static const int signals[] = { SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGUSR1, 34, 64 };
        Outcome o;

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                char script[32];

                snprintf(script, sizeof(script), "kill -%d $$", signals[i]);
                run(*state, plan_of_command("/bin/bash", "-c", script, NULL), &o);
                assert_false(o.failed);
                assert_string_equal(o.code, "killed");
                assert_int_equal(o.status, signals[i]);
        }
}

static void test_core(void **state) {
        char directory[] = "/tmp/forkd-test-XXXXXX", *file;
        struct rlimit limit;
        json_t *plan;
        Outcome o;

        assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
        if (limit.rlim_max == 0)
                skip();
        assert_non_null(mkdtemp(directory));
        plan = plan_of_command("/bin/sh", "-c", "kill -SEGV $$", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,n]}", "LimitCORE", 1 << 20));
        if (limit.rlim_max != RLIM_INFINITY)
                json_object_set_new(plan, "limits",
                                    json_pack("{s[I,I]}", "LimitCORE", (json_int_t)limit.rlim_max,
                                              (json_int_t)limit.rlim_max));
        json_object_set_new(plan, "directory", json_string(directory));
        run(*state, plan, &o);
        assert_string_equal(o.code, "dumped");
        assert_int_equal(o.status, SIGSEGV);

        assert_true(asprintf(&file, "rm -rf %s", directory) > 0);
        assert_int_equal(system(file), 0);
        free(file);

        plan = plan_of_command("/bin/sh", "-c", "kill -SEGV $$", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitCORE", 0, 0));
        run(*state, plan, &o);
        assert_string_equal(o.code, "killed");
}

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

        run(*state, plan_of_command(path, NULL), &o);
        assert_failed(&o, "exec", ENOENT, path);

        write_program(path, "no format", 0755);
        run(*state, plan_of_command(path, NULL), &o);
        assert_failed(&o, "exec", ENOEXEC, path);

        write_program(path, "#!/no/such/interpreter\n", 0755);
        run(*state, plan_of_command(path, NULL), &o);
        assert_failed(&o, "exec", ENOENT, path);

        write_program(path, "#!/bin/sh\n", 0644);
        run(*state, plan_of_command(path, NULL), &o);
        assert_failed(&o, "exec", EACCES, path);

        unlink(path);
        run(*state, plan_of_command(directory, NULL), &o);
        assert_failed(&o, "exec", EACCES, directory);

        run(*state, plan_of_command("/etc/passwd/x", NULL), &o);
        assert_failed(&o, "exec", ENOTDIR, "/etc/passwd/x");
        run(*state, plan_of_command("", NULL), &o);
        assert_failed(&o, "exec", ENOENT, "");
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

        run(*state, plan_of_command("true", NULL), &o); /* without PATH: the default */
        assert_exited(&o, 0);
        run(*state, with_path(plan_of_command("true", NULL), path), &o);
        assert_exited(&o, 0);
        run(*state, with_path(plan_of_command("no-such-program", NULL), path), &o);
        assert_failed(&o, "exec", ENOENT, "no-such-program");
        /* one that is there but forbidden is remembered, and those behind it are tried */
        run(*state, with_path(plan_of_command("hidden", NULL), path), &o);
        assert_failed(&o, "exec", EACCES, "hidden");
        run(*state, with_path(plan_of_command("true", NULL), "PATH=/no/such"), &o);
        assert_failed(&o, "exec", ENOENT, "true");

        /* an empty element is the job's directory */
        write_program(program, "#!/bin/sh\nexit 7\n", 0755);
        {
                json_t *plan = with_path(plan_of_command("hidden", NULL), "PATH=/no/such:");

                json_object_set_new(plan, "directory", json_string(directory));
                run(*state, plan, &o);
                assert_exited(&o, 7);
        }
        unlink(program);
        rmdir(directory);
}

static void test_bad_places(void **state) {
        json_t *plan;
        Outcome o;

        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "directory", json_string("/no/such/directory"));
        run(*state, plan, &o);
        assert_failed(&o, "directory", ENOENT, "/no/such/directory");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0,
                           json_pack("{ss}", "path", "/no/such/file"));
        run(*state, plan, &o);
        assert_failed(&o, "stdin", ENOENT, "/no/such/file");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_pack("{ss}", "path", "/"));
        run(*state, plan, &o);
        assert_failed(&o, "stdout", EISDIR, "/");

        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 2,
                           json_pack("{ss}", "path", "/no/such/file"));
        run(*state, plan, &o);
        assert_failed(&o, "stderr", ENOENT, "/no/such/file");
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
                run(*state, plan, &o);
                assert_exited(&o, 0);
        }
        text = file_content(file);
        assert_string_equal(text, "line\nerr\nline\nerr\n"); /* truncated once, then appended */
        assert_int_equal(stat(file, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0640);

        /* a FIFO holds nobody up: a reader finds its end, a writer an error */
        plan = plan_of_command("/bin/cat", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0, json_pack("{ss}", "path", fifo));
        run(*state, plan, &o);
        assert_exited(&o, 0);
        plan = plan_of_command("true", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_pack("{ss}", "path", fifo));
        run(*state, plan, &o);
        assert_failed(&o, "stdout", ENXIO, fifo);

        /* but the job itself may wait: its streams block, as from a shell */
        free(text);
        text = fixture_output(*state, plan_of_command("cat", "/proc/self/fdinfo/0", NULL), &o);
        assert_exited(&o, 0);
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
        assert_exited(&o, 0);
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
        assert_exited(&o, 0);
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
        assert_exited(&o, 0);
        assert_string_equal(text, "5\n6\n3\nCpus_allowed_list:\t0\n");

        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitFSIZE", 5, 4));
        run(*state, plan, &o);
        assert_failed(&o, "limits", EINVAL, "LimitFSIZE");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "affinity", json_pack("[i]", 8000));
        run(*state, plan, &o);
        assert_failed(&o, "limits", EINVAL, "affinity");
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
        assert_exited(&o, 0);
        assert_string_equal(text, "12345\n23456\n23456 3456 34567\nCapEff:\t0000000000000000\n");

        /* paths and directories are looked at with the eyes of that user */
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "uid", json_integer(12345));
        json_object_set_new(plan, "gid", json_integer(23456));
        json_array_set_new(json_object_get(plan, "stdio"), 1,
                           json_pack("{ss}", "path", "/etc/forkd-test"));
        run(*state, plan, &o);
        assert_failed(&o, "stdout", EACCES, "/etc/forkd-test");
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
                run(*state, plan, &o);
                assert_int_equal(process_signal(pidfd, SIGKILL), 0);
                close(pidfd);
        }
        assert_failed(&o, "exec", EAGAIN, "true");
        fixture_outcome(*state, 2, &o);
        assert_string_equal(o.code, "killed");
        fixture_acknowledge(*state, 2);
        close(token);
}

/* As an ordinary user, what needs privileges fails, and says where. */
static void test_unprivileged(void **state) {
        struct rlimit limit;
        json_t *plan;
        Outcome o;
        Fixture f;
        int pair[2];

        (void)state;
        if (getuid() != 0)
                skip();
        f.n_fds = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f.pid = fork();
        if (f.pid == 0) {
                ServeOptions options = { .name = "spawner",
                                         .channel = pair[1],
                                         .log_fd = STDERR_FILENO };

                close(pair[0]);
                if (setresgid(12345, 12345, 12345) < 0 || setresuid(12345, 12345, 12345) < 0)
                        _exit(99);
                _exit(serve(&options));
        }
        close(pair[1]);
        f.channel = pair[0];

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        plan = plan_of_command("true", NULL);
        json_object_set_new(
                plan, "limits",
                json_pack("{s[i,I]}", "LimitNOFILE", 10, (json_int_t)limit.rlim_max + 1));
        run(&f, plan, &o);
        assert_failed(&o, "limits", EPERM, "LimitNOFILE");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "uid", json_integer(0));
        json_object_set_new(plan, "gid", json_integer(0));
        run(&f, plan, &o);
        assert_failed(&o, "user", EPERM, "");
        plan = plan_of_command("true", NULL);
        json_object_set_new(plan, "nice", json_integer(-5));
        run(&f, plan, &o);
        assert_failed(&o, "limits", EACCES, "nice");
        assert_int_equal(fixture_end(&f), 0);
}

static void test_token(void **state) {
        char file[] = "/tmp/forkd-test-XXXXXX";
        uint64_t value;
        json_t *plan;
        Outcome o;
        int token;

        close(mkstemp(file));
        unlink(file);
        plan = plan_of_command("touch", file, NULL);
        fixture_run(*state, &(Order){ .id = 1, .plan = plan, .token_taken = true }, &o);
        assert_failed(&o, "token", EAGAIN, "");
        assert_int_equal(access(file, F_OK), -1);

        /* who runs has taken it */
        token = fixture_order(*state, &(Order){ .id = 1, .plan = plan_of_command("true", NULL) });
        fixture_outcome(*state, 1, &o);
        fixture_acknowledge(*state, 1);
        assert_int_equal(read(token, &value, sizeof(value)), -1);
        assert_int_equal(errno, EAGAIN);
        close(token);
}

static void test_bad_orders(void **state) {
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK),
            file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        Outcome o;

        fixture_send(*state, "Fork", json_pack("{sI,si}", "id", (json_int_t)1, "attempt", 1), NULL,
                     0);
        fixture_outcome(*state, 1, &o);
        assert_failed(&o, "plan", EINVAL, "plan is no object");
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,so}", "id", (json_int_t)1, "attempt", 1, "plan",
                               plan_of_command("true", NULL)),
                     NULL, 0);
        fixture_outcome(*state, 1, &o);
        assert_failed(&o, "plan", EINVAL, "token is no descriptor of the packet");
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,si,so}", "id", (json_int_t)1, "attempt", 1, "token", 0,
                               "plan", plan_of_command("true", NULL)),
                     &file, 1);
        fixture_outcome(*state, 1, &o);
        assert_failed(&o, "plan", EINVAL, "token is no eventfd");
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,si,s{sb,si}}", "id", (json_int_t)1, "attempt", 1, "token", 0,
                               "plan", "entry", 1, "channel", 0),
                     &fd, 1);
        fixture_outcome(*state, 1, &o);
        assert_failed(&o, "plan", EINVAL, "this forkserver has preloaded no entries");
        fixture_send(*state, "Dance", json_object(), NULL, 0); /* unknown: ignored */
        fixture_send(*state, "Acknowledge",
                     json_pack("{sI,si}", "id", (json_int_t)99, "attempt", 1), NULL, 0);
        run(*state, plan_of_command("true", NULL), &o);
        assert_exited(&o, 0);
        close(fd);
        close(file);
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
        assert_exited(&o, 0);
}

static void test_started(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int p_in[2], token, pidfd;
        uint64_t start;
        json_t *plan;
        Outcome o;

        assert_int_equal(pipe2(p_in, O_CLOEXEC), 0);
        plan = plan_of_command("/bin/cat", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0, json_integer(1));
        token = fixture_order(*state, &(Order){ .id = 5, .plan = plan, .fds = p_in, .n_fds = 1 });
        close(p_in[0]);
        fixture_receive(*state, &p);
        assert_string_equal(p.method, "Started");
        pidfd = packet_take_fd(&p, "pidfd");
        assert_int_equal(process_signal(pidfd, 0), 0);
        assert_int_equal(
                process_start_time((pid_t)json_integer_value(json_object_get(p.parameters, "pid")),
                                   &start),
                0);
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "startTime")), start);

        close(p_in[1]);
        fixture_outcome(*state, 5, &o);
        assert_exited(&o, 0);
        assert_int_equal(process_signal(pidfd, 0), 0); /* a zombie until it is acknowledged */
        fixture_acknowledge(*state, 5);
        run(*state, plan_of_command("true", NULL), &o); /* behind it in the same channel */
        assert_int_equal(process_signal(pidfd, 0), -ESRCH);
        close(pidfd);
        close(token);
}

/* Another forkd takes over: it hears of who lives, and again of who has ended. */
static void test_hello(void **state) {
        _cleanup_(packet_done) Packet running = PACKET_NULL, again = PACKET_NULL;
        json_t *attempts;
        Outcome o;
        int token;

        token = fixture_order(
                *state,
                &(Order){ .id = 8, .plan = plan_of_command("/bin/sh", "-c", "exit 5", NULL) });
        fixture_outcome(*state, 8, &o);
        fixture_send(*state, "Hello", json_pack("{si}", "epoch", 77), NULL, 0);
        fixture_receive(*state, &running);
        assert_string_equal(running.method, "Running");
        assert_int_equal(json_integer_value(json_object_get(running.parameters, "epoch")), 77);
        attempts = json_object_get(running.parameters, "attempts");
        assert_int_equal(json_array_size(attempts), 1);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(attempts, 0), "id")), 8);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(attempts, 0), "pid")),
                         o.pid);
        fixture_receive(*state, &again);
        assert_string_equal(again.method, "Exited");
        assert_int_equal(json_integer_value(json_object_get(again.parameters, "status")), 5);
        fixture_acknowledge(*state, 8);
        close(token);
}

static void test_retire(void **state) {
        int token, status;
        Outcome o;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        token = fixture_order(&f, &(Order){ .id = 1, .plan = plan_of_command("true", NULL) });
        fixture_outcome(&f, 1, &o);
        close(token);
        fixture_send(&f, "Retire", json_object(), NULL, 0);
        fixture_run(&f, &(Order){ .id = 2, .plan = plan_of_command("true", NULL) }, &o);
        assert_failed(&o, "fork", ESHUTDOWN, "the forkserver has been retired");
        fixture_acknowledge(&f, 1); /* the last one: it ends although the channel is open */
        assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(f.channel);
        assert_int_equal(count_fds(), f.n_fds);
}

static void test_channel_closes(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int token, pidfd;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        token = fixture_order(&f,
                              &(Order){ .id = 1, .plan = plan_of_command("sleep", "1000", NULL) });
        fixture_receive(&f, &p);
        packet_done(&p);
        fixture_receive(&f, &p);
        assert_string_equal(p.method, "Started");
        pidfd = packet_take_fd(&p, "pidfd");
        close(token);
        f.n_fds++; /* the pidfd */
        assert_int_equal(fixture_end(&f), 0);

        /* the worker runs on; its parent is gone, so nobody but init reaps it */
        assert_int_equal(process_signal(pidfd, SIGKILL), 0);
        wait_readable(pidfd);
        close(pidfd);
}

static void test_garbage(void **state) {
        Packet p = PACKET_NULL;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        fixture_receive(&f, &p); /* unread, it would be lost together with what we send */
        packet_done(&p);
        assert_int_equal(send(f.channel, "{]", 2, 0), 2);
        assert_int_equal(fixture_end(&f), EXIT_FAILURE);
}

#define MANY 500

/* All wait for the end of one pipe, and so end at once. */
static void test_many_exits(void **state) {
        bool seen[MANY] = { 0 };
        int p_in[2], n = 0;

        assert_int_equal(pipe2(p_in, O_CLOEXEC), 0);
        for (int i = 0; i < MANY; i++) {
                json_t *plan = plan_of_command("/bin/cat", NULL);

                json_array_set_new(json_object_get(plan, "stdio"), 0, json_integer(1));
                close(fixture_order(
                        *state,
                        &(Order){ .id = (uint64_t)i, .plan = plan, .fds = p_in, .n_fds = 1 }));
        }
        close(p_in[0]);
        close(p_in[1]);
        while (n < MANY) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                json_int_t id;

                fixture_receive(*state, &p);
                if (!streq(p.method, "Exited"))
                        continue;
                id = json_integer_value(json_object_get(p.parameters, "id"));
                assert_false(seen[id]);
                seen[id] = true;
                n++;
                fixture_acknowledge(*state, (uint64_t)id);
        }
}

/* A forkd that does not read gets everything in order once it does; the forkserver goes on
 * meanwhile. */
static void test_not_reading(void **state) {
        Fixture *f = *state;
        int n = 0;

        for (int i = 0; i < 2 * MANY; i++) {
                json_t *plan = plan_of_command(
                        "/no/such/program/with/a/name/that/fills/the/channel", NULL);

                close(fixture_order(f, &(Order){ .id = (uint64_t)i, .plan = plan }));
        }
        while (n < 2 * MANY) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                fixture_receive(f, &p);
                assert_string_equal(p.method, "Failed");
                assert_int_equal(json_integer_value(json_object_get(p.parameters, "id")), n);
                n++;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ready),
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
                WITH_SERVER(test_exit_status),
                WITH_SERVER(test_signals),
                WITH_SERVER(test_core),
                WITH_SERVER(test_broken_executables),
                WITH_SERVER(test_path_lookup),
                WITH_SERVER(test_bad_places),
                WITH_SERVER(test_stdio_paths),
                WITH_SERVER(test_descriptors),
                WITH_SERVER(test_descriptors_shuffled),
                WITH_SERVER(test_inherited),
                WITH_SERVER(test_environment),
                WITH_SERVER(test_limits),
                WITH_SERVER(test_user),
                WITH_SERVER(test_user_at_limit),
                cmocka_unit_test(test_unprivileged),
                WITH_SERVER(test_token),
                WITH_SERVER(test_bad_orders),
                WITH_SERVER(test_cgroup_refused),
                WITH_SERVER(test_cgroup),
                WITH_SERVER(test_started),
                WITH_SERVER(test_hello),
                cmocka_unit_test(test_retire),
                cmocka_unit_test(test_channel_closes),
                cmocka_unit_test(test_garbage),
                WITH_SERVER(test_many_exits),
                WITH_SERVER(test_not_reading),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
