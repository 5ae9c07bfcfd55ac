/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/queue.h: jobs that wait for others, for their time, or for their next attempt. */

#include "daemon-fixture.h"

#include <sys/resource.h>

/* Runs until it is told to end. */
#define HOLD "{'command':['sleep','1000']"

static int setup(void **state) {
        return fixture_setup(state, "MaxRunning=1");
}

static int setup_forgetful(void **state) {
        return fixture_setup(state, "MaxRunning=1\nKeepFinished=0");
}

/* Takes the only slot. */
static uint64_t hold(DaemonFixture *f) {
        uint64_t id = fixture_submit(f, HOLD "}");

        fixture_wait_state(f, id, JOB_RUNNING);
        return id;
}

static JobState state_of(DaemonFixture *f, uint64_t id) {
        return fixture_job(f, id)->state;
}

/* ---- for others */

static void test_after(void **state) {
        DaemonFixture *f = *state;
        uint64_t good = fixture_submit(f, "{'command':['true']}"),
                 bad = fixture_submit(f, "{'command':['false']}");
        uint64_t a = fixture_submit(f, "{'command':['true'],'after':[{'id':%d}]}", (int)good);
        uint64_t b = fixture_submit(f, "{'command':['true'],'after':[{'id':%d,'on':'success'}]}",
                                    (int)bad);
        uint64_t c = fixture_submit(f, "{'command':['true'],'after':[{'id':%d,'on':'finished'}]}",
                                    (int)bad);
        uint64_t d = fixture_submit(
                f, "{'command':['true'],'after':[{'id':%d},{'id':%d,'on':'finished'}]}", (int)a,
                (int)c);
        uint64_t e = fixture_submit(f, "{'command':['true'],'after':[{'id':%d},{'id':%d}]}", (int)a,
                                    (int)b);
        char expected[64];

        for (uint64_t id = a; id <= e; id++)
                assert_int_equal(state_of(f, id), JOB_PARKED);
        assert_int_equal(queue_length(f->daemon->queue), 2);

        assert_int_equal(fixture_wait(f, a)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_wait(f, b)->result, RESULT_DEPENDENCY);
        snprintf(expected, sizeof(expected), "job %d, which it waits for, has failed", (int)bad);
        assert_string_equal(fixture_job(f, b)->certificate->text, expected);
        assert_int_equal(fixture_job(f, b)->certificate->attempt, 0);
        assert_int_equal(fixture_wait(f, c)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_wait(f, d)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_wait(f, e)->result, RESULT_DEPENDENCY);
        assert_true(fixture_job(f, a)->started_at >= fixture_job(f, good)->finished_at);
        assert_true(fixture_job(f, d)->started_at >= fixture_job(f, c)->finished_at);

        /* those that have ended before are looked at at once */
        a = fixture_submit(f, "{'command':['true'],'after':[{'id':%d}]}", (int)bad);
        assert_int_equal(state_of(f, a), JOB_FINISHED);
        assert_int_equal(fixture_job(f, a)->certificate->result, RESULT_DEPENDENCY);
        a = fixture_submit(f, "{'command':['true'],'after':[{'id':%d}]}", (int)good);
        assert_int_equal(state_of(f, a), JOB_QUEUED);
        assert_int_equal(fixture_wait(f, a)->result, RESULT_SUCCESS);
}

/* What waits for a job that is tried again waits for its last attempt. */
static void test_after_retries(void **state) {
        DaemonFixture *f = *state;
        uint64_t a =
                fixture_submit(f, "{'command':['false'],'retries':{'max':2,'delayUSec':1000}}");
        uint64_t b = fixture_submit(f, "{'command':['true'],'after':[{'id':%d,'on':'finished'}]}",
                                    (int)a);

        assert_int_equal(fixture_wait(f, b)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, a)->certificate->attempt, 3);
        assert_true(fixture_job(f, b)->started_at >= fixture_job(f, a)->finished_at);
}

/* ---- for its time */

static void test_start_at(void **state) {
        DaemonFixture *f = *state;
        uint64_t at = now_usec(CLOCK_REALTIME) + 50000;
        uint64_t later = fixture_submit(f, "{'command':['true'],'startAtUSec':%llu}",
                                        (unsigned long long)at);
        uint64_t past = fixture_submit(f, "{'command':['true'],'startAtUSec':1}");
        uint64_t both =
                fixture_submit(f, "{'command':['true'],'startAtUSec':%llu,'after':[{'id':%d}]}",
                               (unsigned long long)at + 10000, (int)later);
        uint64_t never =
                fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);

        assert_int_equal(state_of(f, later), JOB_PARKED);
        assert_int_equal(state_of(f, past), JOB_QUEUED);
        assert_int_equal(fixture_wait(f, later)->result, RESULT_SUCCESS);
        assert_true(fixture_job(f, later)->started_at >= at);
        assert_int_equal(fixture_wait(f, both)->result, RESULT_SUCCESS);
        assert_true(fixture_job(f, both)->started_at >= at + 10000);

        assert_int_equal(state_of(f, never), JOB_PARKED);
        fixture_stop(f, never);
        assert_int_equal(state_of(f, never), JOB_FINISHED);
        assert_int_equal(fixture_job(f, never)->certificate->result, RESULT_CANCELLED);
}

