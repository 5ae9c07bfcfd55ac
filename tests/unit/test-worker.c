/* SPDX-License-Identifier: Apache-2.0 */

/* Workers of entries: what entries find, answer, and do to themselves. */

#include "worker-fixture.h"

#include "process-id.h"

#include <signal.h>
#include <sys/mman.h>

static void test_ready(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *entries, *first;

        fixture_receive(&((WorkerState *)*state)->fixture, &p);
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
        answer_assert_value(&a, "{\"x\":[1,null,\"ü\"]}");
        entry_run(state, plan_of_entry(), "scalar", json_object(), &a);
        answer_assert_value(&a, "{\"value\":42}");
        entry_run(state, plan_of_entry(), "nothing", json_null(), &a);
        answer_assert_value(&a, "{}");
}

static void test_raised(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "fail",
                  json_pack("{ss,ss}", "code", "NotFound", "text", "no such word"), &a);
        answer_assert_raised(&a, "NotFound", "no such word");
        entry_run(state, plan_of_entry(), "errno", json_pack("{si}", "errno", ENOENT), &a);
        answer_assert_raised(&a, "ENOENT", "No such file or directory");
        entry_run(state, plan_of_entry(), "errno", json_pack("{si}", "errno", -3), &a);
        answer_assert_raised(&a, "BadResult",
                             "the entry returned 3, neither 0 nor a negative errno");
        entry_run(state, plan_of_entry(), "no-such-entry", json_object(), &a);
        answer_assert_raised(&a, "NoSuchEntry", "no module here has an entry 'no-such-entry'");
        entry_run(state, plan_of_entry(), "echo", json_integer(3), &a);
        answer_assert_raised(&a, "BadArguments", "the arguments are no JSON object");
        entry_run(state, plan_of_entry(), "echo", json_pack("[]"), &a);
        answer_assert_raised(&a, "BadArguments", "the arguments are no JSON object");
}

static void test_big_values(void **state) {
        Answer a;
        json_t *value;

        entry_run(state, plan_of_entry(), "big", json_pack("{si}", "bytes", 1000000), &a);
        value = answer_value(&a);
        assert_int_equal(json_string_length(json_object_get(value, "bytes")), 1000000);
        json_decref(value);
        answer_assert_end(&a, "exited", 0);
        entry_run(state, plan_of_entry(), "big", json_pack("{si}", "bytes", 65 * 1024 * 1024), &a);
        answer_assert_raised(&a, "TooLarge",
                             "the value is larger than 64 MiB as JSON: write it to a file");
}

static void test_arguments_descriptor(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
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
        answer_assert_value(&a, "{\"a\":1}");

        /* one that is not there */
        a = (Answer){ 0 };
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,si}", "entry", "echo", "argumentsDescriptor", 0));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        answer_assert_raised(&a, "BadArguments",
                             "argumentsDescriptor is no descriptor of the packet");
}

static void test_progress(void **state) {
        Answer a;

        assert_int_equal(
                entry_run(state, plan_of_entry(), "progress", json_pack("{si}", "n", 300), &a),
                300);
        answer_assert_value(&a, "{\"n\":300}");
}

/* What an entry can do to itself is its own affair: the forkserver serves the next one. */
static void test_ends(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "exit", json_pack("{si}", "status", 7), &a);
        assert_string_equal(a.method, "");
        answer_assert_end(&a, "exited", 7);
        entry_run(state, plan_of_entry(), "exit", json_pack("{si}", "status", 0), &a);
        assert_string_equal(a.method, "");
        answer_assert_end(&a, "exited", 0);
        entry_run(state, plan_of_entry(), "signal", json_pack("{si}", "signal", SIGTERM), &a);
        answer_assert_end(&a, "killed", SIGTERM);
        entry_run(state, plan_of_entry(), "signal", json_pack("{si}", "signal", SIGKILL), &a);
        answer_assert_end(&a, "killed", SIGKILL);
        entry_run(state, plan_of_entry(), "close-channel", json_object(), &a);
        assert_string_equal(a.method, "");
        answer_assert_end(&a, "exited", 1);
        entry_run(state, plan_of_entry(), "replace-channel", json_object(), &a);
        assert_string_equal(a.method, "");
        answer_assert_end(&a, "exited", 1);
        entry_run(state, plan_of_entry(), "garbage", json_object(), &a);
        assert_string_equal(a.method, "");
        assert_true(a.outcome.status == 0 || a.outcome.status == 1);
        entry_run(state, plan_of_entry(), "echo", json_object(), &a);
        answer_assert_value(&a, "{}");
}

static void test_crashes(void **state) {
        json_t *plan = plan_of_entry();
        Answer a;

        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitCORE", 0, 0));
        entry_run(state, json_deep_copy(plan), "abort", json_object(), &a);
        answer_assert_end(&a, "killed", SIGABRT);
        entry_run(state, plan, "segv", json_object(), &a);
        answer_assert_end(&a, "killed", SIGSEGV);
}

/* Only one of the two that return from the entry answers. */
static void test_fork_in_entry(void **state) {
        Answer a;

        entry_run(state, plan_of_entry(), "fork-return", json_object(), &a);
        answer_assert_value(&a, "{\"child\":false}");
}

static void test_cancel(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
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
        answer_assert_end(&a, "exited", 1);

        /* before the call */
        a = (Answer){ 0 };
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Cancel", json_object());
        channel_send(channel, "Call",
                     json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        answer_assert_end(&a, "exited", 1);
}

static void test_deadline(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
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
        answer_assert_end(&a, "exited", 1);
}

/* The caller goes away, before the call and while it runs. */
static void test_caller_gone(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        int channel;
        Answer a = { 0 };

        entry_order(f, plan_of_entry(), &channel);
        entry_finish(f, -1, (close(channel), &a));
        answer_assert_end(&a, "exited", 1);

        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call",
                     json_pack("{ss,s{si}}", "entry", "sleep", "arguments", "usec", 1000000000));
        close(channel);
        entry_finish(f, -1, &a);
        answer_assert_end(&a, "exited", 1);
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
        answer_assert_end(&a, "exited", 0);

        entry_run(state, plan_of_entry(), "environment", json_object(), &a);
        answer_assert_value(&a, "{\"environment\":[\"A=1\",\"B=2\"]}");

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
        answer_assert_end(&a, "exited", 0);
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
                answer_assert_end(&a, "exited", 0);
        }
        assert_int_not_equal(drawn[0], drawn[1]);
}

static void test_one_preload(void **state) {
        Answer a;

        for (int i = 0; i < 20; i++) {
                entry_run(state, plan_of_entry(), "count", json_object(), &a);
                answer_assert_value(&a, "{\"preloads\":1,\"starts\":1}");
        }
}

/* What an entry leaves in stdio's buffers is written, once, and worker_stop() has its say. */
static void test_output(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
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
        answer_assert_end(&a, "exited", 0);
}

static void test_worker_start_fails(void **state) {
        json_t *plan = plan_of_entry();
        Answer a;

        json_array_append_new(json_object_get(plan, "environment"),
                              json_string("FORKD_TEST_START_FAILS=1"));
        entry_run(state, plan, "echo", json_object(), &a);
        answer_assert_raised(&a, "WorkerStart",
                             "worker_start() of module misbehave failed: No such device");
}

/* A worker that ends itself never: Started comes, and forkd ends it by its pidfd. */
static void test_never(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
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
        answer_assert_end(&a, "killed", SIGKILL);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, worker_setup, worker_teardown)
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
                WITH_SERVER(test_never),
        };

        return cmocka_run_group_tests(tests, worker_setup_group, worker_teardown_group);
}
