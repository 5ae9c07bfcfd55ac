/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/spare.h: workers that are forked before there is a job. The twin has some here. */

#include "daemon-fixture.h"

#include "process-id.h"
#include "server-private.h"
#include "spare.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <utlist.h>

static Server *twin(const DaemonFixture *f) {
        Server *s;

        DL_FOREACH (f->daemon->servers->servers, s)
                if (s->kind == SERVER_TWIN)
                        return s;
        fail();
        return NULL;
}

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=64\nModule=" TEST_MODULES "/misbehave.so");
        fixture_until(&f, twin(&f)->state == SERVER_READY);
        *state = &f;
        return 0;
}

static int setup_sessions(void **state) {
        setup(state);
        fixture_drop_cgroups(*state);
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static unsigned count_ready(const Server *s) {
        const Attempt *a;
        unsigned n = 0;

        DL_FOREACH2(s->spares, a, spare_next)
        n++;
        return n;
}

static void want_spares(DaemonFixture *f, unsigned n) {
        Server *s = twin(f);

        s->spare_wanted = n;
        spare_refill(s);
        fixture_until(f, count_ready(s) == n && s->n_spares == n);
}

static bool lives(pid_t pid) {
        char process_state;

        return process_stat(pid, NULL, NULL, NULL, &process_state, NULL) == 0 &&
               process_state != 'Z' && process_state != 'X';
}

/* Waits for its end, which the daemon need not see. */
static void wait_gone(pid_t pid) {
        int pidfd = process_open(pid, 0);

        if (pidfd >= 0) {
                struct pollfd p = { .fd = pidfd, .events = POLLIN };

                assert_int_equal(poll(&p, 1, 10000), 1);
                close(pidfd);
        }
        assert_false(lives(pid));
}

static void check_success(const Certificate *c) {
        char sentence[256];

        certificate_sentence(c, sentence, sizeof(sentence));
        if (c->result != RESULT_SUCCESS)
                fail_msg("%s", sentence);
}

/* Something that no event tells of, and that happens in a moment. */
#define fixture_until_now(f, condition)                                                            \
        do                                                                                         \
                while (!(condition)) {                                                             \
                        assert_true(now_usec(CLOCK_MONOTONIC) < (f)->deadline);                    \
                        sched_yield();                                                             \
                }                                                                                  \
        while (false)

static void test_kept(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        Attempt *a;

        want_spares(f, 3);
        assert_int_equal(f->daemon->n_attempts, 0); /* nobody's job: nothing to wait for */
        assert_int_equal(s->n_attempts, 3);
        DL_FOREACH2(s->spares, a, spare_next) {
                assert_int_equal(a->kind, ATTEMPT_SPARE);
                assert_true(lives(a->pid));
                if (a->cgroup) /* it is told of before it enters that itself */
                        fixture_until_now(f, cgroup_contains(a->cgroup, a->pid));
        }
        /* one that looks at them again has nothing to do */
        spare_refill(s);
        fixture_settle(f);
        assert_int_equal(s->n_spares, 3);
}

static void test_becomes_the_worker(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c;
        Server *s = twin(f);
        pid_t first, second;
        uint64_t id;

        want_spares(f, 1);
        first = s->spares->pid;
        id = fixture_submit(f, "{'entry':'echo','arguments':{'a':[1]}}");
        fixture_until(f, fixture_job(f, id)->state != JOB_QUEUED);
        /* it runs from the first moment, and its process is known */
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        assert_int_equal(fixture_job(f, id)->running->pid, first);
        assert_int_equal(f->daemon->n_attempts, 1);
        c = fixture_wait(f, id);
        check_success(c);
        assert_string_equal(c->value, "{\"a\":[1]}");
        assert_int_equal(c->attempt, 1);
        assert_int_equal(c->left_behind, 0);
        assert_true(c->has_usage);
        fixture_until(f, f->daemon->n_attempts == 0);

        fixture_until(f, count_ready(s) == 1); /* another one takes its place */
        second = s->spares->pid;
        assert_int_not_equal(first, second);
        assert_true(lives(second));
        assert_false(lives(first));
}

/* All of the job's plan holds that a spare could not know. */
static void test_has_the_jobs_plan(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c;
        char *text;
        uint64_t id;

        want_spares(f, 1);
        c = fixture_wait(f, fixture_submit(f, "{'entry':'environment','environment':{'A':'b'}}"));
        check_success(c);
        assert_string_equal(c->value, "{\"environment\":[\"A=b\"]}");

        fixture_until(f, count_ready(twin(f)) == 1);
        id = fixture_submit(f, "{'entry':'stdout','arguments':{'text':'hello'}}");
        check_success(fixture_wait(f, id));
        text = fixture_output(f, id, "out");
        assert_string_equal(text, "hello");
        free(text);
}

static void test_setup_failure(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c;
        char sentence[256];

        want_spares(f, 1);
        c = fixture_wait(f, fixture_submit(f, "{'entry':'echo','directory':'/no/such'}"));
        certificate_sentence(c, sentence, sizeof(sentence));
        assert_string_equal(
                sentence,
                "could not start: while changing directory to '/no/such': No such file or directory");
        assert_int_equal(c->result, RESULT_SETUP_FAILED);
        assert_string_equal(c->stage, "directory");
        assert_int_equal(c->error, ENOENT);
        assert_int_equal(c->status, -1);
}

/* More jobs than spares: the others get fresh workers. */
static void test_burst(void **state) {
        DaemonFixture *f = *state;
        uint64_t ids[20];

        want_spares(f, 2);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, "{'entry':'echo','arguments':{'i':%zu}}", i);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                char expected[32];

                snprintf(expected, sizeof(expected), "{\"i\":%zu}", i);
                check_success(fixture_wait(f, ids[i]));
                assert_string_equal(fixture_job(f, ids[i])->certificate->value, expected);
        }
        fixture_until(f, count_ready(twin(f)) == 2 && f->daemon->n_attempts == 0);
        assert_int_equal(twin(f)->n_spares, 2);
        assert_int_equal(twin(f)->n_attempts, 2);
}

