/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts: those of jobs are owned by their job while it runs, spares and hosts by the list of
 * their forkserver, then all by themselves until everything of theirs is gone; in forkd. Here is
 * their life: running, told to end, ended, acknowledged. How they begin is in start.c, what an
 * entry answers in answer.c, what becomes of them when their forkserver dies in orphan.c, what a
 * leader leaves behind in left-behind.c, what is peculiar to spares and to hosts in spare.c and
 * host.c. */

#include "attempt-private.h"

#include "answer.h"
#include "daemon.h"
#include "host.h"
#include "left-behind.h"
#include "log.h"
#include "process-id.h"
#include "spare.h"
#include "text.h"
#include "trust.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#define FAILURE_STAGE_MAX 64 /* bytes; what is more is cut */
#define FAILURE_TEXT_MAX  1024
#define SETUP_STATUS      127                 /* of a worker after its Failed */
#define STUCK_USEC        (10 * USEC_PER_SEC) /* SIGKILLed and still there: said so, and tried again */

Attempt *attempt_free(Attempt *a) {
        if (!a)
                return NULL;
        if (a->prev)
                server_remove_attempt(a->daemon->servers, a);
        if (a->slot >= 0)
                running_table_clear(a->daemon->table, a->slot);
        sd_event_source_disable_unref(a->channel_source);
        sd_event_source_disable_unref(a->timer);
        sd_event_source_disable_unref(a->cgroup_source);
        sd_event_source_disable_unref(a->pidfd_source);
        close_fd(a->token);
        close_fd(a->pidfd);
        close_fd(a->channel);
        if (a->cgroup) {
                /* a child of a dead forkserver may be on its way into it, although it will not run
                 */
                if (a->phase != ATTEMPT_ENDED)
                        cgroup_spend(a->cgroup);
                /* nobody else ends one that has no job */
                if (a->phase != ATTEMPT_ENDED && a->kind != ATTEMPT_JOB)
                        (void)cgroup_kill(a->cgroup);
                cgroup_release(a->cgroup);
                daemon_want_tidy(a->daemon);
        }
        if (a->kind == ATTEMPT_JOB)
                a->daemon->n_attempts--;
        free(a->value);
        free(a->raised_code);
        free(a->raised_text);
        free(a->failure.stage);
        free(a->failure.text);
        free(a);
        return NULL;
}

int on_attempt_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Attempt *a = userdata;

        (void)source;
        (void)usec;
        a->timer = sd_event_source_disable_unref(a->timer);
        if (a->job)
                job_stop(a->job, RESULT_TIMEOUT, NULL, NULL);
        return 0;
}

static uint64_t deadline_after(uint64_t from, uint64_t usec) {
        return usec < USEC_INFINITY - from ? from + usec : USEC_INFINITY - 1;
}

int attempt_set_timer(Attempt *a, uint64_t usec, sd_event_time_handler_t handler) {
        int r;

        a->timer = sd_event_source_disable_unref(a->timer);
        if (usec == USEC_INFINITY)
                return 0;
        /* from now, not from when this turn of the loop began: a deadline must not come early */
        r = sd_event_add_time(a->daemon->event, &a->timer, CLOCK_BOOTTIME,
                              deadline_after(now_usec(CLOCK_BOOTTIME), usec), 1000, handler, a);
        if (r >= 0)
                (void)sd_event_source_set_priority(a->timer, PRIORITY_TIMER);
        return r;
}

void attempt_detach(Attempt *a) {
        Job *job = a->job;

        a->timer = sd_event_source_disable_unref(a->timer);
        if (!job)
                return;
        if (a->phase == ATTEMPT_ORDERED)
                server_count_unwanted(a);
        if (!job->attached)
                a->daemon->n_durable_attempts--;
        job->running = NULL;
        a->job = NULL;
}

void attempt_attach(Attempt *a, Job *job) {
        a->job = job;
        job->running = a;
        if (!job->attached)
                a->daemon->n_durable_attempts++;
}

/* ---- it runs */

