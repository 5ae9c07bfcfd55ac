/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/queue.h: who starts when, and what waits for whom. */

#include "daemon-fixture.h"

#include "server-private.h"

#include <signal.h>
#include <sys/resource.h>

/* Runs until it is told to end. */
#define HOLD "{'command':['sleep','1000']"

static int setup(void **state) {
        return fixture_setup(state, "MaxRunning=1");
}

static int setup_three(void **state) {
        return fixture_setup(state, "MaxRunning=3");
}

static int setup_small(void **state) {
        return fixture_setup(state, "MaxRunning=1\nQueueMax=5");
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

/* ---- order */

/* With one slot jobs start one after the other. */
static void check_order(DaemonFixture *f, const uint64_t *ids, size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(fixture_wait(f, ids[i])->result, RESULT_SUCCESS);
        for (size_t i = 1; i < n; i++)
                if (fixture_job(f, ids[i])->started_boot < fixture_job(f, ids[i - 1])->started_boot)
                        fail_msg("job %d started before job %d", (int)ids[i], (int)ids[i - 1]);
}

static void test_first_come_first_served(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = hold(f), ids[10];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, "{'command':['true']}");
        assert_int_equal(queue_length(f->daemon->queue), ELEMENTSOF(ids));
        fixture_settle(f);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_int_equal(state_of(f, ids[i]), JOB_QUEUED);
        fixture_stop(f, held);
        check_order(f, ids, ELEMENTSOF(ids));
        assert_int_equal(queue_length(f->daemon->queue), 0);
}

static void test_priorities(void **state) {
        static const int priorities[] = { 0, 19, -20, 5, -20, 0, -1, 19, 1 };
        static const size_t order[] = { 2, 4, 6, 0, 5, 8, 3, 1, 7 };
        DaemonFixture *f = *state;
        uint64_t held = hold(f), ids[ELEMENTSOF(order)], ordered[ELEMENTSOF(order)];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, "{'command':['true'],'priority':%d}", priorities[i]);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ordered[i] = ids[order[i]];
        fixture_stop(f, held);
        check_order(f, ordered, ELEMENTSOF(ordered));
}

static void test_max_running(void **state) {
        DaemonFixture *f = *state;
        uint64_t ids[5];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, HOLD "}");
        for (size_t i = 0; i < 3; i++)
                fixture_wait_state(f, ids[i], JOB_RUNNING);
        fixture_settle(f);
        assert_int_equal(f->daemon->n_durable_attempts, 3);
        assert_int_equal(state_of(f, ids[3]), JOB_QUEUED);
        assert_int_equal(state_of(f, ids[4]), JOB_QUEUED);

        fixture_stop(f, ids[1]);
        fixture_wait_state(f, ids[3], JOB_RUNNING);
        fixture_settle(f);
        assert_int_equal(state_of(f, ids[4]), JOB_QUEUED);
        assert_int_equal(f->daemon->n_durable_attempts, 3);

        fixture_stop(f, ids[4]); /* a waiting one ends at once */
        assert_int_equal(state_of(f, ids[4]), JOB_FINISHED);
        assert_int_equal(fixture_job(f, ids[4])->certificate->attempt, 0);
}

/* A draining daemon starts nothing that waits. */
static void test_draining(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = hold(f), waiting = fixture_submit(f, "{'command':['true']}");

        daemon_drain(f->daemon);
        fixture_stop(f, held);
        fixture_wait(f, held);
        fixture_settle(f);
        assert_int_equal(state_of(f, waiting), JOB_QUEUED);
}

/* Attached jobs do not wait for a slot. */
static void test_attached_goes_past(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        hold(f);
        fixture_submit(f, HOLD "}");
        client_open(f, &c);
        client_send(&c, "jobs.Run", false, "{'job':{'command':['true']}}");
        reply = client_receive(f, &c);
        assert_string_equal(reply_string(reply, "state"), "finished");
        json_decref(reply);
        client_close(f, &c);
}

/* ---- bounds */

static void test_queue_max(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        json_t *reply;
        Client c;

        hold(f);
        client_open(f, &c);
        client_send(&c, "jobs.Submit", false,
                    "{'jobs':[{'command':['true']},{'command':['true']},{'command':['true']}]}");
        json_decref(client_receive(f, &c));
        /* parked ones count, too: three and one of two */
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'startAtUSec':%lld}]}",
                    (long long)INT64_MAX);
        json_decref(client_receive(f, &c));
        client_send(&c, "jobs.Submit", false,
                    "{'jobs':[{'command':['true']},{'command':['true']}]}");
        sentence = client_expect_error(f, &c, "forkd.jobs.QueueFull");
        assert_non_null(strstr(sentence, "QueueMax="));
        free(sentence);
        /* all or none: there is room for one still */
        assert_int_equal(f->daemon->n_states[JOB_QUEUED] + f->daemon->n_states[JOB_PARKED], 4);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true']}]}");
        reply = client_receive(f, &c);
        assert_int_equal(json_array_size(reply_member(reply, "ids")), 1);
        json_decref(reply);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true']}]}");
        free(client_expect_error(f, &c, "forkd.jobs.QueueFull"));
        client_close(f, &c);
}

