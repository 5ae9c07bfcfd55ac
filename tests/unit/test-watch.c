/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/watch.h: changes by cursor, and clients that watch them. */

#include "daemon-fixture.h"

#include "server-private.h"

#include <signal.h>

#define TRUE_JOB "{'command':['true']}"
#define HOLD     "{'command':['sleep','1000']}"

static int setup(void **state) {
        return fixture_setup(state, "MaxRunning=1");
}

/* The next reply is this change; its cursor. A certificate comes with the end, and only with it. */
static json_int_t expect_change(DaemonFixture *f, Client *c, uint64_t id, const char *job_state,
                                bool continues) {
        json_t *reply = client_receive(f, c);
        const json_t *certificate = reply_member(reply, "certificate");
        json_int_t cursor;

        assert_null(json_object_get(reply, "error"));
        assert_int_equal(reply_integer(reply, "id"), id);
        assert_string_equal(reply_string(reply, "state"), job_state);
        assert_int_equal(reply_continues(reply), continues);
        assert_int_equal(certificate != NULL, streq(job_state, "finished"));
        if (certificate)
                assert_int_equal(json_integer_value(json_object_get(certificate, "id")), id);
        cursor = reply_integer(reply, "cursor");
        json_decref(reply);
        return cursor;
}

/* ---- without a cursor */

static void test_ids(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = fixture_submit(f, HOLD), a = fixture_submit(f, TRUE_JOB),
                 b = fixture_submit(f, TRUE_JOB);
        json_int_t last = 0;
        Client c;

        fixture_wait_state(f, held, JOB_RUNNING);
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%d]}", (int)b, (int)held);
        last = expect_change(f, &c, b, "queued",
                             true); /* first what they are, in the order of the call */
        assert_int_equal(expect_change(f, &c, held, "running", true), last);
        assert_int_equal(watch_count(f->daemon->watch), 1);
        assert_false(client_has_reply(f, &c));

        fixture_stop(f, held);
        assert_true(expect_change(f, &c, held, "stopping", true) > last);
        last = expect_change(f, &c, held, "finished", true);
        /* a is none of them */
        assert_true(expect_change(f, &c, b, "starting", true) > last);
        for (;;) {
                json_t *reply = client_receive(f, &c);
                bool more = reply_continues(reply);

                assert_int_equal(reply_integer(reply, "id"), b);
                assert_string_equal(reply_string(reply, "state"), more ? "running" : "finished");
                assert_true(reply_integer(reply, "cursor") > last);
                last = reply_integer(reply, "cursor");
                json_decref(reply);
                if (!more)
                        break;
        }
        assert_int_equal(watch_count(f->daemon->watch), 0);
        assert_int_equal(fixture_wait(f, a)->result, RESULT_SUCCESS);
        client_close(f, &c);
}

static void test_all_finished_already(void **state) {
        DaemonFixture *f = *state;
        uint64_t a = fixture_submit(f, TRUE_JOB), b = fixture_submit(f, TRUE_JOB);
        Client c;

        fixture_wait(f, b);
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%d]}", (int)a, (int)b);
        expect_change(f, &c, a, "finished", true);
        expect_change(f, &c, b, "finished", false);
        assert_int_equal(watch_count(f->daemon->watch), 0);
        client_close(f, &c);
}

static void test_no_ids(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[]}");
        reply = client_receive(f, &c);
        assert_false(reply_continues(reply));
        assert_null(reply_member(reply, "id"));
        assert_true(reply_integer(reply, "cursor") >= 1);
        json_decref(reply);
        client_close(f, &c);
}

