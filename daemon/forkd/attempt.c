/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts: owned by their job while it runs, then by themselves until everything of theirs is
 * gone; in forkd. Here is their life: ordered, running, told to end, ended, acknowledged. What an
 * entry answers is in answer.c, what becomes of them when their forkserver dies in orphan.c, what a
 * leader leaves behind in left-behind.c. */

#include "attempt-private.h"

#include "answer.h"
#include "daemon.h"
#include "left-behind.h"
#include "log.h"
#include "order.h"
#include "process-id.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#define DESCRIPTORS_SPARE 32 /* for what forkservers, the keeper and clients send us */
#define STUCK_USEC        (10 * USEC_PER_SEC) /* SIGKILLed and still there: said so, and tried again */

static void attempt_attach(Attempt *a, Job *job);

/* ---- the start */

static int attempt_new(Attempt **ret, Job *job) {
        Daemon *d = job->daemon;
        Attempt *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        a->daemon = d;
        a->job_id = job->id;
        a->number = job->attempt + 1;
        a->pidfd = a->channel = a->slot = -1;
        a->ordered_at = now_usec(CLOCK_MONOTONIC);
        a->token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        d->n_attempts++;
        /* numbers are given lowest first: a high one says that few are left, and reports with
         * descriptors would be lost */
        if (a->token < 0 || a->token >= d->descriptors_max - DESCRIPTORS_SPARE) {
                int r = a->token < 0 ? -errno : -EMFILE;

                attempt_free(a);
                return r;
        }
        if (d->cgroups) {
                int r = cgroup_new(d->cgroups, &a->cgroup);

                if (r < 0) {
                        attempt_free(a);
                        return r;
                }
        }

        *ret = a;
        return 0;
}

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
                cgroup_release(a->cgroup);
                daemon_want_tidy(a->daemon);
        }
        a->daemon->n_attempts--;
        free(a->value);
        free(a->raised_code);
        free(a->raised_text);
        free(a);
        return NULL;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
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