void attempt_record(Attempt *a) {
        RunningSlot slot = {
                .job = a->job_id,
                .attempt = a->number,
                .pid = a->pid,
                .start_time = a->start_time,
                .uid = a->job ? a->job->owner.uid : 0,
                .class = a->job && !a->job->attached,
        };

        if (a->server)
                snprintf(slot.server, sizeof(slot.server), "%s", server_label(a->server));
        a->slot = running_table_put(a->daemon->table, &slot);
        if (a->slot < 0)
                log_about(LOG_WARNING, 0, LOG_JOB(a->job_id),
                          "job %" PRIu64 ": the running table is full; a crash would lose its name",
                          a->job_id);
}

static void attempt_close_sources(Attempt *a) {
        close_fdp(&a->token);
        if (a->job)
                for (int i = 0; i < 3; i++)
                        close_fdp(&a->job->fds[i]);
}

static void attempt_confirm(Attempt *a, pid_t pid) {
        a->pid = pid;
        if (!a->adopted) /* else it may still be lost, and its job need a fresh worker */
                attempt_close_sources(a);
}

bool attempt_look_taken(Attempt *a) {
        struct pollfd token = { .fd = a->token, .events = POLLIN };

        if (a->token < 0)
                return true;
        if (poll(&token, 1, 0) != 0)
                return false;
        attempt_close_sources(a);
        return true;
}

/* Its forkserver names a process that is none of its workers: the job is not handed to that, and
 * nothing is done to it. */
static void attempt_distrust(Attempt *a, pid_t pid, int outcome) {
        char text[96];
        Job *job = a->job;

        if (outcome == TRUST_E_GONE)
                return; /* its end is told next, or that of its forkserver */
        if (outcome < 0)
                log_about(LOG_WARNING, outcome, attempt_about(a, NULL),
                          "%s: cannot look at its worker with pid %d", attempt_text(a, text), pid);
        else
                log_about(LOG_WARNING, 0, attempt_about(a, NULL),
                          "%s: pid %d is no worker of its forkserver %s", attempt_text(a, text),
                          pid, server_label(a->server));
        a->channel_source = sd_event_source_disable_unref(a->channel_source);
        close_fdp(&a->channel);
        if (job && attempt_take_token(a)) {
                attempt_detach(a);
                job_finish_unstarted(job, RESULT_SERVER_FAILED,
                                     "its forkserver names a process that is none of its workers");
        }
}

/* It may have its job now: 0, or what attempt_distrust() knows. */
static int attempt_trust(Attempt *a, pid_t pid, uint64_t start_time, int *pidfd) {
        int r;

        close_fdp(pidfd); /* of whatever that is */
        r = trust_admit(a, pid, start_time, pidfd);
        if (r != 0 || !a->job || a->job->stop.wanted)
                return r;
        r = answer_send(a, a->job, a->server);
        return r == ANSWER_E_GONE ? TRUST_E_GONE : r;
}

static void attempt_begin_job(Attempt *a) {
        attempt_record(a);
        if (a->job->stop.wanted) {
                attempt_stop(a, a->job->spec->grace_usec);
                return;
        }
        job_set_state(a->job, JOB_RUNNING);
        for (int signal = 1; signal <= 64; signal++)
                if (a->pending_signals & UINT64_C(1) << (signal - 1))
                        (void)attempt_signal(a, signal);
        a->pending_signals = 0;
        if (a->paused) {
                a->paused = false;
                if (attempt_freeze(a, true) >= 0)
                        job_set_state(a->job, JOB_PAUSED);
        }
}

void attempt_started(Attempt *a, pid_t pid, uint64_t start_time, int pidfd) {
        bool abandoned = a->kind == ATTEMPT_JOB && !a->job;
        int r;

        if (a->phase != ATTEMPT_ORDERED || (abandoned && !a->untrusted)) {
                close_fd(pidfd); /* it finds no token, and ends by itself */
                return;
        }
        if (a->untrusted) {
                r = attempt_trust(a, pid, start_time, &pidfd);
                if (r != 0) {
                        close_fd(pidfd);
                        attempt_distrust(a, pid, r);
                        return;
                }
        }

        attempt_confirm(a, pid);
        a->start_time = start_time;
        a->pidfd = pidfd;
        a->phase = ATTEMPT_RUNNING;
        if (a->job)
                attempt_begin_job(a);
        else if (a->kind == ATTEMPT_SPARE)
                spare_started(a);
        if (!a->job && (abandoned || a->pending_signals))
                attempt_kill(a);
        if (a->kind == ATTEMPT_HOST && a->host)
                host_started(a->host, pid, pidfd);
}