/* Without ids: all jobs from now on, and it never ends. */
static void test_everything(void **state) {
        DaemonFixture *f = *state;
        uint64_t before = fixture_submit(f, TRUE_JOB), a, b;
        Client c;

        fixture_wait(f, before);
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{}");
        assert_false(client_has_reply(f, &c));
        a = fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);
        expect_change(f, &c, a, "queued", true);
        expect_change(f, &c, a, "parked", true);
        b = fixture_submit(f, HOLD);
        expect_change(f, &c, b, "queued", true);
        expect_change(f, &c, b, "starting", true);
        expect_change(f, &c, b, "running", true);
        fixture_stop(f, a);
        expect_change(f, &c, a, "finished", true);
        assert_int_equal(watch_count(f->daemon->watch), 1);
        client_close(f, &c);
        assert_int_equal(watch_count(f->daemon->watch), 0);
}

static void test_refusals(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, HOLD);
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Watch", false, "{'ids':[%d]}", (int)id);
        client_has_reply(f, &c);
        json_decref(client_receive(f, &c)); /* ExpectedMore, which has no sentence of ours */
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%d]}", (int)id, (int)id + 1);
        free(client_expect_error(f, &c, "forkd.jobs.NoSuchJob"));
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%d]}", (int)id, (int)id);
        free(client_expect_error(f, &c, "varlink.service.InvalidParameter"));
        client_send(&c, "jobs.Watch", true, "{'cursor':0}");
        free(client_expect_error(f, &c, "varlink.service.InvalidParameter"));
        client_send(&c, "jobs.Watch", true, "{'cursor':'1'}");
        free(client_expect_error(f, &c, "varlink.service.InvalidParameter"));
        assert_int_equal(watch_count(f->daemon->watch), 0);
        client_close(f, &c);
}

/* ---- with a cursor */

/* All that a client gets of one job by going on from each cursor is the same, whenever it goes
 * away. */
static void test_resume(void **state) {
        DaemonFixture *f = *state;
        uint64_t a = fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}",
                                    (long long)INT64_MAX),
                 b;
        static const char *const states[] = { "queued",   "parked",  "queued",
                                              "starting", "running", "finished" };
        json_int_t cursors[ELEMENTSOF(states) + 1] = { 1 };
        uint64_t ids[ELEMENTSOF(states)];
        Client c;

        b = fixture_submit(f, HOLD);
        fixture_wait_state(f, b, JOB_RUNNING);
        fixture_stop(f, a);
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                ids[i] = i < 2 || i == 5 ? a : b;

        for (size_t from = 0; from < ELEMENTSOF(states); from++) {
                client_open(f, &c);
                client_send(&c, "jobs.Watch", true, "{'cursor':%d}", (int)cursors[from]);
                for (size_t i = from; i < ELEMENTSOF(states); i++) {
                        json_int_t cursor = expect_change(f, &c, ids[i], states[i], true);

                        assert_true(cursor > cursors[i]);
                        assert_true(from == 0 || cursor == cursors[i + 1]);
                        cursors[i + 1] = cursor;
                }
                assert_false(client_has_reply(f, &c));
                client_close(f, &c);
        }

        /* with ids: only theirs, and it ends when they have */
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d],'cursor':%d}", (int)a, (int)cursors[1]);
        assert_int_equal(expect_change(f, &c, a, "parked", true), cursors[2]);
        assert_int_equal(expect_change(f, &c, a, "finished", false), cursors[6]);

        /* from after the end: it is not missed */
        client_send(&c, "jobs.Watch", true, "{'ids':[%d],'cursor':%d}", (int)a, (int)cursors[6]);
        expect_change(f, &c, a, "finished", false);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%d],'cursor':%d}", (int)a, (int)b,
                    (int)cursors[6]);
        expect_change(f, &c, a, "finished", true);
        assert_false(client_has_reply(f, &c));
        fixture_stop(f, b);
        expect_change(f, &c, b, "stopping", true);
        expect_change(f, &c, b, "finished", false);
        client_close(f, &c);
}

