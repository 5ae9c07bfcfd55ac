/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/queue.h: who starts when, and what waits for whom. */

#include "daemon-fixture.h"

#include "server-private.h"

#include <signal.h>
#include <sys/resource.h>

/* Runs until it is told to end. */
#define HOLD "{'command':['sleep','1000']"

static int setup_with(void **state, const char *conf) {
        static DaemonFixture f;

        fixture_start(&f, conf);
        *state = &f;
        return 0;
}

static int setup(void **state) {
        return setup_with(state, "MaxRunning=1");
}

static int setup_three(void **state) {
        return setup_with(state, "MaxRunning=3");
}

static int setup_small(void **state) {
        return setup_with(state, "MaxRunning=1\nQueueMax=5");
}

static int setup_forgetful(void **state) {
        return setup_with(state, "MaxRunning=1\nKeepFinished=0");
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static void stop(DaemonFixture *f, uint64_t id) {
        Job *job = fixture_job(f, id);

        job->spec->grace_usec = 0;
        job_stop(job, RESULT_CANCELLED, NULL, NULL);
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
        stop(f, held);
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
        stop(f, held);
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

        stop(f, ids[1]);
        fixture_wait_state(f, ids[3], JOB_RUNNING);
        fixture_settle(f);
        assert_int_equal(state_of(f, ids[4]), JOB_QUEUED);
        assert_int_equal(f->daemon->n_durable_attempts, 3);

        stop(f, ids[4]); /* a waiting one ends at once */
        assert_int_equal(state_of(f, ids[4]), JOB_FINISHED);
        assert_int_equal(fixture_job(f, ids[4])->certificate->attempt, 0);
}

/* A draining daemon starts nothing that waits. */
static void test_draining(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = hold(f), waiting = fixture_submit(f, "{'command':['true']}");

        daemon_drain(f->daemon);
        stop(f, held);
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

        stop(f, held);
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
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0); /* none for the first timer of its clock */
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

/* ---- one user among others */

#define STRANGER 4711
#define LATER    "{'command':['true'],'startAtUSec':9000000000000000000}"

static void test_share_of_the_queue(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        json_t *reply;
        json_int_t id;
        Client root, stranger;

        if (geteuid() != 0)
                skip();
        client_open(f, &root);
        client_open_as(f, &stranger, STRANGER);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        json_decref(client_receive(f, &stranger));
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        sentence = client_expect_error(f, &stranger, "forkd.jobs.QueueFull");
        assert_non_null(strstr(sentence, "half"));
        free(sentence);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        reply = client_receive(f, &stranger);
        id = json_integer_value(json_array_get(reply_member(reply, "ids"), 0));
        json_decref(reply);
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        free(client_expect_error(f, &stranger, "forkd.jobs.QueueFull"));

        /* the rest is there for others, and what has ended counts no more */
        client_send(&root, "jobs.Submit", false, "{'jobs':[" LATER "," LATER "]}");
        json_decref(client_receive(f, &root));
        client_send(&stranger, "jobs.Cancel", false, "{'ids':[%d]}", (int)id);
        json_decref(client_receive(f, &stranger));
        client_send(&stranger, "jobs.Submit", false, "{'jobs':[" LATER "]}");
        reply = client_receive(f, &stranger);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
        client_close(f, &stranger);
        client_close(f, &root);
}

static void test_share_of_attached(void **state) {
        DaemonFixture *f = *state;
        Client clients[4];
        char *sentence;

        if (geteuid() != 0)
                skip();
        f->daemon->config->max_attached = 3;
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                if (i < 3)
                        client_open_as(f, &clients[i], STRANGER);
                else
                        client_open(f, &clients[i]);
        for (size_t i = 0; i < 2; i++) {
                client_send(&clients[i], "jobs.Run", false, "{'job':" HOLD "}}");
                fixture_until(f, f->daemon->n_attached == i + 1);
        }
        client_send(&clients[2], "jobs.Run", false, "{'job':" HOLD "}}");
        sentence = client_expect_error(f, &clients[2], "forkd.jobs.LimitReached");
        assert_non_null(strstr(sentence, "half"));
        free(sentence);
        client_send(&clients[3], "jobs.Run", false, "{'job':" HOLD "}}");
        fixture_until(f, f->daemon->n_attached == 3);

        client_close(f, &clients[0]);
        fixture_until(f, f->daemon->n_attached == 2);
        client_send(&clients[2], "jobs.Run", false, "{'job':" HOLD "}}");
        fixture_until(f, f->daemon->n_attached == 3);
        for (size_t i = 1; i < ELEMENTSOF(clients); i++)
                client_close(f, &clients[i]);
        fixture_until(f, f->daemon->n_attached == 0);
}

static void test_priority_of_a_stranger(void **state) {
        DaemonFixture *f = *state;
        char *sentence;
        Client c;

        if (geteuid() != 0)
                skip();
        client_open_as(f, &c, STRANGER);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'priority':-1}]}");
        sentence = client_expect_error(f, &c, "varlink.service.PermissionDenied");
        assert_non_null(strstr(sentence, "priority"));
        free(sentence);
        client_send(&c, "jobs.Submit", false, "{'jobs':[{'command':['true'],'priority':0}]}");
        json_decref(client_receive(f, &c));
        fixture_until(f, f->daemon->n_states[JOB_FINISHED] == 1);
        client_close(f, &c);
}

/* ---- what waits for others, or for its time */

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
        stop(f, never);
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
                stop(f, id);
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
        stop(f, first);
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
        stop(f, first);
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
        stop(f, first);
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
        stop(f, first);
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

/* ---- slots that become free */

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
                cmocka_unit_test_setup_teardown(test_first_come_first_served, setup, teardown),
                cmocka_unit_test_setup_teardown(test_priorities, setup, teardown),
                cmocka_unit_test_setup_teardown(test_max_running, setup_three, teardown),
                cmocka_unit_test_setup_teardown(test_draining, setup, teardown),
                cmocka_unit_test_setup_teardown(test_attached_goes_past, setup, teardown),
                cmocka_unit_test_setup_teardown(test_queue_max, setup_small, teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout, setup, teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_ends_with_the_start, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_after_a_return, setup, teardown),
                cmocka_unit_test_setup_teardown(test_queue_timeout_of_what_was_parked, setup_three,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_cannot_be_parked, setup, teardown),
                cmocka_unit_test_setup_teardown(test_share_of_the_queue, setup_small, teardown),
                cmocka_unit_test_setup_teardown(test_share_of_attached, setup, teardown),
                cmocka_unit_test_setup_teardown(test_priority_of_a_stranger, setup, teardown),
                cmocka_unit_test_setup_teardown(test_after, setup, teardown),
                cmocka_unit_test_setup_teardown(test_after_retries, setup, teardown),
                cmocka_unit_test_setup_teardown(test_start_at, setup, teardown),
                cmocka_unit_test_setup_teardown(test_start_at_now, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_chain_of_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_long_chain_of_successes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_after_one_that_is_forgotten, setup_forgetful,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_after_one_that_a_client_forgets, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_slot_between_attempts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_drained_between_attempts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_return_keeps_order, setup_three, teardown),
                cmocka_unit_test_setup_teardown(test_no_descriptors, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_refused_often, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_ends_attached_jobs_that_wait, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_no_reload_while_stopping, setup, teardown),
                cmocka_unit_test_setup_teardown(test_running_table_has_room, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
