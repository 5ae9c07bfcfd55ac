/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/named.h and host.h: a forkserver that does not answer its orders, as it is stopped,
 * costs nobody but those who want it. */

#include "daemon-fixture.h"

#include "named-private.h"
#include "server-private.h"

#include <signal.h>
#include <sys/stat.h>

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=8");
        fixture_until(&f, fixture_spawner(&f)->state == SERVER_READY);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static void on_answer(NamedServer *n, const char *error, void *userdata) {
        bool *answered = userdata;

        assert_non_null(n);
        assert_null(error);
        *answered = true;
}

/* The forkserver "mute", which is ready. */
static NamedServer *begin(DaemonFixture *f) {
        bool answered = false;
        char path[256];
        NamedServer *n;
        FILE *file;

        snprintf(path, sizeof(path), "%s/config/servers", f->root);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/config/servers/mute.conf", f->root);
        file = fopen(path, "we");
        assert_non_null(file);
        fputs("[Server]\nModule=" TEST_MODULES "/misbehave.so\n[Pool]\nSpare=0\n", file);
        fclose(file);
        named_set_reload(f->daemon->named);
        n = named_find(f->daemon->named, "mute");
        assert_non_null(n);
        assert_int_equal(named_start_again(n), 0);
        assert_int_equal(named_wait_ready(n, on_answer, &answered), 0);
        fixture_until(f, answered);
        assert_non_null(n->serving);
        return n;
}

/* An order that stays without an answer, of a job that has ended. */
static void leave_unanswered(DaemonFixture *f) {
        uint64_t id = fixture_submit(f, "{'server':'mute','entry':'echo'}");

        fixture_wait_state(f, id, JOB_STARTING);
        fixture_stop(f, id);
        assert_int_equal(fixture_job(f, id)->state, JOB_FINISHED);
}

/* It gets no more orders than so many; as soon as it answers one, it gets the next. */
static void test_ceiling(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = begin(f);
        Server *s = n->serving;
        const Certificate *c;
        uint64_t waiting, other;
        size_t n_unwanted, n_attempts;
        JobState waits;

        kill(s->pid, SIGSTOP);
        leave_unanswered(f);
        n_unwanted = s->n_unwanted;
        s->n_unwanted += SERVER_UNWANTED_MAX - 1;
        waiting = fixture_submit(f, "{'server':'mute','entry':'echo'}");
        other = fixture_submit(f, "{'command':['true']}");
        c = fixture_wait(f, other);
        fixture_settle(f);
        waits = fixture_job(f, waiting)->state;
        n_attempts = s->n_attempts;
        kill(s->pid, SIGCONT); /* first of all: a stopped one holds up the end of every test */
        assert_int_equal(c->result, RESULT_SUCCESS);
        assert_int_equal(n_unwanted, 1);
        assert_int_equal(waits, JOB_QUEUED);
        assert_int_equal(n_attempts, 1);

        c = fixture_wait(f, waiting);
        assert_int_equal(c->result, RESULT_SUCCESS);
        assert_int_equal(s->n_unwanted, SERVER_UNWANTED_MAX - 1);
        s->n_unwanted = 0;
}

static void stop_later(DaemonFixture *f, NamedServer *n, bool *ret_answered) {
        Server *s = n->serving;

        assert_int_equal(named_wait_stopped(n, on_answer, ret_answered), 0);
        named_stop(n, false);
        assert_int_equal(s->state, SERVER_RETIRED);
        assert_non_null(s->host_timer);
        assert_int_equal(sd_event_source_set_time(s->host_timer, 0), 0); /* 5 s later */
        fixture_turn(f);
}

/* What it has not answered is no reason to wait for it once it is to end. */
static void test_stop(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = begin(f);
        bool answered = false;

        kill(n->serving->pid, SIGSTOP);
        leave_unanswered(f);
        stop_later(f, n, &answered);
        fixture_until(f, answered);
        assert_int_equal(named_state(n), NAMED_STOPPED);
}

/* A job that runs is. */
static void test_stop_while_a_job_runs(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = begin(f);
        Server *s = n->serving;
        bool answered = false;
        uint64_t id;

        id = fixture_submit(f, "{'server':'mute','entry':'never','graceUSec':0}");
        fixture_wait_state(f, id, JOB_RUNNING);
        stop_later(f, n, &answered);
        fixture_settle(f);
        assert_int_equal(s->host_kills, 0);
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        assert_false(answered);
        fixture_stop(f, id);
        fixture_until(f, answered);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_ceiling, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_while_a_job_runs, setup, teardown),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