/* A job that was forgotten since is told of without its certificate. */
static void test_resume_past_forgotten(void **state) {
        DaemonFixture *f = *state;
        uint64_t a =
                fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);
        json_t *reply;
        Client c;

        fixture_stop(f, a);
        daemon_forget(f->daemon, fixture_job(f, a));
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'cursor':1}");
        expect_change(f, &c, a, "queued", true);
        expect_change(f, &c, a, "parked", true);
        reply = client_receive(f, &c);
        assert_string_equal(reply_string(reply, "state"), "finished");
        assert_null(reply_member(reply, "certificate"));
        json_decref(reply);
        client_close(f, &c);
}

/* More changes than the ring holds. */
static void test_ring_overrun(void **state) {
        DaemonFixture *f = *state;
        uint64_t a = fixture_submit(f, HOLD), b = fixture_submit(f, TRUE_JOB), n = 0;
        char *sentence;
        json_int_t last;
        Client c;

        fixture_wait_state(f, a, JOB_RUNNING);
        fixture_stop(f, b);
        /* queued, starting, running; queued, finished: so many changes there were */
        for (n = 5; n < WATCH_RING; n++)
                watch_job_changed(f->daemon->watch, fixture_job(f, a));

        /* all that fits is still there */
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d],'cursor':1}", (int)b);
        expect_change(f, &c, b, "queued", true);
        last = expect_change(f, &c, b, "finished", false);
        assert_true(last <= 6);

        /* one more, and the first is gone: the client is told, rather than skipping it */
        watch_job_changed(f->daemon->watch, fixture_job(f, a));
        client_send(&c, "jobs.Watch", true, "{'cursor':1}");
        sentence = client_expect_error(f, &c, "varlink.service.InvalidParameter");
        assert_non_null(strstr(sentence, "cursor"));
        free(sentence);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d],'cursor':1}", (int)b);
        free(client_expect_error(f, &c, "varlink.service.InvalidParameter"));
        assert_int_equal(watch_count(f->daemon->watch), 0);

        client_send(&c, "jobs.Watch", true, "{'ids':[%d],'cursor':2}", (int)b);
        json_decref(client_receive(f, &c)); /* the oldest that there is */
        client_close(f, &c);

        /* the newest, from the end of it */
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'cursor':%d}", (int)n);
        expect_change(f, &c, a, "running", true);
        expect_change(f, &c, a, "running", true);
        assert_false(client_has_reply(f, &c));
        client_close(f, &c);
}

/* ---- readers that take their time: more than may wait for one of them */

#define LARGE (64 * 1024)
#define MANY  400 /* of these are more than 16 MiB */

/* A job that has ended, with a large certificate. */
static uint64_t ended(DaemonFixture *f) {
        uint64_t id =
                fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);
        Certificate *c;

        fixture_stop(f, id);
        c = fixture_job(f, id)->certificate;
        c->stderr_tail = malloc(LARGE);
        memset(c->stderr_tail, 'x', LARGE - 1);
        c->stderr_tail[LARGE - 1] = '\0';
        return id;
}

static void test_large_replay(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = ended(f);
        json_int_t last;
        Client c;

        for (size_t i = 0; i < MANY; i++)
                watch_job_changed(f->daemon->watch, fixture_job(f, id));
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'cursor':3}"); /* the first two: queued, parked */
        fixture_settle(f);
        /* what happens meanwhile comes in its turn */
        watch_job_changed(f->daemon->watch, fixture_job(f, id));
        last = expect_change(f, &c, id, "finished", true);
        for (size_t i = 0; i < MANY + 1; i++)
                assert_int_equal(expect_change(f, &c, id, "finished", true), ++last);
        assert_false(client_has_reply(f, &c));

        /* and it is up to date again */
        watch_job_changed(f->daemon->watch, fixture_job(f, id));
        assert_int_equal(expect_change(f, &c, id, "finished", true), ++last);
        client_close(f, &c);
}

