/* SPDX-License-Identifier: Apache-2.0 */

/* Workers of entries: forked by serve() from a process that has preloaded the module misbehave,
 * called over their channel. The module's own process is this one. */

#include "server-fixture.h"

#include "process-id.h"

#include <poll.h>
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
        return json_pack(
                "{sb,si,s[ss],ss,si,s[nnn],ss}", "entry", 1, "channel", 1, "environment", "A=1",
                "B=2", "directory", "/tmp", "umask", 027, "stdio", "title",
                "forkd: twin job 17 a-title-that-is-longer-than-the-arguments-of-this-program");
}

/* Orders a worker; *ret_channel is the caller's end. */
static void entry_order(Fixture *f, json_t *plan, int *ret_channel) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        close(fixture_order(f, &(Order){ .id = 17, .plan = plan, .fds = &pair[1], .n_fds = 1 }));
        close(pair[1]);
        *ret_channel = pair[0];
}

static void entry_send(int channel, const char *method, json_t *parameters) {
        assert_int_equal(packet_send(channel, method, parameters, NULL, 0), 0);
        json_decref(parameters);
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
        entry_send(channel, "Call", json_pack("{ss,so}", "entry", entry, "arguments", arguments));
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
        entry_send(channel, "Call",
                   json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        entry_send(channel, "Cancel", json_object());
        entry_receive(channel, &a);
        assert_string_equal(json_string_value(json_object_get(a.packet.parameters, "code")),
                            "Cancelled");
        entry_finish(f, channel, &a);
        assert_end(&a, "exited", 1);

        /* before the call */
        a = (Answer){ 0 };
        entry_order(f, plan_of_entry(), &channel);
        entry_send(channel, "Cancel", json_object());
        entry_send(channel, "Call",
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
        entry_send(channel, "Call",
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
        entry_send(channel, "Call",
                   json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        close(channel);
        entry_finish(f, -1, &a);
        assert_end(&a, "exited", 1);
}

static void test_inherited(void **state) {
        json_t *value, *descriptors;
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

        entry_run(state, plan_of_entry(), "descriptors", json_object(), &a);
        value = answer_value(&a);
        descriptors = json_object_get(value, "descriptors");
        snprintf(line, sizeof(line), "%d", (int)json_integer_value(json_object_get(value, "kept")));
        assert_true(json_integer_value(json_object_get(value, "kept")) > 4);
        assert_int_equal(json_object_size(descriptors),
                         5); /* 0 to 2, the channel, what was declared */
        assert_non_null(json_object_get(descriptors, "3"));
        assert_string_equal(json_string_value(json_object_get(descriptors, line)), "/dev/zero");
        assert_string_equal(json_string_value(json_object_get(descriptors, "1")), "/dev/null");
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
        int fds[2], p[2], pair[2];
        char text[64] = "";
        json_t *plan = plan_of_entry();
        Answer a = { 0 };

        json_array_append_new(json_object_get(plan, "environment"),
                              json_string("FORKD_TEST_STOP=1"));
        json_array_set_new(json_object_get(plan, "stdio"), 1, json_integer(2));
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        fds[0] = pair[1];
        fds[1] = p[1];
        close(fixture_order(f, &(Order){ .id = 17, .plan = plan, .fds = fds, .n_fds = 2 }));
        close(pair[1]);
        close(p[1]);
        entry_send(pair[0], "Call",
                   json_pack("{ss,s{ss}}", "entry", "stdout", "arguments", "text", "hello "));
        entry_receive(pair[0], &a);
        assert_string_equal(a.method, "Returned");
        entry_finish(f, pair[0], &a);
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

/* A child of fork() reports later than the order, but the same. */
static void test_setup_fails(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        json_t *plan = plan_of_entry();
        int channel;
        Outcome o;

        json_object_set_new(plan, "directory", json_string("/no/such/directory"));
        entry_order(f, plan, &channel);
        fixture_outcome(f, 17, &o);
        close(channel);
        assert_true(o.failed);
        assert_string_equal(o.code, "directory");
        assert_int_equal(o.status, ENOENT);
        assert_string_equal(o.text, "/no/such/directory");
        assert_false(o.started);
}

static void test_token_taken(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int pair[2];
        Outcome o;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fixture_run(f,
                    &(Order){ .id = 17,
                              .plan = plan_of_entry(),
                              .fds = &pair[1],
                              .n_fds = 1,
                              .token_taken = true },
                    &o);
        close(pair[0]);
        close(pair[1]);
        assert_true(o.failed);
        assert_string_equal(o.code, "token");
        assert_int_equal(o.status, EAGAIN);
}

/* The cgroup is entered by the worker itself, as fork() cannot. */
static void test_cgroup_refused(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        int pair[2], fds[2];
        Outcome o;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fds[0] = pair[1];
        fds[1] = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fixture_run(
                f,
                &(Order){ .id = 17, .plan = plan_of_entry(), .fds = fds, .n_fds = 2, .cgroup = 2 },
                &o);
        close(pair[0]);
        close(fds[0]);
        close(fds[1]);
        assert_true(o.failed);
        assert_string_equal(o.code, "cgroup");
        assert_int_equal(o.status, ENOENT);
}

static void test_cgroup(void **state) {
        Fixture *f = &((State *)*state)->fixture;
        _cleanup_(freep) char *path = NULL;
        char name[64];
        int pair[2], fds[2];
        json_t *value;
        Answer a = { 0 };

        fds[1] = make_cgroup(&path);
        if (fds[1] < 0)
                skip();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        fds[0] = pair[1];
        close(fixture_order(
                f,
                &(Order){
                        .id = 17, .plan = plan_of_entry(), .fds = fds, .n_fds = 2, .cgroup = 2 }));
        close(fds[0]);
        close(fds[1]);
        entry_send(pair[0], "Call", json_pack("{ss}", "entry", "process"));
        entry_receive(pair[0], &a);
        value = answer_value(&a);
        entry_finish(f, pair[0], &a);
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
        entry_send(channel, "Call", json_pack("{ss}", "entry", "never"));
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

/* A forkserver that was retired ends with its last attempt, also when that one has never run. */
static void test_retire(void **state) {
        json_t *plan = plan_of_entry();
        int channel, status;
        Outcome o;
        Fixture f;

        json_object_set_new(plan, "directory", json_string("/no/such/directory"));
        fixture_start(&f, "twin", ((State *)*state)->modules);
        assert_int_equal(kill(f.pid, SIGSTOP), 0); /* so that it finds both at once */
        entry_order(&f, plan, &channel);
        fixture_send(&f, "Retire", json_object(), NULL, 0);
        assert_int_equal(kill(f.pid, SIGCONT), 0);
        fixture_outcome(&f, 17, &o);
        outcome_assert_failed(&o, "directory", ENOENT, "/no/such/directory");
        wait_readable(f.channel); /* its end */
        assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(f.channel);
        close(channel);
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
                WITH_SERVER(test_setup_fails),
                WITH_SERVER(test_token_taken),
                WITH_SERVER(test_cgroup_refused),
                WITH_SERVER(test_cgroup),
                WITH_SERVER(test_never),
                cmocka_unit_test(test_retire),
        };

        return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
