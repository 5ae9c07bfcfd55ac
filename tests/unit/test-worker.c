/* SPDX-License-Identifier: Apache-2.0 */

/* Workers of entries: forked by serve() from a process that has preloaded the module misbehave,
 * called over their channel. The module's own process is this one. */

#include "server-fixture.h"

#include "process-id.h"

#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

typedef struct State {
        Fixture fixture;
        ModuleSet *modules;
} State;

/* One call: what was answered ("" when the channel just ended), and how the worker ended. */
typedef struct Answer {
        Packet packet;
        char method[16];
        Outcome outcome;
} Answer;

static int setup_group(void **state) {
        char *names[] = { (char *)TEST_MODULES "/misbehave.so", NULL }, *reason = NULL;
        State *s = calloc(1, sizeof(State));

        if (modules_load(&s->modules, names, &reason) != 0)
                fail_msg("%s", reason);
        *state = s;
        return 0;
}

static int teardown_group(void **state) {
        State *s = *state;

        modules_free(s->modules);
        free(s);
        return 0;
}

static int setup(void **state) {
        State *s = *state;

        fixture_start(&s->fixture, "twin", s->modules);
        return 0;
}

static int teardown(void **state) {
        return fixture_end(&((State *)*state)->fixture);
}

static json_t *plan_of_entry(void) {
        return json_pack("{s[ss],ss,si,s[nnn]}", "environment", "A=1", "B=2", "directory", "/tmp",
                         "umask", 027, "stdio");
}

/* Orders a worker and has it adopted; *ret_channel is the caller's end. */
static void entry_order(Fixture *f, json_t *plan, int *ret_channel) {
        WorkerOrder order = { .id = 17, .plan = plan };

        *ret_channel = fixture_fork(f, &order);
        close(channel_adopt(*ret_channel, &order));
}

/* The answer, or the end of the channel. Progress is counted. */
static int entry_receive(int channel, Answer *ret) {
        int n_progress = 0;

        for (;;) {
                int r;

                wait_readable(channel);
                r = packet_receive(channel, &ret->packet);
                if (r == PACKET_E_CLOSED || r == PACKET_E_INVALID)
                        return n_progress;
                assert_int_equal(r, 0);
                snprintf(ret->method, sizeof(ret->method), "%s", ret->packet.method);
                if (!streq(ret->method, "Progress"))
                        return n_progress;
                n_progress++;
                packet_done(&ret->packet);
        }
}

static void entry_finish(Fixture *f, int channel, Answer *ret) {
        fixture_outcome(f, 17, &ret->outcome);
        if (!ret->outcome.failed)
                fixture_acknowledge(f, 17);
        close(channel);
}

static int entry_run(void **state, json_t *plan, const char *entry, json_t *arguments,
                     Answer *ret) {
        Fixture *f = &((State *)*state)->fixture;
        int channel, n;

        *ret = (Answer){ 0 };
        entry_order(f, plan, &channel);
        channel_send(channel, "Call", json_pack("{ss,so}", "entry", entry, "arguments", arguments));
        n = entry_receive(channel, ret);
        entry_finish(f, channel, ret);
        return n;
}

static json_t *answer_value(const Answer *a) {
        assert_string_equal(a->method, "Returned");
        assert_non_null(a->packet.captured);
        return json_loadb(a->packet.captured, a->packet.captured_length, 0, NULL);
}

static void assert_end(Answer *a, const char *code, int status) {
        assert_false(a->outcome.failed);
        assert_string_equal(a->outcome.code, code);
        assert_int_equal(a->outcome.status, status);
        packet_done(&a->packet);
}

/* A step has failed: the worker says so, and ends. */
static void assert_failed(Fixture *f, int channel, const char *stage, int error, const char *text) {
        const json_t *said;
        Answer a = { 0 };

        entry_receive(channel, &a);
        assert_string_equal(a.method, "Failed");
        said = a.packet.parameters;
        assert_string_equal(json_string_value(json_object_get(said, "stage")), stage);
        assert_int_equal(json_integer_value(json_object_get(said, "errno")), error);
        assert_string_equal(json_string_value(json_object_get(said, "text")) ?: "", text);
        entry_finish(f, channel, &a);
        assert_end(&a, "exited", 127);
}