static void test_large_present(void **state) {
        DaemonFixture *f = *state;
        uint64_t held = fixture_submit(f, HOLD), ids[MANY];
        char list[MANY * 12] = "";
        Client c;

        fixture_wait_state(f, held, JOB_RUNNING);
        for (size_t i = 0; i < MANY; i++) {
                ids[i] = ended(f);
                snprintf(list + strlen(list), sizeof(list) - strlen(list), "%d,", (int)ids[i]);
        }
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'ids':[%d,%s%d]}", (int)ids[0],
                    list + strcspn(list, ",") + 1, (int)held);
        fixture_settle(f);
        fixture_stop(f, held); /* before its turn has come */
        daemon_forget(f->daemon, fixture_job(f, ids[MANY - 1]));
        fixture_wait_state(f, held, JOB_FINISHED);
        for (size_t i = 0; i < MANY - 1; i++)
                expect_change(f, &c, ids[i], "finished", true);
        json_decref(client_receive(f, &c)); /* it has no certificate any more */
        expect_change(f, &c, held, "finished", false);
        assert_int_equal(watch_count(f->daemon->watch), 0);
        client_close(f, &c);
}

static void test_many_changes_while_it_does_not_read(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = ended(f);
        json_int_t last = 0;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{}");
        fixture_settle(f);
        for (size_t i = 0; i < MANY; i++)
                watch_job_changed(f->daemon->watch, fixture_job(f, id));
        for (size_t i = 0; i < MANY; i++) {
                json_int_t cursor = expect_change(f, &c, id, "finished", true);

                assert_true(last == 0 || cursor == last + 1);
                last = cursor;
        }
        assert_false(client_has_reply(f, &c));
        client_close(f, &c);
}

/* One that falls behind by more than the ring holds is told so, and not that there was nothing. */
static void test_left_behind_by_the_ring(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = ended(f);
        const char *error = NULL;
        json_t *reply = NULL;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{}");
        fixture_settle(f);
        for (size_t i = 0; i < WATCH_RING + MANY; i++)
                watch_job_changed(f->daemon->watch, fixture_job(f, id));
        do {
                json_decref(reply);
                reply = client_receive(f, &c);
                error = json_string_value(json_object_get(reply, "error"));
        } while (!error);
        assert_string_equal(error, "org.varlink.service.InvalidParameter");
        assert_string_equal(reply_string(reply, "parameter"), "cursor");
        json_decref(reply);
        assert_int_equal(watch_count(f->daemon->watch), 0);
        client_close(f, &c);
}

/* A cursor of the future is of another daemon's life: changes of this one would be missed. */
static void test_cursor_of_the_future(void **state) {
        DaemonFixture *f = *state;
        uint64_t a = fixture_submit(f, HOLD);
        char *sentence;
        Client c;

        fixture_wait_state(f, a, JOB_RUNNING);
        client_open(f, &c);
        client_send(&c, "jobs.Watch", true, "{'cursor':5}");
        sentence = client_expect_error(f, &c, "varlink.service.InvalidParameter");
        assert_non_null(strstr(sentence, "cursor"));
        free(sentence);
        client_send(&c, "jobs.Watch", true, "{'cursor':4}"); /* the next change */
        assert_false(client_has_reply(f, &c));
        fixture_stop(f, a);
        expect_change(f, &c, a, "stopping", true);
        client_close(f, &c);
}

/* ---- who may see what */

static void test_other_users(void **state) {
        DaemonFixture *f = *state;
        uint64_t roots, theirs;
        Client all, own;

        if (geteuid() != 0)
                skip();

        client_open(f, &all);
        client_open_as(f, &own, 4711);
        roots = fixture_submit(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX);
        client_send(&own, "jobs.Watch", true, "{'ids':[%d]}", (int)roots);
        free(client_expect_error(f, &own, "forkd.jobs.NoSuchJob"));

        client_send(&own, "jobs.Watch", true, "{'cursor':1}"); /* neither what was … */
        client_send(&all, "jobs.Watch", true, "{'cursor':1}");
        expect_change(f, &all, roots, "queued", true);
        expect_change(f, &all, roots, "parked", true);
        fixture_stop(f, roots); /* … nor what comes */
        expect_change(f, &all, roots, "finished", true);

        theirs = fixture_new_job(f, "{'command':['true'],'startAtUSec':%lld}", (long long)INT64_MAX)
                         ->id;
        fixture_job(f, theirs)->owner.uid = 4711;
        assert_int_equal(queue_accept(f->daemon->queue, fixture_job(f, theirs)), 0);
        expect_change(f, &own, theirs, "queued", true);
        expect_change(f, &own, theirs, "parked", true);
        expect_change(f, &all, theirs, "queued", true);
        client_close(f, &all);
        client_close(f, &own);
}

