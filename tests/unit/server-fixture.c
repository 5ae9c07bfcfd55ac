/* SPDX-License-Identifier: Apache-2.0 */

/* Runs serve() in a child of the test and talks to it as forkd does. Owns the channel's other end.
 */

#include "server-fixture.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PATIENCE_MSEC 20000

int count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

int make_cgroup(char **ret_path) {
        static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        char line[512], own[512] = "";
        FILE *f = fopen("/proc/self/cgroup", "re");

        while (fgets(line, sizeof(line), f))
                if (strncmp(line, "0::/", 4) == 0)
                        snprintf(own, sizeof(own), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
        fclose(f);
        for (size_t i = 0; own[0] && i < ELEMENTSOF(mounts); i++) {
                char *path;

                assert_true(asprintf(&path, "%s%s/forkd-test-%d", mounts[i], own, (int)getpid()) >
                            0);
                if (mkdir(path, 0755) == 0 && chdir(path) == 0) {
                        bool unified = access("cgroup.procs", W_OK) == 0;

                        assert_int_equal(chdir("/"), 0);
                        if (unified) {
                                *ret_path = path;
                                return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
                        }
                }
                rmdir(path);
                free(path);
        }
        *ret_path = NULL;
        return -1;
}

void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, PATIENCE_MSEC), 1);
}

/* A forkserver ignores nothing; a test that runs in the background of a shell ignores INT and QUIT.
 */
static void reset_signals(void) {
        static const unsigned long action[4] = { 0 }; /* of the kernel: all signals, glibc's too */

        for (int i = 1; i < NSIG; i++)
                (void)syscall(SYS_rt_sigaction, i, action, NULL, 8);
}

static void start(Fixture *f, const ServeOptions *given, ProgramMain program,
                  int (*function)(const ServeOptions *, WorkerProgram *)) {
        int pair[2];

        f->n_fds = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        f->pid = fork();
        assert_true(f->pid >= 0);
        if (f->pid == 0) {
                ServeOptions options = *given;
                WorkerProgram worker;
                int r;

                options.channel = pair[1];
                close(pair[0]);
                reset_signals();
                r = function(&options, &worker);
                if (r == SERVE_E_PROGRAM)
                        exit(program(worker.argc, worker.argv));
                _exit(r);
        }
        close(pair[1]);
        f->channel = pair[0];
}

void fixture_start_options(Fixture *f, const ServeOptions *options, ProgramMain program) {
        start(f, options, program, serve);
}

void fixture_start_worker(Fixture *f, const ServeOptions *options, ProgramMain program) {
        start(f, options, program, serve_worker);
}

void fixture_start(Fixture *f, const char *name, const ModuleSet *modules) {
        start(f, &(ServeOptions){ .name = name, .modules = modules, .log_fd = STDERR_FILENO }, NULL,
              serve);
}