static void assert_raised(Answer *a, const char *code, const char *text) {
        assert_string_equal(a->method, "Raised");
        assert_string_equal(json_string_value(json_object_get(a->packet.parameters, "code")), code);
        assert_string_equal(json_string_value(json_object_get(a->packet.parameters, "text")), text);
        assert_end(a, "exited", 1);
}

static void assert_value(Answer *a, const char *text) {
        assert_string_equal(a->method, "Returned");
        assert_int_equal(a->packet.captured_length, strlen(text));
        assert_memory_equal(a->packet.captured, text, strlen(text));
        assert_end(a, "exited", 0);
}

static void test_ready(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *entries, *first;

        fixture_receive(&((State *)*state)->fixture, &p);
        assert_string_equal(p.method, "Ready");
        entries = json_object_get(p.parameters, "entries");
        assert_true(json_array_size(entries) > 10);
        first = json_array_get(entries, 0);
        assert_string_equal(json_string_value(json_object_get(first, "name")), "echo");
        assert_non_null(json_object_get(first, "help"));
        assert_non_null(json_object_get(first, "arguments"));
}

static void test_values(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "echo", json_pack("{s[i,n,s]}", "x", 1, "ü"), &a);
        assert_value(&a, "{\"x\":[1,null,\"ü\"]}");
        entry_run(state, plan_of_entry(), "scalar", json_object(), &a);
        assert_value(&a, "{\"value\":42}");
        entry_run(state, plan_of_entry(), "nothing", json_null(), &a);
        assert_value(&a, "{}");
}

static void test_raised(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "fail",
                  json_pack("{ss,ss}", "code", "NotFound", "text", "no such word"), &a);
        assert_raised(&a, "NotFound", "no such word");
        entry_run(state, plan_of_entry(), "errno", json_pack("{si}", "errno", ENOENT), &a);
        assert_raised(&a, "ENOENT", "No such file or directory");
        entry_run(state, plan_of_entry(), "errno", json_pack("{si}", "errno", -3), &a);
        assert_raised(&a, "BadResult", "the entry returned 3, neither 0 nor a negative errno");
        entry_run(state, plan_of_entry(), "no-such-entry", json_object(), &a);
        assert_raised(&a, "NoSuchEntry", "no module here has an entry 'no-such-entry'");
        entry_run(state, plan_of_entry(), "echo", json_integer(3), &a);
        assert_raised(&a, "BadArguments", "the arguments are no JSON object");
        entry_run(state, plan_of_entry(), "echo", json_pack("[]"), &a);
        assert_raised(&a, "BadArguments", "the arguments are no JSON object");
}

static void test_big_values(void **state) {
        Answer a;
        json_t *value;

        entry_run(state, plan_of_entry(), "big", json_pack("{si}", "bytes", 1000000), &a);
        value = answer_value(&a);
        assert_int_equal(json_string_length(json_object_get(value, "bytes")), 1000000);
        json_decref(value);
        assert_end(&a, "exited", 0);
        entry_run(state, plan_of_entry(), "big", json_pack("{si}", "bytes", 65 * 1024 * 1024), &a);
        assert_raised(&a, "TooLarge",
                      "the value is larger than 64 MiB as JSON: write it to a file");
}

static void test_arguments_descriptor(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        const char *text = "{\"a\": 1}";
        int channel, fd;
        json_t *parameters;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        fd = memfd_create("arguments", MFD_CLOEXEC);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        parameters = json_pack("{ss,si}", "entry", "echo", "argumentsDescriptor", 0);
        assert_int_equal(packet_send(channel, "Call", parameters, &fd, 1), 0);
        json_decref(parameters);
        close(fd);
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        assert_value(&a, "{\"a\":1}");

        /* one that is not there */
        a = (Answer){ 0 };
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,si}", "entry", "echo", "argumentsDescriptor", 0));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        assert_raised(&a, "BadArguments", "argumentsDescriptor is no descriptor of the packet");
}

static void test_progress(void **state) {
        Answer a;

        assert_int_equal(
                entry_run(state, plan_of_entry(), "progress", json_pack("{si}", "n", 300), &a),
                300);
        assert_value(&a, "{\"n\":300}");
}

