/* SPDX-License-Identifier: Apache-2.0 */

/* The queue: borrows jobs from the daemon's table, owned by the daemon. Starts happen in one place,
 * on_wake(), once a turn of the loop, after all that was submitted and all that ended in it. */

#include "queue.h"

#include "attempt.h"
#include "daemon.h"
#include "log.h"
#include "text.h"

#include <inttypes.h>
#include <utlist.h>

#define PRIORITIES       40                   /* -20 … 19 */
#define RETRY_USEC       (50 * USEC_PER_MSEC) /* after a refused start: doubled each time … */
#define RETRIES_DURABLE  10                   /* … so this lasts 51 s */
#define PAUSE_MAX_USEC   USEC_PER_SEC         /* … while others wait no longer than that */
#define RETRIES_ATTACHED 5                    /* … and this 1.5 s */

struct Queue {
        Daemon *daemon;
        Job *ready[PRIORITIES]; /* durable, first come first served */
        Job *attached;          /* waiting for a forkserver to be up, never for a slot */
        Job *parked;
        size_t n_ready;
        sd_event_source *wake, *later;
        uint64_t not_before; /* CLOCK_BOOTTIME: no starts before that, for lack of processes */
        bool recheck;        /* a job has ended that parked ones may wait for */
};

enum {
        START_WAITS = 1, /* no forkserver for it is up now: it stays queued */
        START_REFUSED,   /* for lack of processes or descriptors: queued again, nothing starts for a
                            while */
};

/* Whose forkserver is not up, found out in this turn: of the built-in ones by start method, of the
 * others by name. Their jobs hold up nobody else's. */
typedef struct Waits {
        bool methods[_START_METHOD_MAX];
        char servers[NAMED_MAX][SERVER_NAME_MAX + 1];
        size_t n_servers;
} Waits;

static bool waits_has(const Waits *w, const JobSpec *spec) {
        if (spec->start_method != START_METHOD_FORKSERVER)
                return w->methods[spec->start_method];
        for (size_t i = 0; i < w->n_servers; i++)
                if (streq_null(w->servers[i], spec->server))
                        return true;
        return false;
}

static void waits_add(Waits *w, const JobSpec *spec) {
        if (spec->start_method != START_METHOD_FORKSERVER)
                w->methods[spec->start_method] = true;
        else if (w->n_servers < NAMED_MAX)
                snprintf(w->servers[w->n_servers++], sizeof(w->servers[0]), "%s", spec->server);
}

/* Has on_wake() run at that time, or before. */
static void wake_at(Queue *q, uint64_t usec) {
        uint64_t armed = USEC_INFINITY;
        int enabled = SD_EVENT_OFF;

        (void)sd_event_source_get_enabled(q->later, &enabled);
        (void)sd_event_source_get_time(q->later, &armed);
        if (enabled != SD_EVENT_OFF && armed <= usec)
                return;
        (void)sd_event_source_set_time(q->later, usec);
        (void)sd_event_source_set_enabled(q->later, SD_EVENT_ONESHOT);
}

/* The forkserver may have been replaced by one of somebody else. */
static bool may_use_server(const Job *job, const NamedServer *n) {
        const Owner *o = &job->owner;
        const Peer peer = { .uid = o->uid, .gid = o->gid, .pid = o->pid };

        return named_permits(n, &peer);
}

/* Its forkserver may be another one since the job was accepted. False: the job has ended. */
static bool check_server(Job *job) {
        const NamedServer *n =
                job->spec->server ? named_find(job->daemon->named, job->spec->server) : NULL;
        char text[256];

        if (!n)
                return true;
        if (!may_use_server(job, n))
                snprintf(text, sizeof(text), "uid %u may not use the forkserver '%s' of today",
                         job->owner.uid, job->spec->server);
        else if (named_invalid(n) && job->spec->start_method == START_METHOD_SPAWN)
                text_format(text, sizeof(text),
                            "nothing is started by the configuration of the forkserver '%s': %s",
                            job->spec->server, named_invalid(n));
        else
                return true;
        queue_remove(job->daemon->queue, job);
        job_finish_unstarted(job, RESULT_SERVER_FAILED, text);
        return false;
}

static int start_job(Job *job) {
        Daemon *d = job->daemon;
        char text[256];
        Server *server;
        int r;

        if (now_usec(CLOCK_BOOTTIME) < job->not_before) {
                wake_at(d->queue, job->not_before);
                return 0;
        }
        if (!check_server(job))
                return 0;
        r = server_set_pick(d->servers, job->spec, &server);
        if (r == SERVER_E_WAIT)
                return START_WAITS;

        queue_remove(d->queue, job);
        if (r > 0) {
                server_set_pick_reason(d->servers, job->spec, text, sizeof(text));
                job_finish_unstarted(job, RESULT_SERVER_FAILED, text);
                return 0;
        }
        if (r == 0)
                r = attempt_start(job, server);
        if ((r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EAGAIN || r == -ETOOMANYREFS) &&
            queue_retry(d->queue, job))
                return START_REFUSED;
        if (r < 0) {
                log_about(LOG_WARNING, r, LOG_JOB(job->id),
                          "job %" PRIu64 ": cannot order its start", job->id);
                job_finish_unstarted(job, RESULT_SERVER_FAILED, strerror(-r));
        }
        return 0;
}