int fixture_end(Fixture *f) {
        int status;

        close(f->channel);
        assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
        assert_int_equal(count_fds(), f->n_fds);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

void fixture_send(Fixture *f, const char *method, json_t *parameters, const int *fds,
                  size_t n_fds) {
        assert_non_null(parameters);
        assert_int_equal(packet_send(f->channel, method, parameters, fds, n_fds), 0);
        json_decref(parameters);
}

void fixture_receive(Fixture *f, Packet *ret) {
        wait_readable(f->channel);
        assert_int_equal(packet_receive(f->channel, ret), 0);
}

static int token_new(bool taken) {
        int token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        uint64_t value;

        assert_true(token >= 0);
        if (taken)
                assert_int_equal(read(token, &value, sizeof(value)), sizeof(value));
        return token;
}

void channel_send(int channel, const char *method, json_t *parameters) {
        assert_non_null(parameters);
        assert_int_equal(packet_send(channel, method, parameters, NULL, 0), 0);
        json_decref(parameters);
}

int fixture_fork(Fixture *f, const WorkerOrder *order) {
        int pair[2], fds[2];
        json_t *parameters;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fds[0] = pair[1];
        fds[1] = order->cgroup;
        parameters = json_pack("{sI,si,si,sb,ss*}", "id", (json_int_t)order->id, "attempt", 1,
                               "channel", 0, "tell", order->tell, "title", order->title);
        if (order->cgroup > 0)
                json_object_set_new(parameters, "cgroup", json_integer(1));
        fixture_send(f, "Fork", parameters, fds, order->cgroup > 0 ? 2 : 1);
        close(pair[1]);
        return pair[0];
}

int channel_adopt(int channel, const WorkerOrder *order) {
        int token = token_new(order->token_taken), fds[PACKET_DESCRIPTORS_MAX] = { token };
        json_t *parameters;

        for (size_t i = 0; i < order->n_fds; i++)
                fds[i + 1] = order->fds[i];
        parameters = json_pack("{sI,si,si,ss,so}", "id", (json_int_t)order->id, "attempt", 1,
                               "token", 0, "title",
                               "forkd: twin job 17 a-title-that-is-longer-than-the-arguments-of-"
                               "this-program",
                               "plan", order->plan);
        assert_non_null(parameters);
        assert_int_equal(packet_send(channel, "Adopt", parameters, fds, order->n_fds + 1), 0);
        json_decref(parameters);
        return token;
}

void channel_adopt_one_shot(int channel, const char *plan) {
        json_t *parameters = json_pack("{si,si,ss,so}", "id", 17, "attempt", 1, "title",
                                       "forkd: spell job 17 x", "plan", json_loads(plan, 0, NULL));

        assert_non_null(parameters);
        assert_int_equal(packet_send(channel, "Adopt", parameters, NULL, 0), 0);
        json_decref(parameters);
}

int fixture_order(Fixture *f, const Order *order) {
        int token = token_new(order->token_taken), fds[PACKET_DESCRIPTORS_MAX];
        json_t *parameters;

        fds[0] = token;
        for (size_t i = 0; i < order->n_fds; i++)
                fds[i + 1] = order->fds[i];
        parameters = json_pack("{sI,si,si,so}", "id", (json_int_t)order->id, "attempt", 1, "token",
                               0, "plan", order->plan);
        if (order->cgroup > 0)
                json_object_set_new(parameters, "cgroup", json_integer(order->cgroup));
        fixture_send(f, "Fork", parameters, fds, order->n_fds + 1);
        return token;
}

void fixture_acknowledge(Fixture *f, uint64_t id) {
        fixture_send(f, "Acknowledge", json_pack("{sI,si}", "id", (json_int_t)id, "attempt", 1),
                     NULL, 0);
}

static json_int_t member(const Packet *p, const char *name) {
        const json_t *value = json_object_get(p->parameters, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static void copy(char *to, size_t size, const json_t *value) {
        snprintf(to, size, "%s", json_string_value(value) ?: "");
}

void fixture_outcome(Fixture *f, uint64_t id, Outcome *ret) {
        *ret = (Outcome){ 0 };
        for (;;) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                fixture_receive(f, &p);
                if (streq(p.method, "Ready") || streq(p.method, "Running"))
                        continue;
                assert_int_equal(member(&p, "id"), id);
                assert_int_equal(member(&p, "attempt"), 1);
                if (streq(p.method, "Started")) {
                        assert_false(ret->started);
                        assert_int_equal(p.n_fds, 1);
                        assert_true(member(&p, "startTime") > 0);
                        ret->started = true;
                        ret->pid = (int)member(&p, "pid");
                        continue;
                }
                ret->failed = streq(p.method, "Failed");
                assert_true(ret->failed || streq(p.method, "Exited"));
                copy(ret->code, sizeof(ret->code),
                     json_object_get(p.parameters, ret->failed ? "stage" : "code"));
                copy(ret->text, sizeof(ret->text), json_object_get(p.parameters, "text"));
                ret->status = (int)member(&p, ret->failed ? "errno" : "status");
                if (!ret->failed) {
                        assert_true(!ret->started || ret->pid == member(&p, "pid"));
                        ret->pid = (int)member(&p, "pid");
                        assert_true(member(&p, "userUSec") >= 0 && member(&p, "systemUSec") >= 0);
                }
                return;
        }
}

void fixture_run(Fixture *f, const Order *order, Outcome *ret) {
        int token = fixture_order(f, order);

        fixture_outcome(f, order->id, ret);
        if (!ret->failed)
                fixture_acknowledge(f, order->id);
        close(token);
}

json_t *plan_of_command(const char *argument, ...) {
        json_t *command = json_array();
        va_list ap;

        va_start(ap, argument);
        for (const char *a = argument; a; a = va_arg(ap, const char *))
                json_array_append_new(command, json_string(a));
        va_end(ap);
        return json_pack("{so,s[],ss,si,s[nnn]}", "command", command, "environment", "directory",
                         "/", "umask", 022, "stdio");
}

char *fixture_output(Fixture *f, json_t *plan, Outcome *ret) {
        char *text = calloc(1, 65536);
        size_t length = 0;
        int p[2], token;
        ssize_t n;

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_integer(1));
        token = fixture_order(f, &(Order){ .id = 1, .plan = plan, .fds = &p[1], .n_fds = 1 });
        close(p[1]);
        while ((n = read(p[0], text + length, 65535 - length)) > 0)
                length += (size_t)n;
        close(p[0]);
        fixture_outcome(f, 1, ret);
        if (!ret->failed)
                fixture_acknowledge(f, 1);
        close(token);
        return text;
}

int fixture_setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));
        Packet p = PACKET_NULL;

        fixture_start(f, "spawner", NULL);
        fixture_receive(f, &p);
        assert_string_equal(p.method, "Ready");
        packet_done(&p);
        *state = f;
        return 0;
}

int fixture_teardown(void **state) {
        Fixture *f = *state;
        int r = fixture_end(f);

        free(f);
        return r;
}

void fixture_run_plan(Fixture *f, json_t *plan, Outcome *ret) {
        fixture_run(f, &(Order){ .id = 1, .plan = plan }, ret);
}

void outcome_assert_exited(const Outcome *o, int status) {
        assert_false(o->failed);
        assert_string_equal(o->code, "exited");
        assert_int_equal(o->status, status);
}

void outcome_assert_failed(const Outcome *o, const char *stage, int error, const char *text) {
        assert_true(o->failed);
        assert_string_equal(o->code, stage);
        assert_int_equal(o->status, error);
        assert_string_equal(o->text, text);
}
