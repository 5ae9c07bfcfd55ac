/* SPDX-License-Identifier: Apache-2.0 */

/* The states of a job: the table of moves, walked, and its one setter. */

#include "daemon-fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int setup(void **state) {
        return fixture_setup(state, "MaxRunning=1");
}

/* States that can be reached from this one, as bits. */
static unsigned reachable(JobState from) {
        unsigned seen = 1u << from, before;

        do {
                before = seen;
                for (JobState a = 0; a < _JOB_STATE_MAX; a++)
                        for (JobState b = 0; b < _JOB_STATE_MAX; b++)
                                if (seen & 1u << a && job_state_may_follow(a, b))
                                        seen |= 1u << b;
        } while (seen != before);
        return seen;
}

static void test_names(void **state) {
        (void)state;
        for (JobState s = 0; s < _JOB_STATE_MAX; s++) {
                assert_non_null(job_state_to_string(s));
                assert_int_equal(job_state_from_string(job_state_to_string(s)), s);
        }
        /* the design's words */
        assert_int_equal(job_state_from_string("queued"), JOB_QUEUED);
        assert_int_equal(job_state_from_string("starting"), JOB_STARTING);
        assert_int_equal(job_state_from_string("running"), JOB_RUNNING);
        assert_int_equal(job_state_from_string("paused"), JOB_PAUSED);
        assert_int_equal(job_state_from_string("stopping"), JOB_STOPPING);
        assert_int_equal(job_state_from_string("finished"), JOB_FINISHED);
        assert_int_equal(job_state_from_string("parked"), JOB_PARKED);
        assert_int_equal(job_state_from_string("Queued"), _JOB_STATE_INVALID);
        assert_int_equal(job_state_from_string(""), _JOB_STATE_INVALID);
}

static void test_table(void **state) {
        (void)state;
        assert_int_equal(reachable(JOB_QUEUED), (1u << _JOB_STATE_MAX) - 1);
        for (JobState s = 0; s < _JOB_STATE_MAX; s++) {
                assert_false(job_state_may_follow(s, s));
                assert_true(reachable(s) & 1u << JOB_FINISHED);
        }
        assert_int_equal(reachable(JOB_FINISHED), 1u << JOB_FINISHED); /* the end is the end */
        /* nothing runs that was not ordered, and what was told to end is not taken back */
        for (JobState s = 0; s < _JOB_STATE_MAX; s++)
                assert_int_equal(job_state_may_follow(s, JOB_STARTING), s == JOB_QUEUED);
        assert_false(job_state_may_follow(JOB_STOPPING, JOB_RUNNING));
        assert_false(job_state_may_follow(JOB_STOPPING, JOB_PAUSED));
}

/* The way from queued to this state, by moves of the table; moves[] ends with the state. */
static size_t find_way(JobState to, JobState moves[static _JOB_STATE_MAX]) {
        JobState before[_JOB_STATE_MAX], queue[_JOB_STATE_MAX] = { JOB_QUEUED };
        unsigned seen = 1u << JOB_QUEUED;
        size_t head = 0, tail = 1, n = 0;

        while (head < tail) {
                JobState a = queue[head++];

                for (JobState b = 0; b < _JOB_STATE_MAX; b++)
                        if (!(seen & 1u << b) && job_state_may_follow(a, b)) {
                                seen |= 1u << b;
                                before[b] = a;
                                queue[tail++] = b;
                        }
        }
        for (JobState s = to; s != JOB_QUEUED; s = before[s])
                n++;
        for (size_t i = n; i > 0; i--, to = before[to])
                moves[i - 1] = to;
        return n;
}

static size_t count_all(const Daemon *d) {
        size_t n = 0;

        for (JobState s = 0; s < _JOB_STATE_MAX; s++)
                n += d->n_states[s];
        return n;
}

/* A fresh job, led to this state by the setter alone. */
static Job *job_in(DaemonFixture *f, JobState to) {
        JobState moves[_JOB_STATE_MAX];
        size_t n = find_way(to, moves);
        Job *job = fixture_new_job(f, "{'command':['true']}");

        for (size_t i = 0; i < n; i++) {
                job_set_state(job, moves[i]);
                assert_int_equal(job->state, moves[i]);
                assert_int_equal(f->daemon->n_states[moves[i]], 1);
                assert_int_equal(count_all(f->daemon), 1);
        }
        return job;
}