/* Starts what is in one list, in its order, while there are slots. Jobs whose forkserver is down
 * hold up only those of the same one. False when nothing more may start now. */
static bool start_list(Queue *q, Job **list, Waits *waits) {
        const Daemon *d = q->daemon;
        Job *job, *next;

        DL_FOREACH_SAFE (*list, job, next) {
                int r;

                if (!job->attached && d->n_durable_attempts >= d->config->max_running)
                        return false;
                if (waits_has(waits, job->spec))
                        continue;
                r = start_job(job);
                if (r == START_REFUSED)
                        return false;
                if (r == START_WAITS)
                        waits_add(waits, job->spec);
        }
        return true;
}

static int on_wake(sd_event_source *source, void *userdata) {
        Waits waits = { 0 };
        Queue *q = userdata;
        Daemon *d = q->daemon;

        (void)source;
        queue_recheck(q);
        daemon_trim_finished(d);
        if (now_usec(CLOCK_BOOTTIME) < q->not_before || !start_list(q, &q->attached, &waits) ||
            d->draining)
                return 0;
        for (size_t i = 0; i < PRIORITIES; i++)
                if (!start_list(q, &q->ready[i], &waits))
                        break;
        return 0;
}

static int on_later(sd_event_source *source, uint64_t usec, void *userdata) {
        Queue *q = userdata;

        (void)source;
        (void)usec;
        if (now_usec(CLOCK_BOOTTIME) < q->not_before)
                wake_at(q, q->not_before);
        else
                queue_wake(q);
        return 0;
}

int queue_new(Queue **ret, Daemon *daemon) {
        Queue *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        q->daemon = daemon;

        r = sd_event_add_defer(daemon->event, &q->wake, on_wake, q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->wake, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(q->wake, PRIORITY_QUEUE);
        if (r >= 0)
                r = sd_event_add_time(daemon->event, &q->later, CLOCK_BOOTTIME, 0, 1000, on_later,
                                      q);
        if (r >= 0)
                r = sd_event_source_set_enabled(q->later, SD_EVENT_OFF);
        if (r < 0) {
                queue_free(q);
                return r;
        }

        *ret = q;
        return 0;
}

Queue *queue_free(Queue *q) {
        if (!q)
                return NULL;
        sd_event_source_disable_unref(q->wake);
        sd_event_source_disable_unref(q->later);
        free(q);
        return NULL;
}

static Job **queue_list(Queue *q, const Job *job) {
        if (job->state == JOB_PARKED)
                return &q->parked;
        if (job->attached)
                return &q->attached;
        return &q->ready[job->spec->priority + 20];
}

void queue_add(Queue *q, Job *job) {
        job->list = queue_list(q, job);
        DL_APPEND(*job->list, job);
        q->n_ready += job->list != &q->parked && job->list != &q->attached;
}

void queue_remove(Queue *q, Job *job) {
        if (!job->list)
                return;
        q->n_ready -= job->list != &q->parked && job->list != &q->attached;
        DL_DELETE(*job->list, job);
        job->list = NULL;
}

size_t queue_length(const Queue *q) {
        return q->n_ready;
}

void queue_wake(Queue *q) {
        (void)sd_event_source_set_enabled(q->wake, SD_EVENT_ONESHOT);
}

static int on_queue_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Job *job = userdata;

        (void)source;
        (void)usec;
        queue_remove(job->daemon->queue, job);
        job_finish_unstarted(job, RESULT_QUEUE_TIMEOUT, NULL);
        return 0;
}

/* For what is left of its queue deadline, which counts from the first time. */
static int arm_deadline(Job *job) {
        uint64_t now = now_usec(CLOCK_BOOTTIME), timeout = job->spec->queue_timeout_usec;
        int r;

        job->timer = sd_event_source_disable_unref(job->timer);
        if (job->queue_deadline == 0)
                job->queue_deadline = timeout < USEC_INFINITY - now ? now + timeout : USEC_INFINITY;
        if (job->queue_deadline == USEC_INFINITY)
                return 0;

        r = sd_event_add_time(job->daemon->event, &job->timer, CLOCK_BOOTTIME, job->queue_deadline,
                              1000, on_queue_timeout, job);
        if (r >= 0)
                (void)sd_event_source_set_priority(job->timer, PRIORITY_TIMER);
        return r < 0 ? r : 0;
}

/* Now it waits for a slot only. */
static int queue_ready(Queue *q, Job *job) {
        int r = arm_deadline(job);

        if (r < 0)
                return r;
        queue_add(q, job);
        queue_wake(q);
        return 0;
}

