/* SPDX-License-Identifier: Apache-2.0 */

/* Draining and stopping: a part of the daemon, in forkd. A first TERM drains: no new work, what
 * runs may end until DrainTimeout=. Then, or at a second TERM, all that runs is told to end, and
 * soon killed; a third TERM kills. */

#include "drain.h"

#include "attempt.h"
#include "listener.h"
#include "log.h"
#include "server-private.h"

#include <utlist.h>

#define STOPPING "forkd is stopping" /* why a job is cancelled */

/* Jobs with an attempt. */
static size_t count_running(const Daemon *d) {
        return d->n_states[JOB_STARTING] + d->n_states[JOB_RUNNING] + d->n_states[JOB_PAUSED] +
               d->n_states[JOB_STOPPING];
}

int daemon_drain_text(const Daemon *d, char *ret, size_t size) {
        return snprintf(ret, size, "{\"running\":%zu,\"queued\":%zu}", count_running(d),
                        d->n_states[JOB_QUEUED] + d->n_states[JOB_PARKED]);
}

void daemon_drain(Daemon *d) {
        if (d->draining)
                return;
        d->draining = true;
        log_about(LOG_INFO, 0, LOG_EVENT(STOPPING), "draining: %zu jobs run", count_running(d));
        watch_event(d->watch, "draining", NULL, "no new work is taken, %zu jobs run",
                    count_running(d));
}

static void answer_drains(Daemon *d) {
        char text[96];
        int n = daemon_drain_text(d, text, sizeof(text));

        while (d->n_drain_calls > 0) {
                Call *call = d->drain_calls[--d->n_drain_calls];

                call_set_gone(call, NULL, NULL);
                (void)call_reply_text(call, text, (size_t)n, false);
        }
}

void daemon_check_drained(Daemon *d) {
        if (!d->draining || count_running(d) > 0)
                return;
        answer_drains(d);
        if (!d->stopping || d->n_attempts > 0 || queue_has_attached(d->queue))
                return;
        /* forkservers stay until the last job is done */
        named_set_stop(d->named);
        if (named_set_ended(d->named))
                (void)sd_event_exit(d->event, 0);
}

static void stop_jobs(Daemon *d, const char *note) {
        Job *job, *next;

        HASH_ITER (hh, d->jobs, job, next)
                if (job->running)
                        job_stop(job, RESULT_CANCELLED, NULL, note);
        queue_end_attached(d->queue, note);
}

static void kill_jobs(Daemon *d) {
        Server *s;
        Attempt *a, *next;

        DL_FOREACH (d->servers->servers, s)
                DL_FOREACH_SAFE (s->attempts, a, next)
                        attempt_kill(a);
        DL_FOREACH_SAFE (d->servers->orphans, a, next)
                attempt_kill(a);
}

#define KILL_AT_DEADLINE_USEC (5 * USEC_PER_SEC) /* after the deadline: whatever graceUSec says */
#define KILL_AT_ONCE_USEC     (500 * USEC_PER_MSEC) /* after a second TERM */

/* Ends what runs, kills what is left of it after a while. */
static void stop_or_kill(Daemon *d, uint64_t kill_usec) {
        if (d->stop_now)
                kill_jobs(d);
        else {
                d->stop_now = true;
                stop_jobs(d, STOPPING);
        }
        (void)sd_event_source_set_time(d->drain_timer, now_usec(CLOCK_MONOTONIC) + kill_usec);
        (void)sd_event_source_set_enabled(d->drain_timer, SD_EVENT_ONESHOT);
        daemon_check_drained(d);
}

static int on_drain_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *d = userdata;

        (void)source;
        (void)usec;
        if (!d->stop_now)
                log_about(LOG_NOTICE, 0, LOG_EVENT(DRAIN_OVER),
                          "the time to drain is over: ending %zu jobs", count_running(d));
        stop_or_kill(d, KILL_AT_DEADLINE_USEC);
        return 0;
}

void daemon_stop(Daemon *d) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), timeout = d->config->drain_timeout;
        size_t queued;

        if (d->stopping) {
                if (!d->stop_now)
                        log_notice("told to stop again: ending %zu jobs at once", count_running(d));
                stop_or_kill(d, KILL_AT_ONCE_USEC);
                return;
        }

        d->stopping = true;
        keeper_link_stopping(d->keeper);
        notify_link_send(d->notify, "STOPPING=1\nSTATUS=draining");
        daemon_drain(d);
        queue_end_attached(d->queue, STOPPING);
        queued = d->n_states[JOB_QUEUED] + d->n_states[JOB_PARKED];
        if (queued > 0)
                log_about(LOG_WARNING, 0, LOG_EVENT(QUEUE_LOST),
                          "%zu queued jobs are given up: the queue is in memory", queued);
        listener_drain(d);
        /* one at USEC_INFINITY never comes, and serves a second TERM */
        if (sd_event_add_time(d->event, &d->drain_timer, CLOCK_MONOTONIC,
                              timeout < USEC_INFINITY - now ? now + timeout : USEC_INFINITY, 0,
                              on_drain_over, d) < 0)
                stop_jobs(d, STOPPING);
        daemon_check_drained(d);
}

void drain_free_attempts(Daemon *d) {
        Server *s;
        Attempt *a, *next;

        if (!d->servers)
                return;
        DL_FOREACH (d->servers->servers, s)
                DL_FOREACH_SAFE (s->attempts, a, next)
                        attempt_free(a);
        DL_FOREACH_SAFE (d->servers->orphans, a, next)
                attempt_free(a);
}