/* ---- signals */

int attempt_signal(Attempt *a, int signal) {
        if (a->phase == ATTEMPT_ENDED)
                return -ESRCH;
        if (a->pid <= 0) {
                a->pending_signals |= UINT64_C(1) << (signal - 1);
                return 0;
        }
        if (a->untrusted)
                return a->cgroup ? cgroup_signal(a->cgroup, signal)
                                 : process_signal(a->pidfd, signal);
        /* by number, as the group's: its leader cannot be reaped before we acknowledge it; one that
         * has just been forked may have none yet */
        if (kill(-a->pid, signal) == 0 || (errno == ESRCH && kill(a->pid, signal) == 0))
                return 0;
        return -errno;
}

int attempt_freeze(Attempt *a, bool freeze) {
        int r;

        /* a frozen child that has not exec()ed yet would hold its forkserver up: attempt_started()
         * comes back here */
        if (a->phase == ATTEMPT_ORDERED) {
                a->paused = freeze;
                return 0;
        }

        r = a->cgroup ? cgroup_freeze(a->cgroup, freeze)
                      : attempt_signal(a, freeze ? SIGSTOP : SIGCONT);
        if (r >= 0)
                a->paused = freeze;
        return r;
}

static int on_stuck(sd_event_source *source, uint64_t usec, void *userdata) {
        Attempt *a = userdata;
        struct pollfd p = { .fd = a->pidfd, .events = POLLIN };
        char text[96];

        (void)source;
        (void)usec;
        if (poll(&p, 1, 0) > 0) {
                log_about(LOG_WARNING, 0, attempt_about(a, NULL),
                          "%s: it has ended, and its forkserver does not say so",
                          attempt_text(a, text));
                attempt_lost(a, "its forkserver did not say how it ended");
                return 0;
        }
        log_about(
                LOG_WARNING, 0, attempt_about(a, LOG_EVENT_JOB_UNKILLABLE),
                "%s: it was killed and is still there (pid %d, 0: not yet known); its slot stays taken",
                attempt_text(a, text), a->pid);
        attempt_kill(a);
        return 0;
}

void attempt_kill(Attempt *a) {
        char text[96];

        if (a->phase == ATTEMPT_ENDED)
                return;
        if (a->job && a->phase != ATTEMPT_ORDERED && a->job->state != JOB_STOPPING)
                job_set_state(a->job, JOB_STOPPING);

        if (a->cgroup) {
                int r = cgroup_kill(a->cgroup);

                if (r < 0)
                        log_about(LOG_WARNING, r, attempt_about(a, NULL),
                                  "%s: cannot kill its cgroup", attempt_text(a, text));
                /* which a newborn may not have entered yet */
                if (a->pidfd >= 0)
                        (void)process_signal(a->pidfd, SIGKILL);
        } else if (a->pid > 0)
                left_behind_kill(a);
        else
                a->pending_signals |= UINT64_C(1) << (SIGKILL - 1);

        if (a->phase != ATTEMPT_ORDERED)
                a->phase = ATTEMPT_KILLED;
        else if (a->kind == ATTEMPT_HOST)
                (void)attempt_take_token(a); /* then it does not even begin */
        (void)attempt_set_timer(a, STUCK_USEC, on_stuck);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        attempt_kill(userdata);
        return 0;
}

bool attempt_take_token(Attempt *a) {
        uint64_t one;

        return a->token >= 0 && read(a->token, &one, sizeof(one)) == sizeof(one);
}