/* What an entry can do to itself is its own affair: the forkserver serves the next one. */
static void test_ends(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "exit", json_pack("{si}", "status", 7), &a);
        assert_string_equal(a.method, "");
        assert_end(&a, "exited", 7);
        entry_run(state, plan_of_entry(), "exit", json_pack("{si}", "status", 0), &a);
        assert_string_equal(a.method, "");
        assert_end(&a, "exited", 0);
        entry_run(state, plan_of_entry(), "signal", json_pack("{si}", "signal", SIGTERM), &a);
        assert_end(&a, "killed", SIGTERM);
        entry_run(state, plan_of_entry(), "signal", json_pack("{si}", "signal", SIGKILL), &a);
        assert_end(&a, "killed", SIGKILL);
        entry_run(state, plan_of_entry(), "close-channel", json_object(), &a);
        assert_string_equal(a.method, "");
        assert_end(&a, "exited", 1);
        entry_run(state, plan_of_entry(), "replace-channel", json_object(), &a);
        assert_string_equal(a.method, "");
        assert_end(&a, "exited", 1);
        entry_run(state, plan_of_entry(), "garbage", json_object(), &a);
        assert_string_equal(a.method, "");
        assert_true(a.outcome.status == 0 || a.outcome.status == 1);
        entry_run(state, plan_of_entry(), "echo", json_object(), &a);
        assert_value(&a, "{}");
}

static void test_crashes(void **state) {
        json_t *plan = plan_of_entry();
        Answer a;

        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitCORE", 0, 0));
        entry_run(state, json_deep_copy(plan), "abort", json_object(), &a);
        assert_end(&a, "killed", SIGABRT);
        entry_run(state, plan, "segv", json_object(), &a);
        assert_end(&a, "killed", SIGSEGV);
}

/* Only one of the two that return from the entry answers. */
static void test_fork_in_entry(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "fork-return", json_object(), &a);
        assert_value(&a, "{\"child\":false}");
}

static void test_cancel(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int channel;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        channel_send(channel, "Cancel", json_object());
        entry_receive(channel, &a);
        assert_string_equal(json_string_value(json_object_get(a.packet.parameters, "code")),
                            "Cancelled");
        entry_finish(f, channel, &a);
        assert_end(&a, "exited", 1);

        /* before the call */
        a = (Answer){ 0 };
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Cancel", json_object());
        channel_send(channel, "Call",
                     json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        assert_end(&a, "exited", 1);
}

static void test_deadline(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int channel;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,s{si},sI}", "entry", "sleep", "arguments", "usec", 1000000000,
                               "deadlineUSec", (json_int_t)now_usec(CLOCK_BOOTTIME) + 20000));
        entry_receive(channel, &a);
        assert_string_equal(json_string_value(json_object_get(a.packet.parameters, "code")),
                            "Cancelled");
        entry_finish(f, channel, &a);
        assert_end(&a, "exited", 1);
}

/* The caller goes away, before the call and while it runs. */
static void test_caller_gone(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int channel;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        entry_finish(f, -1, (close(channel), &a));
        assert_end(&a, "exited", 1);

        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        close(channel);
        entry_finish(f, -1, &a);
        assert_end(&a, "exited", 1);
}

static void test_inherited(void **state) {
        json_t *plan, *value, *descriptors;
        const char *status;
        char line[64];
        Answer a;

        entry_run(state, plan_of_entry(), "process", json_object(), &a);
        value = answer_value(&a);
        status = json_string_value(json_object_get(value, "status"));
        assert_non_null(strstr(status, "SigBlk:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigIgn:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigCgt:\t0000000000000000\n"));
        assert_non_null(strstr(status, "NoNewPrivs:\t1\n"));
        assert_non_null(strstr(status, "Name:\tforkd: twin job\n"));
        assert_int_equal(json_integer_value(json_object_get(value, "session")), a.outcome.pid);
        assert_int_equal(json_integer_value(json_object_get(value, "group")), a.outcome.pid);
        assert_int_equal(json_integer_value(json_object_get(value, "umask")), 027);
        assert_string_equal(json_string_value(json_object_get(value, "directory")), "/tmp");
        snprintf(line, sizeof(line), "forkd: twin job 17 a-title-that");
        assert_memory_equal(json_string_value(json_object_get(value, "title")), line, strlen(line));
        json_decref(value);
        assert_end(&a, "exited", 0);

        entry_run(state, plan_of_entry(), "environment", json_object(), &a);
        assert_value(&a, "{\"environment\":[\"A=1\",\"B=2\"]}");

        plan = plan_of_entry();
        json_object_set_new(
                plan, "stdio",
                json_pack("[{ss},{ss},s]", "path", "/dev/zero", "path", "/dev/null", "stdout"));
        entry_run(state, plan, "descriptors", json_object(), &a);
        value = answer_value(&a);
        descriptors = json_object_get(value, "descriptors");
        snprintf(line, sizeof(line), "%d", (int)json_integer_value(json_object_get(value, "kept")));
        assert_true(json_integer_value(json_object_get(value, "kept")) > 4);
        assert_int_equal(json_object_size(descriptors),
                         5); /* 0 to 2, the channel, what was declared */
        assert_non_null(json_object_get(descriptors, "3"));
        assert_string_equal(json_string_value(json_object_get(descriptors, line)), "/dev/zero");
        assert_string_equal(json_string_value(json_object_get(descriptors, "0")), "/dev/zero");
        assert_string_equal(json_string_value(json_object_get(descriptors, "1")), "/dev/null");
        assert_string_equal(json_string_value(json_object_get(descriptors, "2")), "/dev/null");
        json_decref(value);
        assert_end(&a, "exited", 0);
}

