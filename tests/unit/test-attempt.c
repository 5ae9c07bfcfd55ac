/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/attempt.h: from the order to the end, with and without cgroups. */

#include "daemon-fixture.h"

#include "left-behind.h"
#include "process-id.h"
#include "server-private.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define HOUR "3600000000"

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=4");
        *state = &f;
        return 0;
}

/* As where there is no cgroup2: by sessions. */
static int setup_sessions(void **state) {
        setup(state);
        fixture_drop_cgroups(*state);
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static char *sentence_of(const Certificate *c) {
        static char sentence[1024];

        certificate_sentence(c, sentence, sizeof(sentence));
        return sentence;
}

static void check_result(const Certificate *c, Result result) {
        if (c->result != result)
                fail_msg("%s, not %s: %s", result_to_string(c->result), result_to_string(result),
                         sentence_of(c));
}

/* ---- ends that nobody saw */

static void test_cancelled_with_its_end_unseen(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, "{'command':['sleep','1000']}");
        const Certificate *c;

        fixture_wait_state(f, id, JOB_RUNNING);
        kill(fixture_spawner(f)->pid, SIGKILL);
        fixture_until(f, fixture_job(f, id)->running->orphan);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        c = fixture_wait(f, id);
        check_result(c, RESULT_CANCELLED);
        assert_non_null(strstr(sentence_of(c), "nobody could see how it ended"));
}

/* What was ordered and never ran has run out of time all the same. */
static void test_timeout_before_it_ran(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c;
        uint64_t id;

        kill(fixture_spawner(f)->pid, SIGSTOP);
        id = fixture_submit(f, "{'command':['true'],'timeoutUSec':20000}");
        c = fixture_wait(f, id);
        kill(fixture_spawner(f)->pid, SIGCONT); /* first of all: a stopped one holds up the end of every test */
        check_result(c, RESULT_TIMEOUT);
        assert_in_range(c->run_usec, 20000, USEC_PER_SEC);
        assert_true(c->queue_usec < USEC_PER_SEC);
}

/* Just forked, it has no session of its own yet. */
static void test_kill_of_a_newborn(void **state) {
        Attempt newborn = { .pid = fork(), .pidfd = -1 };
        struct pollfd p = { .events = POLLIN };
        bool ended;

        (void)state;
        if (newborn.pid == 0)
                for (;;)
                        pause();
        assert_true(newborn.pid > 0);
        newborn.pidfd = p.fd = process_open(newborn.pid, 0);
        left_behind_kill(&newborn);
        ended = poll(&p, 1, 5000) == 1;
        kill(newborn.pid, SIGKILL); /* even if this has failed, it is to go */
        assert_int_equal(waitpid(newborn.pid, NULL, 0), newborn.pid);
        close_fd(newborn.pidfd);
        assert_true(ended);
}

/* ---- how commands end */

static void test_statuses(void **state) {
        static const int statuses[] = { 0, 1, 2, 126, 127, 128, 137, 255 };
        uint64_t ids[ELEMENTSOF(statuses)];

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(*state, "{'command':['sh','-c','exit %d']}", statuses[i]);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                const Certificate *c = fixture_wait(*state, ids[i]);

                check_result(c, statuses[i] == 0 ? RESULT_SUCCESS : RESULT_EXIT);
                assert_int_equal(c->status, statuses[i]);
                assert_int_equal(c->signal, 0);
                assert_int_equal(c->attempt, 1);
                assert_int_equal(c->left_behind, 0);
                assert_false(c->cancelled);
                assert_true(c->has_usage && c->user_usec + c->system_usec > 0);
                assert_true(c->run_usec > 0);
                assert_true(c->has_stdout && c->has_stderr && c->stdout_bytes == 0);
        }
}

static void test_signals(void **state) {
        static const int signals[] = { SIGHUP, SIGKILL, SIGUSR1, SIGTERM, SIGPIPE, 34, 64 };

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                const Certificate *c = fixture_wait(
                        *state, fixture_submit(*state, "{'command':['sh','-c','kill -%d $$']}",
                                               signals[i]));

                check_result(c, RESULT_SIGNAL);
                assert_int_equal(c->signal, signals[i]);
                assert_int_equal(c->status, -1);
        }
}

/* Nothing may be left of an output that the certificate counts. */
static void test_output(void **state) {
        uint64_t id = fixture_submit(
                *state, "{'command':['sh','-c','echo out; echo one >&2; echo two >&2']}");
        const Certificate *c = fixture_wait(*state, id);
        char *text = fixture_output(*state, id, "out");

        check_result(c, RESULT_SUCCESS);
        assert_int_equal(c->stdout_bytes, 4);
        assert_int_equal(c->stderr_bytes, 8);
        assert_int_equal(c->stdout_lost + c->stderr_lost, 0);
        assert_string_equal(c->stderr_tail, "one\ntwo");
        assert_string_equal(text, "out\n");
        free(text);
}