static void test_queue_timeout(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = hold(f), late, never, other;
        const Certificate *c;

        never = fixture_submit(f, "{'command':['true'],'queueTimeoutUSec':3600000000}");
        late = fixture_submit(f, "{'command':['true'],'queueTimeoutUSec':2000}");
        other = fixture_submit(f, "{'command':['true']}");
        c = fixture_wait(f, late);
        assert_int_equal(c->result, RESULT_QUEUE_TIMEOUT);
        assert_int_equal(c->attempt, 0);
        assert_true(c->queue_usec >= 2000);
        assert_int_equal(c->run_usec, 0);
        assert_int_equal(queue_length(f->daemon->queue), 2);

        fixture_stop(f, held);
        assert_int_equal(fixture_wait(f, never)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_wait(f, other)->result, RESULT_SUCCESS);
}

/* A deadline for the queue is none for the run. */
static void test_queue_timeout_ends_with_the_start(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, HOLD ",'queueTimeoutUSec':200000}");
        uint64_t end = now_usec(CLOCK_BOOTTIME) + 300000, mark;

        fixture_wait_state(f, id, JOB_RUNNING);
        assert_null(fixture_job(f, id)->timer);
        mark = fixture_submit(f, "{'command':['true'],'startAtUSec':%llu}",
                              (unsigned long long)(now_usec(CLOCK_REALTIME) + 300000));
        fixture_wait_state(f, mark, JOB_QUEUED); /* this takes as long */
        assert_true(now_usec(CLOCK_BOOTTIME) >= end - 200000);
        assert_int_equal(state_of(f, id), JOB_RUNNING);
}

/* A start that came to nothing does not end it: what was left before goes on to count. */
static void test_queue_timeout_after_a_return(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c;
        uint64_t id;

        kill(fixture_spawner(f)->pid, SIGSTOP); /* orders are given and not taken */
        id = fixture_submit(f, "{'command':['true'],'queueTimeoutUSec':500000}");
        fixture_wait_state(f, id, JOB_STARTING);
        f->daemon->config->max_running = 0;
        kill(fixture_spawner(f)->pid, SIGKILL);
        fixture_until(f, state_of(f, id) == JOB_QUEUED);
        c = fixture_wait(f, id);
        assert_int_equal(c->result, RESULT_QUEUE_TIMEOUT);
        assert_in_range(c->queue_usec, 500000, 900000);
}

/* Time that it is parked for does not count, nor do the delays between attempts. */
static void test_queue_timeout_of_what_was_parked(void **state) {
        DaemonFixture *f = *state;
        uint64_t parked = fixture_submit(
                f, "{'command':['true'],'queueTimeoutUSec':20000000,'startAtUSec':%llu}",
                (unsigned long long)(now_usec(CLOCK_REALTIME) + 100000));
        uint64_t tried = fixture_submit(f, "{'command':['false'],'queueTimeoutUSec':100000,"
                                           "'retries':{'max':1,'delayUSec':150000}}");

        assert_int_equal(fixture_job(f, parked)->queue_deadline, 0);
        assert_int_equal(fixture_wait(f, tried)->result, RESULT_EXIT);
        assert_int_equal(fixture_job(f, tried)->certificate->attempt, 2);
        assert_int_equal(fixture_wait(f, parked)->result, RESULT_SUCCESS);
}

/* A job that cannot even be parked is finished and nothing else. */
static void test_cannot_be_parked(void **state) {
        DaemonFixture *f = *state;
        struct rlimit was, none;
        uint64_t parked, failed;
        json_t *reply;
        Client c;

        hold(f); /* there is a block of ids now */
        client_open(f, &c);
        fixture_settle(f);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = was;
        none.rlim_cur = 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none),
                         0); /* none for the first timer of its clock */
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'startAtUSec':%lld}]}",
                    (long long)INT64_MAX);
        reply = client_receive(f, &c);
        failed = (uint64_t)json_integer_value(json_array_get(reply_member(reply, "ids"), 0));
        json_decref(reply);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(state_of(f, failed), JOB_FINISHED);

        parked = fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);
        client_send(&c, "jobs.Forget", false, "{'finished':true}");
        reply = client_receive(f, &c);
        assert_int_equal(reply_integer(reply, "forgotten"), 1);
        json_decref(reply);
        assert_int_equal(state_of(f, parked), JOB_PARKED);
        client_close(f, &c);
}