void attempt_stop(Attempt *a, uint64_t grace_usec) {
        if (a->phase == ATTEMPT_ORDERED) {
                Job *job = a->job;

                if (attempt_take_token(a)) {
                        attempt_detach(a);
                        /* end-of-file is what a worker that waits for its job ends at */
                        a->channel_source = sd_event_source_disable_unref(a->channel_source);
                        close_fdp(&a->channel);
                        job_finish_unstarted(job, job->stop.result, job->stop.note);
                }
                /* Else it has just begun to run: attempt_started() comes back here, or its end
                 * comes first. Either way it may hang in its start, as in an open() or exec() on a
                 * dead file system, and hold its forkserver up: then its cgroup, which it was born
                 * in, is killed. */
                if (a->cgroup && attempt_set_timer(a, grace_usec, on_grace_over) < 0)
                        attempt_kill(a);
                return;
        }
        if (a->phase != ATTEMPT_RUNNING)
                return;

        if (a->job)
                job_set_state(a->job, JOB_STOPPING);
        if (a->paused)
                (void)attempt_freeze(a, false);
        a->phase = ATTEMPT_TERMINATED;
        (void)attempt_signal(a, SIGTERM);
        (void)attempt_signal(a, SIGCONT);
        if (grace_usec == 0 || attempt_set_timer(a, grace_usec, on_grace_over) < 0)
                attempt_kill(a);
}

void attempt_order_again(Attempt *a) {
        Job *job = a->job;

        if (a->phase != ATTEMPT_ORDERED || (!job && !a->host) || !attempt_take_token(a))
                return;
        if (a->host) {
                host_failed(steal(a->host), "fork", EAGAIN, "its start was held up by another one");
                return;
        }
        attempt_detach(a); /* it stays until its forkserver says that it found no token */
        job->attempt--;
        queue_return(job->daemon->queue, job, 0);
}

void attempt_give_up(Attempt *a) {
        if (a->phase != ATTEMPT_ORDERED || !a->cgroup || (!a->job && !a->host))
                return;
        if (a->job)
                job_stop(a->job, RESULT_SETUP_FAILED, NULL, NULL);
        attempt_kill(a);
}

/* ---- the end */

/* It has said itself that it could not begin. */
static bool worker_failed(const Attempt *a, const AttemptEnd *end) {
        return a->failure.stage && !a->answered && end->code == CLD_EXITED &&
               end->status == SETUP_STATUS;
}

static Result end_result(const Attempt *a, const AttemptEnd *end) {
        const Job *job = a->job;
        bool entry = job->spec->entry;

        if (job->stop.wanted)
                return job->stop.result;
        if (entry && a->answered && a->raised_code)
                return RESULT_ERROR;
        if (worker_failed(a, end))
                return streq(a->failure.stage, "preload") ? RESULT_SERVER_FAILED
                                                          : RESULT_SETUP_FAILED;

        switch (end->code) {
        case CLD_EXITED:
                return end->status == 0 && (!entry || a->answered) ? RESULT_SUCCESS : RESULT_EXIT;
        case CLD_KILLED:
                return end->status == SIGKILL && a->cgroup && cgroup_oom_kills(a->cgroup) > 0
                               ? RESULT_OOM
                               : RESULT_SIGNAL;
        case CLD_DUMPED:
                return RESULT_CORE_DUMP;
        default:
                return RESULT_LOST;
        }
}

static Certificate *end_certificate(Attempt *a, const AttemptEnd *end, unsigned left_behind) {
        const Job *job = a->job;
        Certificate *c = job_certificate_new(job, end_result(a, end));

        c->ran = true;
        c->answered = a->answered;
        if (end->code == CLD_EXITED)
                c->status = end->status;
        else if (end->code != 0)
                c->signal = end->status;
        c->has_usage = end->has_usage;
        c->user_usec = end->user_usec;
        c->system_usec = end->system_usec;
        c->left_behind = left_behind;
        if (worker_failed(a, end) && !job->stop.wanted) {
                c->ran = false;
                c->status = -1;
                c->text = steal(a->failure.text);
                if (c->result == RESULT_SETUP_FAILED) {
                        c->stage = steal(a->failure.stage);
                        c->error = a->failure.error;
                }
                return c;
        }
        if (c->result == RESULT_LOST && end->note)
                c->text = strdup(end->note);
        else if (job->stop.wanted && job->stop.note)
                c->text = strdup(job->stop.note);
        if (c->result == RESULT_SETUP_FAILED) { /* attempt_give_up() */
                c->stage = strdup("exec");
                c->error = ETIMEDOUT;
                c->text = job->spec->command ? strdup(job->spec->command[0]) : NULL;
        } else if (c->result == RESULT_ERROR) {
                c->code = steal(a->raised_code);
                c->text = steal(a->raised_text);
        } else if (c->result == RESULT_SUCCESS) {
                c->value = steal(a->value);
                c->value_length = a->value_length;
        }
        if (a->cgroup)
                (void)cgroup_memory_peak(a->cgroup, &c->memory_peak);
        return c;
}