typedef enum Dependency {
        DEPENDENCY_MET,
        DEPENDENCY_OPEN,
        DEPENDENCY_FAILED,
} Dependency;

static Dependency dependencies(const Job *job, uint64_t *ret_failed) {
        Dependency all = DEPENDENCY_MET;

        for (size_t i = 0; i < job->spec->n_after; i++) {
                const JobAfter *after = &job->spec->after[i];
                const Job *other = job_find(job->daemon, after->id);

                /* one that is gone was finished and forgotten: how it ended was looked at then */
                if (!other)
                        continue;
                if (other->state != JOB_FINISHED)
                        all = DEPENDENCY_OPEN;
                else if (after->on == AFTER_SUCCESS &&
                         other->certificate->result != RESULT_SUCCESS) {
                        *ret_failed = after->id;
                        return DEPENDENCY_FAILED;
                }
        }
        return all;
}

static int park_check(Queue *q, Job *job);

static int on_start_at(sd_event_source *source, uint64_t usec, void *userdata) {
        Job *job = userdata;

        (void)source;
        (void)usec;
        job->timer = sd_event_source_disable_unref(job->timer);
        if (park_check(job->daemon->queue, job) < 0)
                job_finish_unstarted(job, RESULT_LOST, "out of memory");
        return 0;
}

/* Moves a job to where it belongs by now: finished, parked, or queued. */
static int park_check(Queue *q, Job *job) {
        uint64_t failed = 0;
        Dependency d = dependencies(job, &failed);
        bool early = job->spec->start_at_usec > now_usec(CLOCK_REALTIME);

        if (d == DEPENDENCY_FAILED) {
                char text[64];

                snprintf(text, sizeof(text), "job %" PRIu64 ", which it waits for, has failed",
                         failed);
                queue_remove(q, job);
                job_finish_unstarted(job, RESULT_DEPENDENCY, text);
                return 0;
        }

        if (d == DEPENDENCY_OPEN || early) {
                int r;

                if (job->state != JOB_PARKED) {
                        job_set_state(job, JOB_PARKED);
                        queue_add(q, job);
                }
                if (job->timer || !early)
                        return 0;
                r = sd_event_add_time(q->daemon->event, &job->timer, CLOCK_REALTIME,
                                      job->spec->start_at_usec, 1000, on_start_at, job);
                return r < 0 ? r : 0;
        }

        queue_remove(q, job);
        job_set_state(job, JOB_QUEUED);
        return queue_ready(q, job);
}

int queue_accept(Queue *q, Job *job) {
        watch_job_changed(q->daemon->watch, job);
        if (!job->attached)
                return park_check(q, job);

        /* the fast path: nobody waits, so it need not wait for the end of this turn either */
        if (!q->attached && now_usec(CLOCK_BOOTTIME) >= q->not_before && start_job(job) == 0)
                return 0;
        return job->list ? 0 : queue_ready(q, job);
}

void queue_job_finished(Queue *q, const Job *job) {
        q->recheck |= !job->attached && q->parked;
}

/* Jobs may end here, and so end others that wait for them: later in the list, as they were
 * submitted later, or in the next round. Never by recursion: chains can be long. */
void queue_recheck(Queue *q) {
        Job *job, *next;

        while (q->recheck) {
                q->recheck = false;
                DL_FOREACH_SAFE (q->parked, job, next)
                        if (job->spec->n_after > 0 && job->attempt == 0 && park_check(q, job) < 0)
                                job_finish_unstarted(job, RESULT_LOST, "out of memory");
        }
}

void queue_end_attached(Queue *q, const char *note) {
        while (q->attached) {
                Job *job = q->attached;

                queue_remove(q, job);
                job_stop(job, RESULT_CANCELLED, NULL, note);
        }
}

bool queue_has_attached(const Queue *q) {
        return q->attached;
}

bool queue_retry(Queue *q, Job *job) {
        if (job->start_refusals >= (job->attached ? RETRIES_ATTACHED : RETRIES_DURABLE))
                return false;
        queue_return(q, job, RETRY_USEC << job->start_refusals++);
        return true;
}

void queue_return(Queue *q, Job *job, uint64_t delay_usec) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);
        Job *other;
        int r;

        job_set_state(job, JOB_QUEUED);
        r = arm_deadline(job);
        if (r < 0)
                log_about(LOG_WARNING, r, LOG_JOB(job->id),
                          "job %" PRIu64 ": ignoring its queue deadline", job->id);
        job->not_before = now + delay_usec;
        job->list = queue_list(q, job);
        /* several that come back keep their order */
        DL_FOREACH (*job->list, other)
                if (other->id > job->id)
                        break;
        DL_PREPEND_ELEM(*job->list, other, job);
        q->n_ready += !job->attached;

        if (delay_usec > 0) {
                q->not_before = now + (delay_usec < PAUSE_MAX_USEC ? delay_usec : PAUSE_MAX_USEC);
                wake_at(q, q->not_before);
        } else
                queue_wake(q);
}
