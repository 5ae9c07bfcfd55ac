/* SPDX-License-Identifier: Apache-2.0 */

/* The keeper's watchdog. forkd says something at least three times per interval; a timer that ticks
 * four times per interval counts ticks without a word. Ticks are counted, and not time, so that a
 * machine or a container that was frozen as a whole finds one late tick and not a silent forkd. The
 * service manager hears from us only while forkd is alive, starts, or waits to be started. */

#include "keeper-internal.h"
#include "log.h"

#include <signal.h>

#define TICKS 4

static uint64_t watch_period(const Keeper *k) {
        uint64_t usec = k->options->watchdog_usec;

        if (usec == 0)
                usec = k->options->manager_watchdog_usec;
        return usec / TICKS > 0 ? usec / TICKS : 1;
}

static void watch_tell_manager(Keeper *k) {
        if (k->options->manager_watchdog_usec > 0)
                keeper_tell(k, "WATCHDOG=1", NULL);
}

static int on_abort_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Keeper *k = userdata;

        (void)source;
        (void)usec;
        log_error("forkd does not end by SIGABRT, killing it");
        forkd_process_signal(&k->forkd, SIGKILL);
        return 0;
}

static void watch_abort(Keeper *k) {
        forkd_process_signal(&k->forkd, SIGABRT);
        forkd_process_signal(&k->forkd, SIGCONT);
        if (keeper_set_timer(k, &k->abort_timer, k->options->abort_usec, on_abort_timer) < 0)
                forkd_process_signal(&k->forkd, SIGKILL);
}

static int on_watch_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Keeper *k = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        (void)source;
        (void)usec;
        if (k->state == KEEP_STARTING) {
                if (now - k->started_at >= k->options->start_usec) {
                        log_about(LOG_ERR, 0, LOG_EVENT(FORKD_SILENT),
                                  "forkd was not ready after %llu ms, aborting it",
                                  (unsigned long long)(k->options->start_usec / USEC_PER_MSEC));
                        watch_abort(k);
                        return 0;
                }
                watch_tell_manager(k);
        } else if (k->state == KEEP_WAITING || k->options->watchdog_usec == 0)
                watch_tell_manager(k);
        else if (++k->n_silent > TICKS) {
                log_about(LOG_ERR, 0, LOG_EVENT(FORKD_SILENT),
                          "forkd was silent for %llu ms, aborting it",
                          (unsigned long long)(k->options->watchdog_usec / USEC_PER_MSEC));
                watch_abort(k);
                return 0;
        }
        return keeper_set_timer(k, &k->watch_timer, watch_period(k), on_watch_timer);
}

int keeper_watch_start(Keeper *k) {
        k->n_silent = 0;
        if (k->options->watchdog_usec == 0 && k->options->manager_watchdog_usec == 0)
                return 0;
        return keeper_set_timer(k, &k->watch_timer, watch_period(k), on_watch_timer);
}

void keeper_watch_heard(Keeper *k, bool alive) {
        k->n_silent = 0;
        if (alive)
                watch_tell_manager(k);
}

void keeper_watch_stop(Keeper *k) {
        if (k->watch_timer)
                sd_event_source_set_enabled(k->watch_timer, SD_EVENT_OFF);
        if (k->abort_timer)
                sd_event_source_set_enabled(k->abort_timer, SD_EVENT_OFF);
}