/* ---- events of the daemon */

static void test_subscribe(void **state) {
        DaemonFixture *f = *state;
        uint64_t id;
        json_t *reply;
        Client c;

        client_open(f, &c);
        fixture_until(f, fixture_spawner(f)->state == SERVER_READY);
        client_send(&c, "manager.Subscribe", true, "{}");
        assert_false(client_has_reply(f, &c));
        id = fixture_submit(f, TRUE_JOB);
        fixture_wait(f, id);
        assert_false(client_has_reply(f, &c)); /* jobs are for Watch */

        assert_int_equal(daemon_reload(f->daemon), 0);
        reply = client_receive(f, &c);
        assert_string_equal(reply_string(reply, "event"), "reloaded");
        assert_true(reply_continues(reply));
        json_decref(reply);

        kill(fixture_spawner(f)->pid, SIGKILL);
        reply = client_receive(f, &c);
        assert_string_equal(reply_string(reply, "event"), "server");
        assert_non_null(strstr(reply_string(reply, "sentence"), "SIGKILL"));
        assert_string_equal(
                json_string_value(json_object_get(reply_member(reply, "server"), "state")),
                "failed");
        assert_string_equal(
                json_string_value(json_object_get(reply_member(reply, "server"), "name")),
                "spawner");
        json_decref(reply);
        reply = client_receive(f, &c);
        assert_string_equal(
                json_string_value(json_object_get(reply_member(reply, "server"), "state")),
                "ready");
        json_decref(reply);

        daemon_drain(f->daemon);
        reply = client_receive(f, &c);
        assert_string_equal(reply_string(reply, "event"), "draining");
        json_decref(reply);
        client_close(f, &c);
        assert_int_equal(watch_count(f->daemon->watch), 0);
}

/* Several watchers; one that goes away in between harms no other. */
static void test_many_watchers(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, HOLD);
        Client c[10];

        fixture_wait_state(f, id, JOB_RUNNING);
        for (size_t i = 0; i < ELEMENTSOF(c); i++) {
                client_open(f, &c[i]);
                client_send(&c[i], "jobs.Watch", true, "{'ids':[%d]}", (int)id);
                expect_change(f, &c[i], id, "running", true);
        }
        assert_int_equal(watch_count(f->daemon->watch), ELEMENTSOF(c));
        client_close(f, &c[4]);
        client_close(f, &c[0]);
        assert_int_equal(watch_count(f->daemon->watch), ELEMENTSOF(c) - 2);
        fixture_stop(f, id);
        for (size_t i = 1; i < ELEMENTSOF(c); i++) {
                if (i == 4)
                        continue;
                expect_change(f, &c[i], id, "stopping", true);
                expect_change(f, &c[i], id, "finished", false);
        }
        assert_int_equal(watch_count(f->daemon->watch), 0);
        for (size_t i = 1; i < ELEMENTSOF(c); i++)
                if (i != 4)
                        client_close(f, &c[i]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_ids, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_all_finished_already, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_no_ids, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_everything, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_refusals, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_resume, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_resume_past_forgotten, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_large_replay, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_large_present, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_many_changes_while_it_does_not_read, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_left_behind_by_the_ring, setup,
                                                fixture_teardown),
                cmocka_unit_test_setup_teardown(test_ring_overrun, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_cursor_of_the_future, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_other_users, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_subscribe, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_many_watchers, setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