static int attempt_set_timer(Attempt *a, uint64_t usec, sd_event_time_handler_t handler) {
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

static int open_outputs(Job *job) {
        static const char *const suffixes[] = { "out", "err" };

        for (int i = 0; i < 2; i++) {
                StdioKind kind = job->spec->stdio[i + 1].kind;
                int r;

                if (job->attached || (kind != STDIO_DEFAULT && kind != STDIO_FILE) ||
                    job->outputs[i].fd >= 0)
                        continue;
                r = output_open(&job->outputs[i], state_dir_output_fd(job->daemon->state), job->id,
                                suffixes[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

int attempt_start(Job *job, Server *server) {
        _cleanup_(close_fdp) int worker_end = -1;
        Order order = ORDER_NULL;
        Attempt *a = NULL;
        int r;

        r = open_outputs(job);
        if (r < 0)
                return r;
        r = attempt_new(&a, job);
        if (r < 0)
                return r;
        if (job->spec->entry)
                r = answer_open(a, job, &worker_end);
        if (r >= 0)
                r = order_write(&order, job, a, worker_end);
        if (r >= 0)
                r = attempt_set_timer(a, job->spec->timeout_usec, on_timeout);
        if (r >= 0)
                r = server_send(server, order.text.text, order.text.length, order.fds, order.n_fds);
        order_done(&order);
        if (r < 0) {
                attempt_free(a);
                return r;
        }

        attempt_attach(a, job);
        job->attempt = a->number;
        job->timer = sd_event_source_disable_unref(job->timer);
        if (!job->attached)
                daemon_watch_output(job->daemon);
        server_add_attempt(server, a);
        job_set_state(job, JOB_STARTING);
        if (a->timer) /* made before, as that can fail; the deadline is of what the certificate
                         calls the start */
                (void)sd_event_source_set_time(
                        a->timer, deadline_after(job->started_boot, job->spec->timeout_usec));
        return 0;
}

void attempt_detach(Attempt *a) {
        Job *job = a->job;

        a->timer = sd_event_source_disable_unref(a->timer);
        if (!job)
                return;
        if (!job->attached)
                a->daemon->n_durable_attempts--;
        job->running = NULL;
        a->job = NULL;
}

static void attempt_attach(Attempt *a, Job *job) {
        a->job = job;
        job->running = a;
        if (!job->attached)
                a->daemon->n_durable_attempts++;
}

/* ---- it runs */

static void attempt_record(Attempt *a) {
        RunningSlot slot = {
                .job = a->job_id,
                .attempt = a->number,
                .pid = a->pid,
                .start_time = a->start_time,
                .uid = a->job ? a->job->owner.uid : 0,
                .class = a->job && !a->job->attached,
        };

        if (a->server)
                snprintf(slot.server, sizeof(slot.server), "%s", server_name(a->server));
        a->slot = running_table_put(a->daemon->table, &slot);
        if (a->slot < 0)
                log_warning("job %" PRIu64
                            ": the running table is full; a crash would lose its name",
                            a->job_id);
}

static void attempt_confirm(Attempt *a, pid_t pid) {
        a->pid = pid;
        close_fdp(&a->token);
        if (a->job)
                for (int i = 0; i < 3; i++)
                        close_fdp(&a->job->fds[i]);
}

void attempt_started(Attempt *a, pid_t pid, uint64_t start_time, int pidfd) {
        if (a->phase != ATTEMPT_ORDERED || !a->job) {
                close_fd(pidfd);
                return;
        }

        attempt_confirm(a, pid);
        a->start_time = start_time;
        a->pidfd = pidfd;
        a->phase = ATTEMPT_RUNNING;
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

/* ---- signals */

int attempt_signal(Attempt *a, int signal) {
        if (a->phase == ATTEMPT_ENDED)
                return -ESRCH;
        if (a->pid <= 0) {
                a->pending_signals |= UINT64_C(1) << (signal - 1);
                return 0;
        }
        /* by number, as the group's: its leader cannot be reaped before we acknowledge it */
        return kill(-a->pid, signal) < 0 ? -errno : 0;
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

        (void)source;
        (void)usec;
        log_warning(
                "job %" PRIu64
                ": it was killed and is still there (pid %d, 0: not yet known); its slot stays taken",
                a->job_id, a->pid);
        attempt_kill(a);
        return 0;
}

void attempt_kill(Attempt *a) {
        if (a->phase == ATTEMPT_ENDED)
                return;
        if (a->job && a->phase != ATTEMPT_ORDERED && a->job->state != JOB_STOPPING)
                job_set_state(a->job, JOB_STOPPING);

        if (a->cgroup) {
                int r = cgroup_kill(a->cgroup);

                if (r < 0)
                        log_warning_errno(r, "job %" PRIu64 ": cannot kill its cgroup", a->job_id);
        } else if (a->pid > 0)
                left_behind_kill_session(a->pid, SIGKILL);
        else
                a->pending_signals |= UINT64_C(1) << (SIGKILL - 1);

        if (a->phase != ATTEMPT_ORDERED)
                a->phase = ATTEMPT_KILLED;
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

        if (a->phase != ATTEMPT_ORDERED || !job || !attempt_take_token(a))
                return;
        attempt_detach(a); /* it stays until its forkserver says that it found no token */
        job->attempt--;
        queue_return(job->daemon->queue, job, 0);
}

void attempt_give_up(Attempt *a) {
        if (a->phase != ATTEMPT_ORDERED || !a->cgroup || !a->job)
                return;
        job_stop(a->job, RESULT_SETUP_FAILED, NULL, NULL);
        attempt_kill(a);
}

/* ---- the end */

static Result end_result(const Attempt *a, const AttemptEnd *end) {
        const Job *job = a->job;
        bool entry = job->spec->entry;

        if (job->stop.wanted)
                return job->stop.result;
        if (entry && a->answered && a->raised_code)
                return RESULT_ERROR;

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

void attempt_exited(Attempt *a, const AttemptEnd *end) {
        Job *job = a->job;
        bool killed = a->phase == ATTEMPT_KILLED;
        unsigned left;

        if (a->phase == ATTEMPT_ENDED) {
                /* reported once more, by the keeper: its forkserver died before we acknowledged */
                attempt_conclude(a);
                return;
        }

        answer_read(a, UINT_MAX); /* its answer may stand behind much progress */
        attempt_confirm(a, end->pid);
        a->phase = ATTEMPT_ENDED;
        a->timer = sd_event_source_disable_unref(a->timer);
        a->pidfd_source = sd_event_source_disable_unref(a->pidfd_source);
        if (a->slot >= 0) {
                running_table_clear(a->daemon->table, a->slot);
                a->slot = -1;
        }

        left = left_behind_count(a);
        if (job) {
                Certificate *c = end_certificate(a, end, killed ? 0 : left);

                attempt_detach(a);
                job_finish(job, c);
        }

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

void attempt_failed(Attempt *a, const char *stage, int error, const char *text) {
        Daemon *d = a->daemon;
        Job *job = a->job;
        Certificate *c;

        if (job && !fork_again_later(a, stage, error)) {
                c = job_certificate_new(job,
                                        job->stop.wanted ? job->stop.result : RESULT_SETUP_FAILED);
                if (c->result == RESULT_SETUP_FAILED) {
                        c->stage = strdup(stage);
                        c->error = error;
                        c->text = text ? strdup(text) : NULL;
                }
                attempt_detach(a);
                job_finish(job, c);
        }

        attempt_free(a);
        daemon_check_drained(d);
}
