/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/trust.h: forkservers that are another user's code, played by the test. What they say
 * of processes is true or a lie; a process of somebody else is never touched. As root only. */

#include "daemon-fixture.h"

#include "attempt-private.h"
#include "packet.h"
#include "priorities.h"
#include "process-id.h"
#include "server-private.h"
#include "spare.h"
#include "trust.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utlist.h>

#define THEIR_UID 54321
#define WORKERS   3

/* What the played forkserver forks: some workers of its own, and one that stayed root, as a set-uid
 * program would be. */
typedef struct Pids {
        pid_t workers[WORKERS], root, grandchild;
} Pids;

typedef struct Played {
        DaemonFixture f;
        Server *server;
        int channel; /* the forkserver's end */
        Pids pids;
        pid_t stranger; /* a child of ours, with a session of its own */
        int worker_end;
} Played;

/* Also when the parent has died before this. */
static void die_with(pid_t parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(1);
}

static pid_t fork_pausing(uid_t uid, pid_t *ret_child) {
        pid_t parent = getpid(), pid = fork();

        if (pid != 0)
                return pid;
        sigprocmask(SIG_SETMASK, &(sigset_t){ 0 }, NULL);
        (void)setsid();
        if (uid != 0 && (setgid(uid) < 0 || setuid(uid) < 0))
                _exit(1);
        die_with(parent); /* set-uid clears it */
        if (ret_child) {
                parent = getpid();
                pid = fork();
                if (pid == 0)
                        die_with(parent);
                else
                        *ret_child = pid;
        }
        for (;;)
                pause();
}

/* What it becomes is written into shared memory by itself. */
static pid_t play(Pids *shared) {
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        shared->root = fork_pausing(0, NULL);
        for (size_t i = 0; i < WORKERS; i++)
                shared->workers[i] = fork_pausing(THEIR_UID, i == 0 ? &shared->grandchild : NULL);
        if (setgid(THEIR_UID) < 0 || setuid(THEIR_UID) < 0)
                _exit(1);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
                pause();
}

static bool has_become(pid_t pid, uid_t uid) {
        char path[64];
        struct stat st;
        pid_t session;

        snprintf(path, sizeof(path), "/proc/%d", pid);
        return process_stat(pid, NULL, NULL, &session, NULL, NULL) == 0 && session == pid &&
               stat(path, &st) == 0 && st.st_uid == uid;
}