static void test_setup_failures(void **state) {
        static const struct {
                const char *job, *stage;
                int error;
                const char *sentence;
        } cases[] = {
                { "{'command':['/no/such/program']}", "exec", ENOENT,
                  "could not start: while executing '/no/such/program': No such file or directory" },
                { "{'command':['no-such-program-here']}", "exec", ENOENT,
                  "could not start: while executing 'no-such-program-here': No such file or directory" },
                { "{'command':['/etc/passwd']}", "exec", EACCES,
                  "could not start: while executing '/etc/passwd': Permission denied" },
                { "{'command':['true'],'directory':'/no/such'}", "directory", ENOENT,
                  "could not start: while changing directory to '/no/such': No such file or directory" },
                { "{'command':['true'],'stdin':{'path':'/no/such'}}", "stdin", ENOENT,
                  "could not start: while opening standard input '/no/such': No such file or directory" },
                { "{'command':['true'],'stdout':{'path':'/no/such'}}", "stdout", ENOENT,
                  "could not start: while opening standard output '/no/such': No such file or directory" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Certificate *c =
                        fixture_wait(*state, fixture_submit(*state, "%s", cases[i].job));

                check_result(c, RESULT_SETUP_FAILED);
                assert_string_equal(c->stage, cases[i].stage);
                assert_int_equal(c->error, cases[i].error);
                assert_string_equal(sentence_of(c), cases[i].sentence);
                assert_int_equal(c->status, -1);
        }
}

/* ---- told to end */

static void test_cancel(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, "{'command':['sleep','1000']}");
        Peer peer = { .uid = getuid(), .pid = 4711 };
        const Certificate *c;

        fixture_wait_state(f, id, JOB_RUNNING);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, &peer, NULL);
        assert_int_equal(fixture_job(f, id)->state, JOB_STOPPING);
        job_stop(fixture_job(f, id), RESULT_TIMEOUT, NULL,
                 "too late to say so"); /* the first reason counts */
        c = fixture_wait(f, id);
        check_result(c, RESULT_CANCELLED);
        assert_int_equal(c->signal, SIGTERM);
        assert_true(c->cancelled);
        assert_int_equal(c->by_uid, getuid());
        assert_int_equal(c->by_pid, 4711);
        assert_null(c->text);
}

/* Waits until the job has written something. */
static void wait_for_output(DaemonFixture *f, uint64_t id) {
        fixture_wait_state(f, id, JOB_RUNNING);
        while (output_size(&fixture_job(f, id)->outputs[0]) == 0)
                fixture_settle(f);
}

static void test_ignores_term(void **state) {
        DaemonFixture *f = *state;
        uint64_t id, told;
        const Certificate *c;

        id = fixture_submit(
                f,
                "{'command':['env','--ignore-signal=TERM','sh','-c','echo; sleep 1000; sleep 1000'],'graceUSec':50000}");
        wait_for_output(f, id);
        told = now_usec(CLOCK_BOOTTIME);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        c = fixture_wait(f, id);
        assert_true(now_usec(CLOCK_BOOTTIME) - told >= 50000);
        check_result(c, RESULT_CANCELLED);
        assert_int_equal(c->signal, SIGKILL);
        assert_int_equal(c->left_behind, 0); /* killed with it, not left behind by it */
}

static void test_timeout(void **state) {
        DaemonFixture *f = *state;
        const Certificate *c = fixture_wait(
                f, fixture_submit(f, "{'command':['sleep','1000'],'timeoutUSec':20000}"));

        check_result(c, RESULT_TIMEOUT);
        assert_int_equal(c->signal, SIGTERM);
        assert_true(c->run_usec >= 20000);
        assert_false(c->cancelled);

        /* one that ends by itself when it is told to has timed out, too */
        c = fixture_wait(
                f,
                fixture_submit(
                        f,
                        "{'command':['env','--ignore-signal=TERM','sleep','0.2'],'timeoutUSec':20000,'graceUSec':" HOUR
                        "}"));
        check_result(c, RESULT_TIMEOUT);
        assert_int_equal(c->status, 0);
        assert_int_equal(c->signal, 0);
}