static void test_told_to_end(void **state) {
        DaemonFixture *f = *state;
        uint64_t id;

        want_spares(f, 1);
        id = fixture_submit(f, "{'entry':'never'}");
        fixture_wait_state(f, id, JOB_RUNNING);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_CANCELLED);
        assert_int_equal(fixture_job(f, id)->certificate->signal, SIGTERM);

        fixture_until(f, count_ready(twin(f)) == 1);
        id = fixture_submit(f, "{'entry':'never','timeoutUSec':20000}");
        assert_int_equal(fixture_wait(f, id)->result, RESULT_TIMEOUT);
        assert_true(fixture_job(f, id)->certificate->run_usec >= 20000);
}

static void test_paused(void **state) {
        DaemonFixture *f = *state;
        uint64_t id;

        want_spares(f, 1);
        id = fixture_submit(f, "{'entry':'echo'}");
        fixture_wait_state(f, id, JOB_RUNNING);
        assert_int_equal(attempt_freeze(fixture_job(f, id)->running, true), 0);
        assert_int_equal(attempt_freeze(fixture_job(f, id)->running, false), 0);
        check_success(fixture_wait(f, id));
}

/* ---- spares that die */

static void test_dies_idle(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        uint64_t before;
        pid_t pid;

        want_spares(f, 1);
        pid = s->spares->pid;
        before = now_usec(CLOCK_MONOTONIC);
        kill(pid, SIGKILL);
        fixture_until(f, s->spares && s->spares->pid != pid);
        /* it was young: the next one waited */
        assert_true(now_usec(CLOCK_MONOTONIC) - before >= 100000);
        assert_int_equal(s->spare_failures, 1);
        assert_int_equal(s->n_spares, 1);
        assert_int_equal(s->n_attempts, 1); /* the dead one is acknowledged and forgotten */
        assert_false(lives(pid));
        check_success(fixture_wait(f, fixture_submit(f, "{'entry':'echo'}")));
        assert_int_equal(s->spare_failures, 0);
}

/* Nobody has seen its end when the job is given to it: it gets a fresh worker, once. */
static void test_dies_before_it_takes_over(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        const Certificate *c;
        uint64_t id;
        pid_t pid;

        want_spares(f, 1);
        pid = s->spares->pid;
        kill(pid, SIGSTOP); /* so that it does not read what comes */
        id = fixture_submit(f, "{'entry':'echo'}");
        fixture_wait_state(f, id, JOB_RUNNING);
        assert_int_equal(fixture_job(f, id)->running->pid, pid);
        kill(pid, SIGKILL);
        c = fixture_wait(f, id);
        check_success(c);
        assert_int_equal(c->attempt, 1);
        assert_false(lives(pid));

        /* one that had it, and died, is not started again */
        fixture_until(f, count_ready(s) == 1);
        pid = s->spares->pid;
        id = fixture_submit(f, "{'entry':'ignore-term'}");
        fixture_wait_state(f, id, JOB_RUNNING);
        while (output_size(&fixture_job(f, id)->outputs[0]) == 0)
                fixture_turn(f); /* others' spares come and go */
        kill(pid, SIGKILL);
        c = fixture_wait(f, id);
        assert_int_equal(c->result, RESULT_SIGNAL);
        assert_int_equal(c->signal, SIGKILL);
}

/* Started again, the job has its descriptors still. */
static void test_keeps_descriptors(void **state) {
        DaemonFixture *f = *state;
        char text[8] = "";
        uint64_t id;
        int ends[2];
        pid_t pid;
        Job *job;

        want_spares(f, 1);
        pid = twin(f)->spares->pid;
        kill(pid, SIGSTOP);
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        job = fixture_new_job(f, "{'entry':'stdout','arguments':{'text':'heard'}}");
        id = job->id;
        job->spec->stdio[1].kind = STDIO_DESCRIPTOR; /* as of a Run that came with one */
        job->fds[1] = ends[1];
        assert_int_equal(queue_accept(f->daemon->queue, job), 0);
        fixture_wait_state(f, id, JOB_RUNNING);
        assert_int_equal(fixture_job(f, id)->running->pid, pid);
        kill(pid, SIGKILL);
        check_success(fixture_wait(f, id));
        assert_int_equal(read(ends[0], text, sizeof(text)), 5);
        assert_string_equal(text, "heard");
        assert_int_equal(read(ends[0], text, sizeof(text)), 0); /* and lets go of them */
        close(ends[0]);
}