static int setup(void **state) {
        static Played p;
        int theirs, ours;
        Pids *shared;
        Server *s;

        if (geteuid() != 0) {
                *state = NULL;
                return 0;
        }
        p = (Played){ .worker_end = -1 };
        shared =
                mmap(NULL, sizeof(Pids), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_true(shared != MAP_FAILED);
        fixture_start(&p.f, "MaxRunning=4");
        assert_int_equal(packet_pair(&ours, &theirs), 0);
        s = server_new(SERVER_HOST);
        assert_non_null(s);
        s->daemon = p.f.daemon;
        s->name = strdup("theirs");
        s->label = strdup("theirs#1");
        s->uid = THEIR_UID;
        s->generation = 1;
        s->channel = ours;
        s->state = SERVER_READY;
        s->pid = play(shared);
        while (*(volatile pid_t *)&shared->workers[WORKERS - 1] == 0 ||
               !has_become(shared->root, 0) || !has_become(shared->workers[0], THEIR_UID) ||
               !has_become(shared->workers[1], THEIR_UID) ||
               !has_become(shared->workers[2], THEIR_UID) ||
               *(volatile pid_t *)&shared->grandchild == 0)
                sched_yield();
        p.pids = *shared;
        munmap(shared, sizeof(Pids));
        p.stranger = fork_pausing(0, NULL);
        while (!has_become(p.stranger, 0))
                sched_yield();
        DL_APPEND(p.f.daemon->servers->servers, s);
        p.server = s;
        p.channel = theirs;
        *state = &p;
        return 0;
}

static int setup_sessions(void **state) {
        Played *p;

        setup(state);
        p = *state;
        if (p)
                fixture_drop_cgroups(&p->f);
        return 0;
}

static bool lives(pid_t pid) {
        char process_state;

        return process_stat(pid, NULL, NULL, NULL, &process_state, NULL) == 0 &&
               process_state != 'Z' && process_state != 'X';
}

static void wait_dead(const Played *p, pid_t pid) {
        while (lives(pid)) {
                assert_true(now_usec(CLOCK_MONOTONIC) < p->f.deadline);
                sched_yield();
        }
}

static int teardown(void **state) {
        Played *p = *state;
        Attempt *a, *next;
        Job *job, *next_job;

        if (!p)
                return 0;
        assert_true(lives(p->stranger)); /* whatever has been said */
        assert_true(lives(p->pids.root));
        HASH_ITER (hh, p->f.daemon->jobs, job, next_job)
                job_stop(job, RESULT_CANCELLED, NULL, NULL);
        DL_FOREACH_SAFE (p->server->attempts, a, next) {
                if (a->job) {
                        AttemptEnd end = { .pid = a->pid, .code = CLD_KILLED, .status = SIGKILL };

                        attempt_exited(a, &end);
                } else
                        attempt_free(a);
        }
        DL_FOREACH_SAFE (p->server->attempts, a, next)
                attempt_free(a);
        DL_DELETE(p->f.daemon->servers->servers, p->server);
        kill(p->server->pid, SIGKILL); /* and with it all of its children but one */
        kill(p->pids.root, SIGKILL);
        kill(p->stranger, SIGKILL);
        assert_int_equal(waitpid(p->server->pid, NULL, 0), p->server->pid);
        assert_int_equal(waitpid(p->stranger, NULL, 0), p->stranger);
        server_free(p->server);
        close_fd(p->channel);
        close_fd(p->worker_end);
        fixture_end(&p->f);
        return 0;
}

#define ROOT_ONLY(state)                                                                           \
        if (!*(state))                                                                             \
        skip()

/* ---- one order, and what the forkserver then says */

static Attempt *start(Played *p) {
        Job *job = fixture_new_job(&p->f, "{'entry':'x','server':'theirs','graceUSec':1000000}");

        assert_int_equal(attempt_start(job, p->server), 0);
        assert_int_equal(job->state, JOB_STARTING);
        assert_int_equal(job->server_generation, 1);
        return job->running;
}

/* Takes the Fork, and with it the worker's end of the channel. */
static void take_fork(Played *p) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;

        do {
                packet_done(&packet);
                packet = PACKET_NULL;
                assert_int_equal(packet_receive(p->channel, &packet), 0);
        } while (streq(packet.method, "Acknowledge")); /* of one before */
        assert_string_equal(packet.method, "Fork");
        assert_true(json_is_true(json_object_get(packet.parameters, "tell")));
        assert_null(json_object_get(packet.parameters, "cgroup"));
        assert_int_equal(packet.n_fds, 1); /* nothing of the job goes to the forkserver */
        close_fd(p->worker_end);
        p->worker_end = packet_take_fd(&packet, "channel");
        assert_true(p->worker_end >= 0);
        assert_int_equal(fcntl(p->worker_end, F_SETFL, O_NONBLOCK), 0);
}

static void check_next(const Played *p, const char *method) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;

        assert_int_equal(packet_receive(p->worker_end, &packet), 0);
        assert_string_equal(packet.method, method);
}

static int nothing_there(const Played *p) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;

        return packet_receive(p->worker_end, &packet);
}