/* A paused job can be ended. */
static void test_pause(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, "{'command':['sleep','1000']}");
        json_t *reply;
        Client c;

        fixture_wait_state(f, id, JOB_RUNNING);
        client_open(f, &c);
        for (int i = 0; i < 2; i++) {
                client_send(&c, "jobs.Pause", false, "{'ids':[%d]}", (int)id);
                json_decref(client_receive(f, &c));
                assert_int_equal(fixture_job(f, id)->state, JOB_PAUSED);
        }
        client_send(&c, "jobs.Resume", false, "{'ids':[%d]}", (int)id);
        json_decref(client_receive(f, &c));
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        client_send(&c, "jobs.Pause", false, "{'ids':[%d]}", (int)id);
        json_decref(client_receive(f, &c));
        client_send(&c, "jobs.Cancel", false, "{'ids':[%d]}", (int)id);
        reply = client_receive(f, &c);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
        check_result(fixture_wait(f, id), RESULT_CANCELLED);
        assert_int_equal(fixture_job(f, id)->certificate->signal, SIGTERM);
        client_close(f, &c);
}

/* ---- what a leader leaves behind */

static bool lives(pid_t pid) {
        char process_state;

        return process_stat(pid, NULL, NULL, NULL, &process_state, NULL) == 0 &&
               process_state != 'Z' && process_state != 'X';
}

static void test_left_behind(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(
                f, "{'command':['sh','-c','sleep 1000 & echo $!; sleep 1000 & echo $!; exit 3']}");
        const Certificate *c = fixture_wait(f, id);
        char *text = fixture_output(f, id, "out");
        int pids[2];

        check_result(c, RESULT_EXIT);
        assert_int_equal(c->status, 3);
        assert_int_equal(c->left_behind, 2);
        assert_int_equal(sscanf(text, "%d %d", &pids[0], &pids[1]), 2);
        fixture_until(f, f->daemon->n_attempts == 0);
        assert_false(lives(pids[0]));
        assert_false(lives(pids[1]));
        assert_non_null(strstr(sentence_of(c), "; it left 2 processes behind, which were ended"));
        free(text);
}

/* ---- before it is confirmed */

/* Stops the spawner, so that orders lie in its channel; later it goes on. */
static pid_t hold_spawner(DaemonFixture *f) {
        Server *s = fixture_spawner(f);

        fixture_until(f, s->state == SERVER_READY);
        assert_int_equal(kill(s->pid, SIGSTOP), 0);
        return s->pid;
}

static uint64_t submit_ordered(DaemonFixture *f, const char *job) {
        uint64_t id = fixture_submit(f, "%s", job);

        fixture_wait_state(f, id, JOB_STARTING);
        return id;
}

static void test_cancel_before_confirmed(void **state) {
        DaemonFixture *f = *state;
        pid_t spawner = hold_spawner(f);
        char path[128], job[256];
        uint64_t id;

        snprintf(path, sizeof(path), "%s/ran", f->root);
        snprintf(job, sizeof(job), "{'command':['touch','%s']}", path);
        id = submit_ordered(f, job);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, "nobody wants it");
        /* known at once, though the order is still out */
        assert_int_equal(fixture_job(f, id)->state, JOB_FINISHED);
        assert_string_equal(sentence_of(fixture_job(f, id)->certificate),
                            "cancelled: nobody wants it before it ran");
        assert_int_equal(f->daemon->n_attempts, 1);
        assert_int_equal(f->daemon->n_durable_attempts, 0);
        kill(spawner, SIGCONT);
        fixture_until(f, f->daemon->n_attempts == 0);
        assert_int_equal(access(path, F_OK), -1);
}

static void test_signals_before_confirmed(void **state) {
        DaemonFixture *f = *state;
        pid_t spawner = hold_spawner(f);
        uint64_t id = submit_ordered(f, "{'command':['sleep','1000']}");

        assert_int_equal(attempt_signal(fixture_job(f, id)->running, SIGUSR2), 0);
        kill(spawner, SIGCONT);
        check_result(fixture_wait(f, id), RESULT_SIGNAL);
        assert_int_equal(fixture_job(f, id)->certificate->signal, SIGUSR2);
}

static void test_timeout_before_confirmed(void **state) {
        DaemonFixture *f = *state;
        pid_t spawner = hold_spawner(f);
        uint64_t id = submit_ordered(f, "{'command':['true'],'timeoutUSec':10000}");

        check_result(fixture_wait(f, id), RESULT_TIMEOUT);
        assert_int_equal(fixture_job(f, id)->certificate->status, -1);
        kill(spawner, SIGCONT);
        fixture_until(f, f->daemon->n_attempts == 0);
}