/* A spare that ended before it had taken the job over has not run it. */
static bool start_again(Attempt *a) {
        Job *job = a->job;

        if (!a->adopted || job->stop.wanted || !attempt_take_token(a))
                return false;
        attempt_detach(a);
        job->attempt--;
        job->ran = false;
        job->start_refusals++; /* it gets no spare again */
        queue_return(job->daemon->queue, job, 0);
        return true;
}

/* Whoever it was for gets to know. */
static void attempt_tell_end(Attempt *a, const AttemptEnd *end, unsigned left_behind) {
        Job *job = a->job;

        if (a->host)
                host_ended(steal(a->host), end);
        else if (job && !start_again(a)) {
                Certificate *c = end_certificate(a, end, left_behind);

                attempt_detach(a);
                job_finish(job, c);
        }
}

void attempt_exited(Attempt *a, const AttemptEnd *end) {
        bool killed = a->phase == ATTEMPT_KILLED;
        unsigned left;

        if (a->phase == ATTEMPT_ENDED) {
                /* reported once more, by the keeper: its forkserver died before we acknowledged */
                attempt_conclude(a);
                return;
        }

        (void)answer_read(a, UINT_MAX); /* its answer may stand behind much progress */
        /* of an untrusted one only what we have seen ourselves */
        attempt_confirm(a, a->untrusted ? a->pid : end->pid);
        if (a->kind == ATTEMPT_SPARE)
                spare_ended(a);
        a->phase = ATTEMPT_ENDED;
        a->timer = sd_event_source_disable_unref(a->timer);
        a->pidfd_source = sd_event_source_disable_unref(a->pidfd_source);
        if (a->slot >= 0) {
                running_table_clear(a->daemon->table, a->slot);
                a->slot = -1;
        }

        left = left_behind_count(a);
        attempt_tell_end(a, end, killed ? 0 : left);
        if (left == 0 || left_behind_end(a, killed, attempt_conclude) < 0)
                attempt_conclude(a);
}

void attempt_conclude(Attempt *a) {
        Daemon *d = a->daemon;

        if (a->cgroup_source || a->timer)
                return; /* what it left behind is still being ended, and comes here after that */

        if (a->server)
                server_acknowledge(a->server, a);
        else if (d->keeper && a->pid > 0)
                keeper_link_acknowledge(d->keeper, a->pid);
        attempt_free(a);
        daemon_check_drained(d);
}

static bool fork_again_later(Attempt *a, const char *stage, int error) {
        Job *job = a->job;

        if (!streq(stage, "fork") || (error != EAGAIN && error != ENOMEM && error != EMFILE) ||
            job->stop.wanted)
                return false;
        attempt_detach(a);
        if (!queue_retry(job->daemon->queue, job)) {
                attempt_attach(a, job);
                return false;
        }
        job->attempt--; /* it never ran */
        return true;
}

static void job_setup_failed(Job *job, Attempt *a, const char *stage, int error, const char *text) {
        Certificate *c =
                job_certificate_new(job, job->stop.wanted ? job->stop.result : RESULT_SETUP_FAILED);

        if (c->result == RESULT_SETUP_FAILED) {
                c->stage = strndup(stage, (size_t)text_cut(stage, FAILURE_STAGE_MAX));
                c->error = error;
                c->text = text ? strndup(text, (size_t)text_cut(text, FAILURE_TEXT_MAX)) : NULL;
        }
        attempt_detach(a);
        job_finish(job, c);
}

void attempt_failed(Attempt *a, const char *stage, int error, const char *text) {
        Daemon *d = a->daemon;

        if (a->kind == ATTEMPT_SPARE)
                spare_ended(a);
        else if (a->host)
                host_failed(steal(a->host), stage, error, text);
        else if (a->job && !fork_again_later(a, stage, error))
                job_setup_failed(a->job, a, stage, error, text);

        attempt_free(a);
        daemon_check_drained(d);
}