static void say_started(Attempt *a, pid_t pid) {
        uint64_t start_time;

        assert_int_equal(process_start_time(pid, &start_time), 0);
        attempt_started(a, pid, start_time, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* ---- the truth */

static void test_worker(void **state) {
        Played *p = *state;
        AttemptEnd end = { .code = CLD_KILLED, .status = SIGTERM };
        pid_t pid;
        Attempt *a;
        Job *job;

        ROOT_ONLY(state);
        pid = p->pids.workers[1];
        a = start(p);
        job = a->job;
        take_fork(p);
        assert_int_equal(nothing_there(p), PACKET_E_AGAIN); /* held until it has been looked at */
        say_started(a, pid);
        assert_int_equal(job->state, JOB_RUNNING);
        assert_int_equal(a->pid, pid);
        check_next(p, "Adopt");
        check_next(p, "Call");
        if (a->cgroup)
                assert_true(cgroup_contains(a->cgroup, pid));

        job_stop(job, RESULT_CANCELLED, NULL, NULL);
        wait_dead(p, pid);     /* of TERM, as the grace is not over */
        end.pid = p->stranger; /* once more, a lie */
        attempt_exited(a, &end);
        assert_int_equal(job->certificate->result, RESULT_CANCELLED);
        assert_string_equal(job->certificate->server, "theirs");
        assert_int_equal(job->certificate->generation, 1);
}

static void test_left_behind(void **state) {
        Played *p = *state;
        AttemptEnd end = { .code = CLD_EXITED };
        Attempt *a;
        pid_t pid;

        ROOT_ONLY(state);
        pid = p->pids.workers[0];
        a = start(p);
        take_fork(p);
        say_started(a, pid);
        assert_int_equal(a->job->state, JOB_RUNNING);
        if (a->cgroup) /* born before it was moved there */
                assert_int_equal(cgroup_attach(a->cgroup, p->pids.grandchild), 0);
        kill(pid, SIGKILL);
        wait_dead(p, pid);
        end.pid = pid;
        attempt_exited(a, &end);
        fixture_until(&p->f, p->f.daemon->n_attempts == 0);
        assert_false(lives(p->pids.grandchild));
}

/* One that goes on although its forkserver says otherwise is ended. */
static void test_goes_on(void **state) {
        Played *p = *state;
        AttemptEnd end = { .code = CLD_EXITED };
        Attempt *a;

        ROOT_ONLY(state);
        if (!p->f.daemon->cgroups)
                skip(); /* then nobody can see it */
        a = start(p);
        take_fork(p);
        say_started(a, p->pids.workers[1]);
        end.pid = a->pid;
        attempt_exited(a, &end);
        fixture_until(&p->f, p->f.daemon->n_attempts == 0);
        assert_false(lives(p->pids.workers[1]));
}

static void test_spare(void **state) {
        Played *p = *state;
        Attempt *a;
        Job *job;

        ROOT_ONLY(state);
        p->server->spare_wanted = 1;
        spare_refill(p->server);
        fixture_until(&p->f, p->server->n_spares == 1);
        take_fork(p);
        a = p->server->attempts;
        say_started(a, p->pids.workers[1]);
        assert_ptr_equal(p->server->spares, a);
        assert_int_equal(nothing_there(p), PACKET_E_AGAIN);
        if (a->cgroup)
                assert_true(cgroup_contains(a->cgroup, a->pid));
        job = fixture_new_job(&p->f, "{'entry':'x','server':'theirs'}");
        assert_int_equal(attempt_start(job, p->server), 0);
        assert_ptr_equal(job->running, a);
        assert_int_equal(job->state, JOB_RUNNING);
        check_next(p, "Adopt");
        check_next(p, "Call");
        p->server->spare_wanted = 0;
}

/* A spare says something before anybody has asked: it is not used. */
static void test_spare_that_speaks(void **state) {
        static const char text[] = "{\"method\":\"Returned\",\"parameters\":{\"value\":{}}}";
        Played *p = *state;

        ROOT_ONLY(state);
        p->server->spare_wanted = 1;
        spare_refill(p->server);
        fixture_until(&p->f, p->server->n_spares == 1);
        take_fork(p);
        say_started(p->server->attempts, p->pids.workers[1]);
        assert_non_null(p->server->spares);
        assert_int_equal(packet_send_text(p->worker_end, text, sizeof(text) - 1, NULL, 0), 0);
        fixture_until(&p->f, !p->server->spares);
        assert_int_equal(p->server->n_spares, 0);
        p->server->spare_wanted = 0;
}

/* ---- lies */

static void check_refused(Played *p, pid_t pid) {
        size_t others = p->f.daemon->n_attempts;
        Attempt *a = start(p);
        AttemptEnd end = { .pid = pid, .code = CLD_KILLED, .status = SIGKILL };
        Job *job = a->job;

        take_fork(p);
        say_started(a, pid);
        assert_int_equal(job->state, JOB_FINISHED);
        assert_int_equal(job->certificate->result, RESULT_SERVER_FAILED);
        assert_int_equal(a->pid, 0);
        if (a->cgroup) {
                assert_false(cgroup_contains(a->cgroup, pid));
                assert_int_equal(cgroup_populated(a->cgroup), 0);
        }
        assert_int_equal(nothing_there(p), PACKET_E_CLOSED); /* without a job in it */

        (void)attempt_signal(a, SIGTERM);
        attempt_kill(a);
        attempt_exited(a, &end);
        assert_int_equal(p->f.daemon->n_attempts, others);
        assert_true(lives(pid));
}

static void test_stranger(void **state) {
        Played *p = *state;

        ROOT_ONLY(state);
        check_refused(p, p->stranger);
        check_refused(p, getpid());
        check_refused(p, p->server->pid);
}

/* Its own child, but not of its user any more: what is set-uid is not its to have ended. */
static void test_other_uid(void **state) {
        Played *p = *state;

        ROOT_ONLY(state);
        check_refused(p, p->pids.root);
}

static void test_grandchild(void **state) {
        Played *p = *state;

        ROOT_ONLY(state);
        check_refused(p, p->pids.grandchild);
}

static void test_twice_the_same(void **state) {
        Played *p = *state;
        Attempt *a;

        ROOT_ONLY(state);
        a = start(p);
        take_fork(p);
        say_started(a, p->pids.workers[1]);
        assert_int_equal(a->job->state, JOB_RUNNING);
        check_refused(p, p->pids.workers[1]);
        if (a->cgroup)
                assert_true(cgroup_contains(a->cgroup, p->pids.workers[1]));
}

/* Ends without having been seen: nobody looks for what its pid has left. */
static void test_never_seen(void **state) {
        Played *p = *state;
        AttemptEnd end = { .pid = p ? p->stranger : 0, .code = CLD_EXITED };
        Attempt *a;

        ROOT_ONLY(state);
        a = start(p);
        take_fork(p);
        attempt_exited(a, &end);
        assert_int_equal(p->f.daemon->n_attempts, 0);
        assert_true(lives(p->stranger));
}

/* It takes the token out of its Adopt, but not the Call, and then its forkserver dies. */
static void test_orphan_that_was_not_confirmed(void **state) {
        Played *p = *state;
        Attempt *a;
        Job *job;

        ROOT_ONLY(state);
        a = start(p);
        job = a->job;
        take_fork(p);
        if (a->cgroup)
                assert_int_equal(cgroup_attach(a->cgroup, p->pids.workers[1]), 0);
        assert_true(attempt_take_token(a));
        server_move_to_orphans(p->server, a);
        attempt_orphaned(a);
        assert_int_equal(job->state, JOB_FINISHED);
        assert_int_equal(job->certificate->result, RESULT_LOST);
        fixture_until(&p->f, p->f.daemon->n_attempts == 0);
}

/* Killed, and its forkserver never says that it has ended. */
static void test_end_not_told(void **state) {
        Played *p = *state;
        Attempt *a;
        Job *job;

        ROOT_ONLY(state);
        a = start(p);
        job = a->job;
        take_fork(p);
        say_started(a, p->pids.workers[1]);
        job_stop(job, RESULT_CANCELLED, NULL, NULL);
        attempt_kill(a);
        wait_dead(p, p->pids.workers[1]);
        assert_int_equal(sd_event_source_set_time(a->timer, 0), 0); /* 10 s later */
        fixture_until(&p->f, job->state == JOB_FINISHED);
        assert_int_equal(job->certificate->result, RESULT_CANCELLED);
        fixture_until(&p->f, p->f.daemon->n_attempts == 0);
}

/* Orders that it does not answer, of jobs that have ended: they have a ceiling. */
static void test_unanswered(void **state) {
        Played *p = *state;

        ROOT_ONLY(state);
        for (size_t i = 1; i <= 3; i++) {
                Attempt *a = start(p);

                job_stop(a->job, RESULT_CANCELLED, NULL, NULL);
                assert_int_equal(p->server->n_unwanted, i);
        }
        attempt_failed(p->server->attempts, "fork", EAGAIN, NULL);
        assert_int_equal(p->server->n_unwanted, 2);
        p->server->n_unwanted += SERVER_UNWANTED_MAX;
        p->server->spare_wanted = 1;
        spare_refill(p->server);
        assert_null(p->server->spare_timer);
        p->server->n_unwanted -= SERVER_UNWANTED_MAX;
        server_move_to_orphans(p->server, p->server->attempts);
        assert_int_equal(p->server->n_unwanted, 1);
        attempt_free(p->f.daemon->servers->orphans);
        p->server->spare_wanted = 0;
}

/* Whoever says more than one turn takes comes after all others. */
static void test_shouting(void **state) {
        Played *p = *state;
        int64_t first, then;

        ROOT_ONLY(state);
        assert_int_equal(server_attach_channel(p->server), 0);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(packet_send_text(p->channel, "{\"method\":\"X\"}", 14, NULL, 0), 0);
        (void)server_read(p->server, 16);
        sd_event_source_get_priority(p->server->channel_source, &first);
        (void)server_read(p->server, 16);
        sd_event_source_get_priority(p->server->channel_source, &then);
        assert_int_equal(first, PRIORITY_FLOOD);
        assert_int_equal(then, PRIORITY_SERVER);
}

/* Of another time: the pid has been used again. */
static void test_wrong_start_time(void **state) {
        Played *p = *state;
        Attempt *a;

        ROOT_ONLY(state);
        a = start(p);
        take_fork(p);
        attempt_started(a, p->pids.workers[1], 1, -1);
        assert_int_equal(a->phase, ATTEMPT_ORDERED);
        assert_int_equal(a->pid, 0);
        attempt_started(a, p->pids.workers[1], 0, -1);
        assert_int_equal(a->pid, 0);
}

/* The dead forkserver's children are another's: its death is told next, and the job starts again.
 */
static void test_dead_forkserver(void **state) {
        Played *p = *state;
        uint64_t start_time;
        int pidfd = -1;
        Attempt *a;

        ROOT_ONLY(state);
        a = start(p);
        take_fork(p);
        assert_int_equal(process_start_time(p->stranger, &start_time), 0);
        kill(p->server->pid, SIGKILL);
        wait_dead(p, p->server->pid);
        assert_int_equal(trust_admit(a, p->stranger, start_time, &pidfd), TRUST_E_GONE);
        attempt_started(a, p->stranger, start_time, -1);
        assert_int_equal(a->phase, ATTEMPT_ORDERED);
        assert_int_equal(a->job->state, JOB_STARTING);
}

/* Cancelled before there was a worker: then it is ended as soon as it is known. */
static void test_cancelled_before(void **state) {
        Played *p = *state;
        Attempt *a;
        Job *job;

        ROOT_ONLY(state);
        a = start(p);
        job = a->job;
        take_fork(p);
        job_stop(job, RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(job->state, JOB_FINISHED);
        assert_int_equal(nothing_there(p), PACKET_E_CLOSED);
        say_started(a, p->pids.workers[1]);
        wait_dead(p, p->pids.workers[1]);
}

#define BOTH(test)                                                                                 \
        cmocka_unit_test_setup_teardown(test, setup, teardown), {                                  \
#test " without cgroups", test, setup_sessions, teardown, NULL                     \
        }

int main(void) {
        const struct CMUnitTest tests[] = {
                BOTH(test_worker),
                BOTH(test_left_behind),
                BOTH(test_goes_on),
                BOTH(test_spare),
                BOTH(test_spare_that_speaks),
                BOTH(test_stranger),
                BOTH(test_other_uid),
                BOTH(test_grandchild),
                BOTH(test_twice_the_same),
                BOTH(test_never_seen),
                BOTH(test_orphan_that_was_not_confirmed),
                BOTH(test_end_not_told),
                BOTH(test_unanswered),
                cmocka_unit_test_setup_teardown(test_shouting, setup, teardown),
                BOTH(test_wrong_start_time),
                BOTH(test_dead_forkserver),
                BOTH(test_cancelled_before),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