static void test_setter_allows(void **state) {
        DaemonFixture *f = *state;

        for (JobState a = 0; a < _JOB_STATE_MAX; a++)
                for (JobState b = 0; b < _JOB_STATE_MAX; b++) {
                        Job *job;

                        if (a != b && !job_state_may_follow(a, b))
                                continue;
                        job = job_in(f, a);
                        job_set_state(job, b); /* the same once more is no move */
                        assert_int_equal(job->state, b);
                        job_free(job);
                        assert_int_equal(count_all(f->daemon), 0);
                }
}

/* What is not in the table ends the process: better no daemon than one that lost count. */
static void test_setter_refuses(void **state) {
        DaemonFixture *f = *state;
        unsigned n = 0;

        for (JobState a = 0; a < _JOB_STATE_MAX; a++)
                for (JobState b = 0; b < _JOB_STATE_MAX; b++) {
                        int status;
                        pid_t pid;
                        Job *job;

                        if (a == b || job_state_may_follow(a, b))
                                continue;
                        job = job_in(f, a);
                        pid = fork();
                        assert_true(pid >= 0);
                        if (pid == 0) {
                                struct rlimit none = { 0, 0 };

                                setrlimit(RLIMIT_CORE, &none);
                                signal(SIGABRT, SIG_DFL);
                                job_set_state(job, b);
                                _exit(0);
                        }
                        assert_int_equal(waitpid(pid, &status, 0), pid);
                        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
                                fail_msg("%s to %s was allowed", job_state_to_string(a),
                                         job_state_to_string(b));
                        job_free(job);
                        n++;
                }
        assert_true(n > 10);
}

static void test_times(void **state) {
        DaemonFixture *f = *state;
        uint64_t before = now_usec(CLOCK_REALTIME), total = f->daemon->total_started;
        Job *job = fixture_new_job(f, "{'command':['true']}");

        assert_true(job->queued_at >= before && job->queued_boot > 0);
        assert_int_equal(job->started_at, 0);
        job_set_state(job, JOB_STARTING);
        assert_true(job->started_at >= job->queued_at && job->started_boot >= job->queued_boot);
        assert_int_equal(f->daemon->total_started, total + 1);
        job_set_state(job, JOB_RUNNING);
        assert_int_equal(job->finished_at, 0);
        job_set_state(job, JOB_FINISHED);
        assert_true(job->finished_at >= job->started_at);
        assert_int_equal(f->daemon->total_finished, 1);
        job_free(job);
}

/* ---- the daemon's table of them */

static void test_find(void **state) {
        DaemonFixture *f = *state;
        Job *a = fixture_new_job(f, "{'command':['true'],'key':'k'}");
        Job *b = fixture_new_job(f, "{'command':['true']}");

        assert_int_equal(b->id, a->id + 1);
        assert_ptr_equal(job_find(f->daemon, a->id), a);
        assert_ptr_equal(job_find(f->daemon, b->id), b);
        assert_null(job_find(f->daemon, 0));
        assert_null(job_find(f->daemon, b->id + 1));
        assert_ptr_equal(job_find_key(f->daemon, getuid(), "k"), a);
        assert_null(job_find_key(f->daemon, getuid() + 1, "k"));
        assert_null(job_find_key(f->daemon, getuid(), "kk"));
        assert_null(job_find_key(f->daemon, getuid(), ""));
        job_free(a);
        assert_null(job_find_key(f->daemon, getuid(), "k"));
        assert_null(job_find(f->daemon, b->id - 1));
        job_free(b);
        assert_null(f->daemon->jobs);
        assert_null(f->daemon->jobs_keyed);
        assert_null(job_free(NULL));
}

static void test_permits(void **state) {
        Job *job = fixture_new_job(*state, "{'command':['true']}");
        Peer peer = { .uid = 0 };

        job->owner.uid = 4711;
        assert_true(job_permits(job, &peer));
        peer.uid = geteuid();
        assert_true(job_permits(job, &peer));
        peer.uid = 4711;
        assert_true(job_permits(job, &peer));
        peer.uid = 4712;
        assert_false(job_permits(job, &peer));
        job_free(job);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_table),
                cmocka_unit_test_setup_teardown(test_setter_allows, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_setter_refuses, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_times, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_find, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_permits, setup, fixture_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