static void test_siblings_draw_differently(void **state) {
        json_int_t drawn[2];
        Answer a;

        for (int i = 0; i < 2; i++) {
                json_t *value;

                entry_run(state, plan_of_entry(), "process", json_object(), &a);
                value = answer_value(&a);
                drawn[i] = json_integer_value(json_object_get(value, "random"));
                json_decref(value);
                assert_end(&a, "exited", 0);
        }
        assert_int_not_equal(drawn[0], drawn[1]);
}

static void test_one_preload(void **state) {
        Answer a;

        for (int i = 0; i < 20; i++) {
                entry_run(state, plan_of_entry(), "count", json_object(), &a);
                assert_value(&a, "{\"preloads\":1,\"starts\":1}");
        }
}

/* What an entry leaves in stdio's buffers is written, once, and worker_stop() has its say. */
static void test_output(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        WorkerOrder order = { .id = 17, .plan = plan_of_entry(), .n_fds = 1 };
        char text[64] = "";
        Answer a = { 0 };
        int p[2], channel;

        json_array_append_new(json_object_get(order.plan, "environment"),
                              json_string("FORKD_TEST_STOP=1"));
        json_array_set_new(json_object_get(order.plan, "stdio"), 1, json_integer(1));
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        order.fds = &p[1];
        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        close(p[1]);
        channel_send(channel, "Call",
                     json_pack("{ss,s{ss}}", "entry", "stdout", "arguments", "text", "hello "));
        entry_receive(channel, &a);
        assert_string_equal(a.method, "Returned");
        entry_finish(f, channel, &a);
        assert_int_equal(read(p[0], text, sizeof(text)), strlen("hello stopped\n"));
        assert_string_equal(text, "hello stopped\n");
        assert_int_equal(read(p[0], text, sizeof(text)), 0);
        close(p[0]);
        assert_end(&a, "exited", 0);
}

static void test_worker_start_fails(void **state) {
        json_t *plan = plan_of_entry();
        Answer a;

        json_array_append_new(json_object_get(plan, "environment"),
                              json_string("FORKD_TEST_START_FAILS=1"));
        entry_run(state, plan, "echo", json_object(), &a);
        assert_raised(&a, "WorkerStart",
                      "worker_start() of module misbehave failed: No such device");
}

static json_t *plan_with(const char *name, json_t *value) {
        json_t *plan = plan_of_entry();

        json_object_set_new(plan, name, value);
        return plan;
}