/* One that does not end with its channel is killed. */
static void test_stays(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        Attempt *a;
        pid_t pid;

        want_spares(f, 1);
        a = s->spares;
        pid = a->pid;
        kill(pid, SIGSTOP);
        s->spare_wanted = 0;
        spare_refill(s);
        assert_int_equal(s->n_unwanted, 1);
        assert_null(s->spares);
        fixture_until(f, !s->attempts);
        assert_int_equal(s->n_unwanted, 0);
        assert_false(lives(pid));
}

/* Cancelled before it took the job over: that is what the certificate says. */
static void test_cancelled_before_it_takes_over(void **state) {
        DaemonFixture *f = *state;
        uint64_t id;
        pid_t pid;

        want_spares(f, 1);
        pid = twin(f)->spares->pid;
        kill(pid, SIGSTOP);
        id = fixture_submit(f, "{'entry':'echo'}");
        fixture_wait_state(f, id, JOB_RUNNING);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        kill(pid, SIGCONT);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_CANCELLED);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
}

static void test_forkserver_dies(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        pid_t pid;

        want_spares(f, 1);
        pid = s->spares->pid;
        kill(s->pid, SIGKILL);
        fixture_until(f, s->state != SERVER_READY);
        assert_int_equal(s->n_spares, 0);
        assert_null(s->spares);
        wait_gone(pid); /* with nobody to tell it to */
        fixture_until(f, !f->daemon->servers->orphans);
        /* and the next forkserver has some, too */
        fixture_until(f, s->state == SERVER_READY);
        want_spares(f, 1);
        check_success(fixture_wait(f, fixture_submit(f, "{'entry':'echo'}")));
}

/* ---- fewer, or none */

static void test_scaled_down(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);
        pid_t oldest;

        want_spares(f, 3);
        oldest = s->spares->pid;
        s->spare_wanted = 1;
        spare_refill(s);
        assert_int_equal(s->n_spares, 1);
        fixture_until(f, s->n_attempts == 1);
        assert_false(lives(oldest));
        assert_true(lives(s->spares->pid));
        assert_int_equal(s->spare_failures, 0); /* they ended as they were told */

        spare_end_all(s);
        s->spare_wanted = 0;
        fixture_until(f, s->n_attempts == 0);
        check_success(fixture_wait(f, fixture_submit(f, "{'entry':'echo'}")));
        assert_int_equal(s->n_spares, 0);
}

static void test_none_while_draining(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin(f);

        want_spares(f, 1);
        daemon_drain(f->daemon);
        spare_end_all(s);
        spare_refill(s);
        fixture_until(f, s->n_attempts == 0);
        for (unsigned i = 0; i < 20; i++) {
                fixture_settle(f);
                assert_int_equal(s->n_spares, 0);
                usleep(1000); /* past the time when one would come */
        }
        assert_int_equal(s->n_attempts, 0);
}

/* The daemon goes: so do they, and their cgroups. */
static void test_end_with_the_daemon(void **state) {
        static DaemonFixture f;
        pid_t pids[4];
        char path[512] = "";
        size_t n = 0;
        Attempt *a;

        setup(state);
        f = *(DaemonFixture *)*state;
        want_spares(&f, 4);
        DL_FOREACH2(twin(&f)->spares, a, spare_next)
        pids[n++] = a->pid;
        if (f.daemon->cgroups)
                snprintf(path, sizeof(path), "%s", cgroup_base_path(f.daemon->cgroups));
        fixture_end(&f);
        for (size_t i = 0; i < n; i++)
                wait_gone(pids[i]);
        if (*path)
                assert_int_equal(access(path, F_OK), -1);
}

#define BOTH(test)                                                                                 \
        cmocka_unit_test_setup_teardown(test, setup, teardown), {                                  \
#test " without cgroups", test, setup_sessions, teardown, NULL                     \
        }

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                BOTH(test_kept),
                BOTH(test_becomes_the_worker),
                BOTH(test_has_the_jobs_plan),
                BOTH(test_setup_failure),
                BOTH(test_burst),
                BOTH(test_told_to_end),
                BOTH(test_paused),
                BOTH(test_dies_idle),
                BOTH(test_dies_before_it_takes_over),
                BOTH(test_keeps_descriptors),
                BOTH(test_stays),
                BOTH(test_cancelled_before_it_takes_over),
                BOTH(test_forkserver_dies),
                BOTH(test_scaled_down),
                BOTH(test_none_while_draining),
                cmocka_unit_test(test_end_with_the_daemon),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