/* ---- starts that are refused */

/* Jobs that are returned keep their order, and go first. */
static void test_return_keeps_order(void **state) {
        DaemonFixture *f = *state;
        uint64_t ids[6];
        Job *job;

        kill(fixture_spawner(f)->pid, SIGSTOP); /* orders are given and not taken */
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, "{'command':['true']}");
        fixture_until(f, f->daemon->n_durable_attempts == 3);
        kill(fixture_spawner(f)->pid, SIGKILL);
        fixture_until(f, f->daemon->n_durable_attempts == 0);

        assert_int_equal(queue_length(f->daemon->queue), ELEMENTSOF(ids));
        job = fixture_job(f, ids[0]);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++, job = job->next) {
                assert_non_null(job);
                assert_int_equal(job->id, ids[i]);
                assert_int_equal(job->attempt, 0); /* it never ran */
        }
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                assert_int_equal(fixture_wait(f, ids[i])->attempt, 1);
}

/* Without descriptors to be had a start is tried again, each time after a longer while. */
static void test_no_descriptors(void **state) {
        DaemonFixture *f = *state;
        struct rlimit was, none;
        uint64_t id, mark;

        id = fixture_submit(f, "{'command':['true']}");
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
        none = was;
        none.rlim_cur = 3;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        fixture_until(f, fixture_job(f, id)->start_refusals == 1);
        fixture_settle(f);
        assert_int_equal(fixture_job(f, id)->start_refusals, 1);
        assert_int_equal(state_of(f, id), JOB_QUEUED);
        mark = now_usec(CLOCK_BOOTTIME);
        fixture_until(f, fixture_job(f, id)->start_refusals == 2);
        assert_true(now_usec(CLOCK_BOOTTIME) - mark >= 30000);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
}

/* One that is refused again and again waits longer and longer; others do not. */
static void test_one_refused_often(void **state) {
        DaemonFixture *f = *state;
        Job *refused = fixture_new_job(f, "{'command':['true']}");
        uint64_t mark = now_usec(CLOCK_BOOTTIME), id;

        refused->start_refusals = 9;
        assert_true(queue_retry(f->daemon->queue, refused));
        id = fixture_submit(f, "{'command':['true']}");
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_in_range(now_usec(CLOCK_BOOTTIME) - mark, 900000, 5000000);
        assert_int_equal(refused->state, JOB_QUEUED);
        refused->not_before = now_usec(CLOCK_BOOTTIME) + 20000;
        queue_wake(f->daemon->queue);
        assert_int_equal(fixture_wait(f, refused->id)->result, RESULT_SUCCESS);
}

/* ---- the end of the daemon */

/* An attached job that waits for a forkserver is told that there will be none. */
static void test_stop_ends_attached_jobs_that_wait(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        Client c;

        hold(f);
        client_open(f, &c);
        fixture_settle(f);
        kill(fixture_spawner(f)->pid, SIGKILL);
        fixture_until(f, fixture_spawner(f)->state != SERVER_READY);
        client_send(&c, "jobs.Run", false, "{'job':{'command':['true']}}");
        fixture_until(f, f->daemon->n_attached == 1);
        daemon_stop(f->daemon);
        sentence = client_expect_error(f, &c, "forkd.jobs.JobFailed");
        assert_string_equal(sentence, "cancelled: forkd is stopping before it ran");
        free(sentence);
        client_close(f, &c);
}

static void test_no_reload_while_stopping(void **state) {
        DaemonFixture *f = *state;
        Client c;

        hold(f);
        client_open(f, &c);
        fixture_settle(f);
        daemon_stop(f->daemon);
        client_send(&c, "manager.Reload", false, "{}");
        free(client_expect_error(f, &c, "forkd.manager.Draining"));
        client_close(f, &c);
}

/* A reload may allow more than there was at the start. */
static void test_running_table_has_room(void **state) {
        static int slots[CONFIG_RUNNING_MAX + CONFIG_ATTACHED_MAX];
        DaemonFixture *f = *state;
        RunningSlot slot = { .job = 1, .attempt = 1, .pid = 1 };

        for (size_t i = 0; i < ELEMENTSOF(slots); i++) {
                slots[i] = running_table_put(f->daemon->table, &slot);
                assert_true(slots[i] >= 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(slots); i++)
                running_table_clear(f->daemon->table, slots[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_first_come_first_served, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_priorities, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_max_running, setup_three, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_draining, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_attached_goes_past, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_queue_max, setup_small, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_ends_with_the_start, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_after_a_return, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_of_what_was_parked, setup_three,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_cannot_be_parked, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_return_keeps_order, setup_three,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptors, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_one_refused_often, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_stop_ends_attached_jobs_that_wait, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_no_reload_while_stopping, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_running_table_has_room, setup,
                                                fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