/* Each step of the job's part that can fail says which it was. */
static void test_adoption_fails(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        const struct {
                json_t *plan;
                const char *stage;
                int error;
                const char *text;
        } cases[] = {
                { plan_with("limits", json_pack("{s[i,i]}", "LimitFSIZE", 5, 4)), "limits", EINVAL,
                  "LimitFSIZE" },
                { plan_with("affinity", json_pack("[i]", 8000)), "limits", EINVAL, "affinity" },
                { plan_with("directory", json_string("/no/such/directory")), "directory", ENOENT,
                  "/no/such/directory" },
                { plan_with("stdio", json_pack("[{ss},n,n]", "path", "/no/in")), "stdin", ENOENT,
                  "/no/in" },
                { plan_with("stdio", json_pack("[n,{ss},n]", "path", "/no/out")), "stdout", ENOENT,
                  "/no/out" },
                { plan_with("stdio", json_pack("[n,n,{ss}]", "path", "/no/err")), "stderr", ENOENT,
                  "/no/err" },
                { plan_with("directory", json_string("x")), "plan", EINVAL,
                  "directory is no absolute path" },
                { plan_with("command", json_pack("[s]", "true")), "plan", EINVAL,
                  "a worker of entries cannot execute a command" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int channel;

                entry_order(f, cases[i].plan, &channel);
                assert_failed(f, channel, cases[i].stage, cases[i].error, cases[i].text);
        }
}

/* From now on malloc() has to ask the kernel for anything large. */
static void leave_no_room(void) {
        struct mallinfo2 before, after;

        assert_int_equal(mallopt(M_TOP_PAD, 0), 1);
        assert_int_equal(mallopt(M_MMAP_THRESHOLD, 1024), 1);
        for (size_t size = 1 << 20; size >= 1024; size /= 2)
                do { /* what it has is taken, so that nobody gets it */
                        before = mallinfo2();
                        assert_non_null(malloc(size));
                        after = mallinfo2();
                } while (after.hblks == before.hblks);
}

/* The limit comes first, and then there is no memory left to say what failed after it. */
static void test_adoption_fails_without_memory(void **state) {
        json_t *plan = plan_with("limits", json_pack("{s[i,i]}", "LimitAS", 4096, 4096));
        char path[901] = "/";
        int channel;
        Fixture f;

#ifdef __SANITIZE_ADDRESS__
        skip(); /* it needs memory of its own */
#endif
        leave_no_room();
        fixture_start(&f, "twin", ((State *)*state)->modules);
        memset(path + 1, 1, 899); /* long to write in JSON */
        for (size_t i = 100; i < 899; i += 100)
                path[i] = '/';
        json_object_set_new(plan, "directory", json_string(path));
        entry_order(&f, plan, &channel);
        assert_failed(&f, channel, "directory", ENOENT, path);
        assert_int_equal(fixture_end(&f), 0);
}

static void test_adoption_user(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        json_t *plan = plan_with("uid", json_integer(12345)), *value;
        Answer a;

        json_object_set_new(plan, "gid", json_integer(12345));
        if (getuid() != 0) {
                int channel;

                entry_order(f, plan, &channel);
                assert_failed(f, channel, "user", EPERM, "");
                return;
        }
        entry_run(state, plan, "process", json_object(), &a);
        value = answer_value(&a);
        assert_non_null(strstr(json_string_value(json_object_get(value, "status")),
                               "Uid:\t12345\t12345\t12345\t12345\n"));
        json_decref(value);
        assert_end(&a, "exited", 0);
}

static void test_token(void **state) {
        WorkerOrder order = { .id = 17, .plan = plan_of_entry(), .token_taken = true };
        Fixture *f = &((State *)*state)->fixture;
        Answer a = { 0 };
        uint64_t value;
        int channel, token;

        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        assert_failed(f, channel, "token", EAGAIN, "");

        /* who runs has taken it */
        order = (WorkerOrder){ .id = 17, .plan = plan_of_entry() };
        channel = fixture_fork(f, &order);
        token = channel_adopt(channel, &order);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        assert_value(&a, "{}");
        assert_int_equal(read(token, &value, sizeof(value)), -1);
        assert_int_equal(errno, EAGAIN);
        close(token);

        /* none at all */
        channel = fixture_fork(f, &(WorkerOrder){ .id = 17 });
        channel_send(channel, "Adopt",
                     json_pack("{sI,si,so}", "id", (json_int_t)17, "attempt", 1, "plan",
                               plan_of_entry()));
        assert_failed(f, channel, "plan", EINVAL, "token is no descriptor of the packet");
}

static void test_call_before_adopt(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int channel = fixture_fork(f, &(WorkerOrder){ .id = 17 });

        channel_send(channel, "Dance", json_object()); /* of a later version */
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        assert_failed(f, channel, "plan", EINVAL, "Call has come before Adopt");
}

static void assert_started(Fixture *f, uint64_t id, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;

        do {
                packet_done(&p);
                fixture_receive(f, &p);
        } while (streq(p.method, "Ready"));
        assert_string_equal(p.method, "Started");
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "id")), id);
        *ret_pid = (pid_t)json_integer_value(json_object_get(p.parameters, "pid"));
        *ret_pidfd = packet_take_fd(&p, "pidfd");
        assert_true(*ret_pidfd >= 0);
}