/* Times that pass just while it is looked at: none is missed. */
static void test_start_at_now(void **state) {
        DaemonFixture *f = *state;

        for (int i = 0; i < 3000; i++) {
                uint64_t id = fixture_submit(
                        f, "{'command':['true'],'startAtUSec':%llu}",
                        (unsigned long long)(now_usec(CLOCK_REALTIME) + (unsigned)i % 60));
                Job *job = fixture_job(f, id);

                assert_true(job->state == JOB_QUEUED || (job->state == JOB_PARKED && job->timer));
                fixture_stop(f, id);
        }
}

#define CHAIN 5000

/* Many that wait one for the other end together, on a small stack. */
static void test_long_chain_of_failures(void **state) {
        struct rlimit was, little = { 256 * 1024, 0 };
        DaemonFixture *f = *state;
        uint64_t first, last;

        assert_int_equal(getrlimit(RLIMIT_STACK, &was), 0);
        little.rlim_max = was.rlim_max;
        assert_int_equal(setrlimit(RLIMIT_STACK, &little), 0);

        first = last = hold(f);
        for (int i = 0; i < CHAIN; i++)
                last = fixture_submit(f, "{'command':['true'],'after':[{'id':%d}]}", (int)last);
        assert_int_equal(f->daemon->n_states[JOB_PARKED], CHAIN);
        fixture_stop(f, first);
        assert_int_equal(fixture_wait(f, last)->result, RESULT_DEPENDENCY);
        assert_int_equal(f->daemon->n_states[JOB_FINISHED], CHAIN + 1);
        assert_int_equal(f->daemon->n_states[JOB_PARKED], 0);
        assert_int_equal(setrlimit(RLIMIT_STACK, &was), 0);
}

static void test_long_chain_of_successes(void **state) {
        DaemonFixture *f = *state;
        uint64_t first, last;

        first = last = hold(f);
        for (int i = 0; i < 100; i++)
                last = fixture_submit(f, "{'command':['true'],'after':[{'id':%d,'on':'%s'}]}",
                                      (int)last, i == 0 ? "finished" : "success");
        fixture_stop(f, first);
        assert_int_equal(fixture_wait(f, last)->result, RESULT_SUCCESS);
        for (uint64_t id = first + 2; id <= last; id++)
                assert_true(fixture_job(f, id)->started_at >= fixture_job(f, id - 1)->finished_at);
}

/* A failure that is forgotten at once is a failure all the same. */
static void test_after_one_that_is_forgotten(void **state) {
        DaemonFixture *f = *state;
        char path[128];
        uint64_t first = hold(f), last = first;

        snprintf(path, sizeof(path), "%s/ran", f->root);
        for (int i = 0; i < 3; i++)
                last = fixture_submit(f, "{'command':['touch','%s'],'after':[{'id':%d}]}", path,
                                      (int)first);
        for (int i = 0; i < 3; i++)
                last = fixture_submit(f, "{'command':['touch','%s'],'after':[{'id':%d}]}", path,
                                      (int)last);
        fixture_stop(f, first);
        fixture_until(f, !f->daemon->jobs);
        assert_int_equal(access(path, F_OK), -1);
        assert_int_equal(f->daemon->total_started, 1);
}

static void test_after_one_that_a_client_forgets(void **state) {
        DaemonFixture *f = *state;
        uint64_t first = hold(f), second;
        json_t *reply;
        Client c;

        second = fixture_submit(f, "{'command':['true'],'after':[{'id':%d}]}", (int)first);
        client_open(f, &c);
        fixture_settle(f);
        fixture_stop(f, first);
        while (state_of(f, first) != JOB_FINISHED) {
                fixture_turn(f);
                if (state_of(f, first) != JOB_FINISHED)
                        continue;
                /* in the same turn of the loop, before the queue has had its own */
                client_send(&c, "jobs.Forget", false, "{'ids':[%d]}", (int)first);
                break;
        }
        reply = client_receive(f, &c);
        assert_int_equal(reply_integer(reply, "forgotten"), 1);
        json_decref(reply);
        assert_int_equal(fixture_wait(f, second)->result, RESULT_DEPENDENCY);
        client_close(f, &c);
}

/* ---- for its next attempt */

/* A job that waits for its next attempt leaves its slot to others. */
static void test_slot_between_attempts(void **state) {
        DaemonFixture *f = *state;
        uint64_t a = fixture_submit(
                f, "{'command':['false'],'retries':{'max':1,'delayUSec':3600000000}}");
        uint64_t b = fixture_submit(f, "{'command':['true']}");

        assert_int_equal(fixture_wait(f, b)->result, RESULT_SUCCESS);
        assert_int_equal(state_of(f, a), JOB_PARKED);
        assert_int_equal(fixture_job(f, a)->attempt, 1);
}

/* ... and is nothing that a drain waits for. */
static void test_drained_between_attempts(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        fixture_submit(
                f,
                "{'command':['sh','-c','sleep 0.05; false'],'retries':{'max':1,'delayUSec':3600000000}}");
        client_open(f, &c);
        client_send(&c, "manager.Drain", false, "{}");
        reply = client_receive(f, &c);
        assert_int_equal(reply_integer(reply, "running"), 0);
        assert_int_equal(reply_integer(reply, "queued"), 1);
        json_decref(reply);
        client_close(f, &c);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_after, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_after_retries, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_start_at, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_start_at_now, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_long_chain_of_failures, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_long_chain_of_successes, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_after_one_that_is_forgotten, setup_forgetful,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_after_one_that_a_client_forgets, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_slot_between_attempts, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_drained_between_attempts, setup,
                                                fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