/* A fork that is refused for lack of processes is tried again, and is no attempt. */
static void test_fork_refused(void **state) {
        DaemonFixture *f = *state;
        pid_t spawner = hold_spawner(f);
        uint64_t id = submit_ordered(f, "{'command':['true']}"), one;
        Attempt *a = fixture_job(f, id)->running;

        /* as its spawner would say, which by the token will not run it later either */
        assert_int_equal(read(a->token, &one, sizeof(one)), sizeof(one));
        attempt_failed(a, "fork", EAGAIN, NULL);
        assert_int_equal(fixture_job(f, id)->state, JOB_QUEUED);
        assert_int_equal(fixture_job(f, id)->attempt, 0);
        assert_int_equal(f->daemon->n_durable_attempts, 0);
        kill(spawner, SIGCONT);
        check_result(fixture_wait(f, id), RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
}

/* ---- tried again */

static void test_retries(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(
                f, "{'command':['sh','-c','echo x; exit 7'],'retries':{'max':2,'delayUSec':0}}");
        const Certificate *c = fixture_wait(f, id);
        char *text = fixture_output(f, id, "out");

        check_result(c, RESULT_EXIT);
        assert_int_equal(c->attempt, 3);
        assert_string_equal(text, "x\nx\nx\n"); /* the file is that of all attempts */
        assert_int_equal(c->stdout_bytes, 6);
        free(text);

        /* only what was asked for */
        c = fixture_wait(
                f,
                fixture_submit(
                        f,
                        "{'command':['false'],'retries':{'max':2,'delayUSec':0,'on':['signal']}}"));
        assert_int_equal(c->attempt, 1);
        c = fixture_wait(
                f,
                fixture_submit(
                        f,
                        "{'command':['sh','-c','kill -9 $$'],'retries':{'max':1,'delayUSec':0,'on':['signal']}}"));
        assert_int_equal(c->attempt, 2);
        c = fixture_wait(f, fixture_submit(f, "{'command':['true'],'retries':{'max':5}}"));
        assert_int_equal(c->attempt, 1);
        /* what never ran is not tried again */
        c = fixture_wait(
                f, fixture_submit(f, "{'command':['/no/such'],'retries':{'max':5,'delayUSec':0}}"));
        check_result(c, RESULT_SETUP_FAILED);
        assert_int_equal(c->attempt, 1);
}

static void test_cancel_between_attempts(void **state) {
        DaemonFixture *f = *state;
        uint64_t id =
                fixture_submit(f, "{'command':['false'],'retries':{'max':1,'delayUSec':" HOUR "}}");

        fixture_until(f, fixture_job(f, id)->state == JOB_PARKED);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(fixture_job(f, id)->state, JOB_FINISHED);
        check_result(fixture_job(f, id)->certificate, RESULT_CANCELLED);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
}

/* ---- attached */

static void test_attached_ends_with_its_client(void **state) {
        DaemonFixture *f = *state;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Run", false,
                    "{'job':{'command':['sleep','1000'],'graceUSec':1000000}}");
        fixture_until(f, f->daemon->n_states[JOB_RUNNING] == 1);
        client_close(f, &c);
        fixture_until(f, !f->daemon->jobs); /* nobody asks for it any more */
        assert_int_equal(f->daemon->n_attached, 0);
}

static void test_attached_states(void **state) {
        static const char *const states[] = { "starting", "running", "finished" };
        DaemonFixture *f = *state;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Run", true, "{'job':{'command':['sleep','0.1']}}");
        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                json_t *reply = client_receive(f, &c);

                assert_string_equal(reply_string(reply, "state"), states[i]);
                assert_int_equal(reply_continues(reply), i < 2);
                assert_int_equal(reply_member(reply, "pid") != NULL, i == 1);
                assert_int_equal(reply_member(reply, "certificate") != NULL, i == 2);
                json_decref(reply);
        }
        client_close(f, &c);
}

#define BOTH(test)                                                                                 \
        cmocka_unit_test_setup_teardown(test, setup, teardown), {                                  \
#test " without cgroups", test, setup_sessions, teardown, NULL                     \
        }

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_cancelled_with_its_end_unseen, setup, teardown),
                cmocka_unit_test_setup_teardown(test_timeout_before_it_ran, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kill_of_a_newborn, setup, teardown),
                BOTH(test_statuses),
                BOTH(test_signals),
                BOTH(test_output),
                BOTH(test_setup_failures),
                BOTH(test_cancel),
                BOTH(test_ignores_term),
                BOTH(test_timeout),
                BOTH(test_pause),
                BOTH(test_left_behind),
                BOTH(test_cancel_before_confirmed),
                BOTH(test_signals_before_confirmed),
                BOTH(test_timeout_before_confirmed),
                BOTH(test_fork_refused),
                BOTH(test_retries),
                BOTH(test_cancel_between_attempts),
                BOTH(test_attached_ends_with_its_client),
                BOTH(test_attached_states),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