static void read_status(pid_t pid, char *text, size_t size) {
        char path[64];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = read(fd, text, size - 1);
        assert_true(n > 0);
        text[n] = '\0';
        close(fd);
}

/* Forked ahead of need, it waits, and is then a worker like any other. */
static void test_spare(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        WorkerOrder order = { .id = 0, .tell = true, .title = "forkd: spell#2 spare" };
        int channel = fixture_fork(f, &order), pidfd;
        Answer a = { 0 };
        json_t *value;
        pid_t pid;

        assert_started(f, 0, &pid, &pidfd);
        close(pidfd);
        order.id = 17;
        order.plan = plan_of_entry();
        close(channel_adopt(channel, &order));
        channel_send(channel, "Call", json_pack("{ss}", "entry", "process"));
        entry_receive(channel, &a);
        value = answer_value(&a);
        assert_non_null(strstr(json_string_value(json_object_get(value, "status")),
                               "Name:\tforkd: twin job\n"));
        json_decref(value);
        packet_done(&a.packet);
        close(channel);
        /* its forkserver knows it as what it was born as */
        fixture_outcome(f, 0, &a.outcome);
        assert_int_equal(a.outcome.pid, pid);
        outcome_assert_exited(&a.outcome, 0);
        fixture_acknowledge(f, 0);
}

/* How it waits: with nothing but its channel, all signals at their default, and its title. */
static void test_spare_waits(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        WorkerOrder order = { .id = 0, .tell = true, .title = "forkd: spare 1" };
        int channel = fixture_fork(f, &order), pidfd, small = 1;
        char status[8192];
        Outcome o;
        pid_t pid;

        assert_started(f, 0, &pid, &pidfd);
        /* what it ignores does not fit into the channel unless it reads */
        assert_int_equal(setsockopt(channel, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        for (int i = 0; i < 100; i++)
                channel_send(channel, "Dance", json_object());
        read_status(pid, status, sizeof(status));
        assert_non_null(strstr(status, "Name:\tforkd: spare 1\n"));
        assert_non_null(strstr(status, "SigBlk:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigIgn:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigCgt:\t0000000000000000\n"));
        assert_int_equal(process_signal(pidfd, SIGTERM), 0);
        close(pidfd);
        fixture_outcome(f, 0, &o);
        assert_string_equal(o.code, "killed");
        assert_int_equal(o.status, SIGTERM);
        fixture_acknowledge(f, 0);
        close(channel);
}

/* End-of-file before it had a job is no failure; garbage is one. */
static void test_spare_ends(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        Outcome o;
        int channel;

        close(fixture_fork(f, &(WorkerOrder){ .id = 0 }));
        fixture_outcome(f, 0, &o);
        outcome_assert_exited(&o, 0);
        fixture_acknowledge(f, 0);

        /* as told, its start comes first, however soon it ends */
        for (int i = 0; i < 20; i++) {
                close(fixture_fork(f, &(WorkerOrder){ .id = 0, .tell = true }));
                fixture_outcome(f, 0, &o);
                assert_true(o.started);
                fixture_acknowledge(f, 0);
        }

        channel = fixture_fork(f, &(WorkerOrder){ .id = 0 });
        assert_int_equal(send(channel, "{]", 2, 0), 2);
        fixture_outcome(f, 0, &o);
        outcome_assert_exited(&o, 1);
        fixture_acknowledge(f, 0);
        close(channel);
}

static void assert_refused(Fixture *f, json_t *parameters, const int *fds, size_t n_fds,
                           const char *reason) {
        Outcome o;

        fixture_send(f, "Fork", parameters, fds, n_fds);
        fixture_outcome(f, 17, &o);
        outcome_assert_failed(&o, "plan", EINVAL, reason);
}

static void test_bad_orders(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int file = open("/dev/null", O_RDONLY | O_CLOEXEC), stream[2], channel;
        Answer a = { 0 };

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
        assert_refused(f, json_pack("{si,si}", "id", 17, "attempt", 1), NULL, 0,
                       "channel is no descriptor of the packet");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 1), &file, 1,
                       "channel is no descriptor of the packet");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 0), &file, 1,
                       "channel is no socket of type SOCK_SEQPACKET");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 0), stream, 1,
                       "channel is no socket of type SOCK_SEQPACKET");
        assert_refused(
                f, json_pack("{si,si,si,s{}}", "id", 17, "attempt", 1, "channel", 0, "plan"),
                stream, 1,
                "this forkserver forks workers of its entries: a plan goes to them, by Adopt");
        close(stream[0]);
        close(stream[1]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, stream), 0);
        assert_refused(
                f, json_pack("{si,si,si,si}", "id", 17, "attempt", 1, "channel", 0, "cgroup", 5),
                stream, 1, "cgroup is no descriptor of the packet");
        close(stream[0]);
        close(stream[1]);
        close(file);
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        assert_value(&a, "{}");
}

/* The cgroup is entered by the worker itself, as fork() cannot. */
static void test_cgroup_refused(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int cgroup = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int channel = fixture_fork(f, &(WorkerOrder){ .id = 17, .cgroup = cgroup });

        close(cgroup);
        assert_failed(f, channel, "cgroup", ENOENT, "");
}

static void test_cgroup(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        _cleanup_(freep) char *path = NULL;
        char name[64];
        WorkerOrder order = { .id = 17, .plan = plan_of_entry(), .cgroup = make_cgroup(&path) };
        json_t *value;
        Answer a = { 0 };
        int channel;

        if (order.cgroup < 0)
                skip();
        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        close(order.cgroup);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "process"));
        entry_receive(channel, &a);
        value = answer_value(&a);
        entry_finish(f, channel, &a);
        assert_int_equal(rmdir(path), 0);
        snprintf(name, sizeof(name), "/forkd-test-%d\n", (int)getpid());
        assert_non_null(strstr(json_string_value(json_object_get(value, "cgroup")), name));
        json_decref(value);
        assert_end(&a, "exited", 0);
}

/* A worker that ends itself never: Started comes, and forkd ends it by its pidfd. */
static void test_never(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        Packet p = PACKET_NULL;
        int channel, pidfd = -1;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "never"));
        while (pidfd < 0) {
                fixture_receive(f, &p);
                if (streq(p.method, "Started"))
                        pidfd = packet_take_fd(&p, "pidfd");
                packet_done(&p);
        }
        assert_int_equal(process_signal(pidfd, SIGKILL), 0);
        close(pidfd);
        entry_finish(f, channel, &a);
        assert_end(&a, "killed", SIGKILL);
}

/* A forkserver that was retired ends with its last attempt, also when that one has never had a job.
 */
static void test_retire(void **state) {
        int channel, status;
        Outcome o;
        Fixture f;

        fixture_start(&f, "twin", ((State *)*state)->modules);
        assert_int_equal(kill(f.pid, SIGSTOP), 0); /* so that it finds both at once */
        channel = fixture_fork(&f, &(WorkerOrder){ .id = 17 });
        close(channel);
        fixture_send(&f, "Retire", json_object(), NULL, 0);
        assert_int_equal(kill(f.pid, SIGCONT), 0);
        fixture_outcome(&f, 17, &o);
        outcome_assert_exited(&o, 0);
        fixture_acknowledge(&f, 17);
        assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(f.channel);
        assert_int_equal(count_fds(), f.n_fds);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_ready),
                WITH_SERVER(test_values),
                WITH_SERVER(test_raised),
                WITH_SERVER(test_big_values),
                WITH_SERVER(test_arguments_descriptor),
                WITH_SERVER(test_progress),
                WITH_SERVER(test_ends),
                WITH_SERVER(test_crashes),
                WITH_SERVER(test_fork_in_entry),
                WITH_SERVER(test_cancel),
                WITH_SERVER(test_deadline),
                WITH_SERVER(test_caller_gone),
                WITH_SERVER(test_inherited),
                WITH_SERVER(test_siblings_draw_differently),
                WITH_SERVER(test_one_preload),
                WITH_SERVER(test_output),
                WITH_SERVER(test_worker_start_fails),
                WITH_SERVER(test_adoption_fails),
                WITH_SERVER(test_adoption_user),
                WITH_SERVER(test_token),
                WITH_SERVER(test_call_before_adopt),
                WITH_SERVER(test_spare),
                WITH_SERVER(test_spare_waits),
                WITH_SERVER(test_spare_ends),
                WITH_SERVER(test_bad_orders),
                WITH_SERVER(test_cgroup_refused),
                WITH_SERVER(test_cgroup),
                WITH_SERVER(test_never),
                cmocka_unit_test(test_retire),
                cmocka_unit_test(
                        test_adoption_fails_without_memory), /* the last: malloc() stays so */
        };

        return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
