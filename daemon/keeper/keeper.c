/* SPDX-License-Identifier: Apache-2.0 */

/* The keeper's main object: starts forkd, waits for its end, starts it again or ends. The Keeper
 * lives on keeper_run()'s stack and is all that the process has; one state, one table of moves, one
 * setter. */

#include "keeper-internal.h"
#include "log.h"

#include <assert.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>

/* Allowed moves: a bit for each next state. */
static const struct {
        const char *name;
        unsigned next;
} keep_states[_KEEP_STATE_MAX] = {
        [KEEP_NEW] = { "new", 1 << KEEP_STARTING | 1 << KEEP_WAITING },
        [KEEP_STARTING] = { "starting", 1 << KEEP_SERVING | 1 << KEEP_STOPPING | 1 << KEEP_WAITING |
                                                1 << KEEP_ENDING },
        [KEEP_SERVING] = { "serving", 1 << KEEP_STOPPING | 1 << KEEP_WAITING | 1 << KEEP_ENDING },
        [KEEP_STOPPING] = { "stopping", 1 << KEEP_ENDING },
        [KEEP_WAITING] = { "waiting", 1 << KEEP_STARTING | 1 << KEEP_WAITING | 1 << KEEP_ENDING },
        [KEEP_ENDING] = { "ending", 1 << KEEP_ENDED },
        [KEEP_ENDED] = { "ended", 0 },
};

const char *keep_state_name(KeepState state) {
        return keep_states[state].name;
}

bool keep_state_may(KeepState from, KeepState to) {
        return keep_states[from].next & 1U << to;
}

void keeper_set_state(Keeper *k, KeepState state) {
        assert(keep_state_may(k->state, state));
        log_debug("%s, was %s", keep_states[state].name, keep_states[k->state].name);
        k->state = state;
}

/* ---- the service manager */

static int on_notify_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Keeper *k = userdata;

        (void)fd;
        (void)events;
        notify_flush(k->notify);
        if (!notify_pending(k->notify))
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

void keeper_tell(Keeper *k, const char *before, const char *status) {
        if (status)
                notify_status(k->notify, before, status);
        else
                notify_send(k->notify, "%s", before);
        if (notify_pending(k->notify) && k->notify_source)
                sd_event_source_set_enabled(k->notify_source, SD_EVENT_ON);
}

int keeper_set_timer(Keeper *k, sd_event_source **source, uint64_t after_usec,
                     sd_event_time_handler_t handler) {
        int r;

        if (*source) {
                r = sd_event_source_set_time_relative(*source, after_usec);
                return r < 0 ? r : sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
        }
        r = sd_event_add_time_relative(k->event, source, CLOCK_MONOTONIC, after_usec, 1, handler,
                                       k);
        if (r < 0)
                return r;
        return sd_event_source_set_priority(*source, KEEPER_PRIORITY_TIMER);
}

/* ---- the end */

static void keeper_end_check(Keeper *k) {
        orphan_set_reap(k->orphans);
        if (orphan_set_count(k->orphans) > 0)
                return;
        keeper_set_state(k, KEEP_ENDED);
        sd_event_exit(k->event, k->exit_status);
}

static void keeper_end_scan(Keeper *k) {
        int r = orphan_set_scan(k->orphans, 0);

        if (r < 0)
                log_warning_errno(r, "cannot list orphans");
        orphan_set_signal(k->orphans, k->end_killed ? SIGKILL : SIGTERM);
        keeper_end_check(k);
}

static void keeper_end_kill(Keeper *k);

static int on_end_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Keeper *k = userdata;

        (void)source;
        (void)usec;
        if (!k->end_killed) {
                keeper_end_kill(k);
                return 0;
        }
        log_error("%zu processes cannot be killed, leaving them", orphan_set_count(k->orphans));
        keeper_set_state(k, KEEP_ENDED);
        return sd_event_exit(k->event, k->exit_status);
}

static void keeper_end_kill(Keeper *k) {
        if (k->end_killed)
                return;
        k->end_killed = true;
        if (keeper_set_timer(k, &k->end_timer, k->options->end_usec, on_end_timer) < 0)
                sd_event_exit(k->event, k->exit_status);
        keeper_end_scan(k);
}

/* forkd is gone for good. Its channels to forkservers go first, so that they end by themselves. */
static void keeper_end(Keeper *k, int status) {
        k->exit_status = status;
        keeper_set_state(k, KEEP_ENDING);
        keeper_watch_stop(k);
        if (k->restart_timer)
                sd_event_source_set_enabled(k->restart_timer, SD_EVENT_OFF);
        store_drop_all(k->store);
        if (keeper_set_timer(k, &k->end_timer, k->options->end_usec, on_end_timer) < 0)
                k->end_killed = true;
        keeper_end_scan(k);
}

/* ---- starting */

static void keeper_start(Keeper *k);

static int on_restart_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        keeper_start(userdata);
        return 0;
}

/* None, the first step, doubling up to the ceiling; ±20 % so that many hosts do not start as one.
 */
uint64_t keeper_backoff(Keeper *k) {
        uint64_t usec = k->options->backoff_first_usec;
        uint32_t random = 0;

        if (k->backoff_step++ == 0)
                return 0;
        for (unsigned i = 2; i < k->backoff_step && usec < k->options->backoff_max_usec; i++)
                usec *= 2;
        if (usec > k->options->backoff_max_usec)
                usec = k->options->backoff_max_usec;
        if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
                random = (uint32_t)now_usec(CLOCK_MONOTONIC);
        return usec - usec / 5 + usec * 2 / 5 * (random % 1024) / 1023;
}

static void keeper_wait(Keeper *k) {
        uint64_t usec = keeper_backoff(k);
        int r;

        keeper_set_state(k, KEEP_WAITING);
        log_notice("starting forkd again in %llu ms", (unsigned long long)(usec / USEC_PER_MSEC));
        r = keeper_set_timer(k, &k->restart_timer, usec, on_restart_timer);
        if (r >= 0)
                r = keeper_watch_start(k); /* the wait may be longer than the manager's patience */
        if (r < 0)
                sd_event_exit(k->event, r);
}

/* One end of forkd before it was ready; the last one ends the keeper with forkd's status. */
static void keeper_count_failure(Keeper *k, int status) {
        k->n_failures++;
        if (k->n_failures < k->options->failures_max && status != FORKD_EXIT_USAGE) {
                keeper_wait(k);
                return;
        }
        if (status == FORKD_EXIT_USAGE)
                log_about(LOG_ERR, 0, LOG_EVENT(FORKD_GIVEN_UP),
                          "forkd does not accept its options or its configuration, giving up");
        else
                log_about(LOG_ERR, 0, LOG_EVENT(FORKD_GIVEN_UP),
                          "forkd ended before it was ready, %u in a row, giving up", k->n_failures);
        keeper_tell(k, "", "forkd does not become ready");
        keeper_end(k, status);
}

static void keeper_start(Keeper *k) {
        int r;

        k->n_starts++;
        k->started_at = now_usec(CLOCK_MONOTONIC);
        r = forkd_process_start(&k->forkd, k->options->argv);
        if (r < 0) {
                log_error_errno(r, "cannot start forkd");
                if (k->state == KEEP_NEW)
                        keeper_set_state(k, KEEP_WAITING);
                keeper_count_failure(k, 125);
                return;
        }
        keeper_set_state(k, KEEP_STARTING);
        log_debug("forkd runs as process %d", (int)k->forkd.pid);

        r = keeper_talk_start(k);
        if (r >= 0)
                r = keeper_watch_start(k);
        if (r < 0)
                sd_event_exit(k->event, r);
}

/* ---- forkd's end */

static void keeper_log_end(const Keeper *k, int code, int status) {
        const char *when = k->state == KEEP_STARTING ? " before it was ready" : "";
        int priority = k->state == KEEP_STOPPING || (code == CLD_EXITED && status == 0) ? LOG_INFO
                                                                                        : LOG_ERR;

        if (code == CLD_EXITED)
                log_about(priority, 0, LOG_EVENT(FORKD_ENDED), "forkd exited with status %d%s",
                          status, when);
        else
                log_about(priority, 0, LOG_EVENT(FORKD_ENDED), "forkd was killed by SIG%s%s%s",
                          sigabbrev_np(status), code == CLD_DUMPED ? " (core dumped)" : "", when);
}

static void keeper_forkd_ended(Keeper *k, int code, int status) {
        int exit_status = code == CLD_EXITED ? status : 128 + status;

        keeper_talk_drain(k); /* what it said before, STOPPING above all */
        keeper_talk_stop(k);
        keeper_watch_stop(k);
        forkd_process_close(&k->forkd);
        keeper_log_end(k, code, status);

        if (k->state == KEEP_STOPPING && code == CLD_KILLED &&
            (status == SIGTERM || status == SIGINT))
                keeper_end(k, 0); /* told to stop before it served: what was wanted */
        else if (k->state == KEEP_STOPPING || exit_status == 0)
                keeper_end(k, exit_status);
        else if (k->state == KEEP_STARTING)
                keeper_count_failure(k, exit_status);
        else {
                if (now_usec(CLOCK_MONOTONIC) - k->ready_at >= k->options->settled_usec)
                        k->backoff_step = 0;
                keeper_tell(k, "", "forkd died, starting it again");
                keeper_wait(k);
        }
}

/* forkd first: whether it lives decides what an orphan's end means. */
static int on_child_signal(sd_event_source *source, const struct signalfd_siginfo *si,
                           void *userdata) {
        Keeper *k = userdata;
        int code, status, r;

        (void)source;
        (void)si;
        if (forkd_process_reap(&k->forkd, &code, &status))
                keeper_forkd_ended(k, code, status);
        if (k->state == KEEP_ENDING) {
                keeper_end_scan(k);
                return 0;
        }
        if (k->state == KEEP_ENDED)
                return 0;
        r = orphan_set_scan(k->orphans, k->forkd.pid);
        if (r < 0)
                log_warning_errno(r, "cannot list orphans");
        keeper_talk_flush(k);
        return 0;
}

/* ---- signals to us */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Keeper *k = userdata;
        int signal = (int)si->ssi_signo;

        (void)source;
        if (k->forkd.pid > 0) {
                if (signal != SIGHUP && k->state != KEEP_STOPPING) {
                        keeper_set_state(k, KEEP_STOPPING);
                        keeper_tell(k, "STOPPING=1\n", "stopping");
                } else if (signal != SIGHUP && !k->forkd_stops) {
                        k->signal_waits = signal;
                        return 0;
                }
                forkd_process_signal(&k->forkd, signal);
                return 0;
        }
        if (signal == SIGHUP) /* the next forkd reads its configuration anyway */
                return 0;
        if (k->state == KEEP_WAITING)
                keeper_end(k, 0);
        else if (k->state == KEEP_ENDING)
                keeper_end_kill(k);
        return 0;
}

int keeper_prepare(void) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGQUIT);
        sigaddset(&set, SIGCHLD);
        if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
                return -errno;
        /* inherited as ignored, it would reap our children and lose their ends */
        signal(SIGCHLD, SIG_DFL);
        signal(SIGPIPE, SIG_IGN);
        return prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0 ? -errno : 0;
}

/* ---- all of it */

static int keeper_add_signals(Keeper *k) {
        static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT };
        sd_event_source *source;
        int r;

        r = sd_event_add_signal(k->event, &source, SIGCHLD, on_child_signal, k);
        if (r < 0)
                return r;
        sd_event_source_set_priority(source, KEEPER_PRIORITY_CHILD);
        sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(k->event, NULL, signals[i], on_signal, k);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int keeper_add_notify(Keeper *k) {
        int r;

        if (notify_fd(k->notify) < 0)
                return 0;
        r = sd_event_add_io(k->event, &k->notify_source, notify_fd(k->notify), EPOLLOUT,
                            on_notify_io, k);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(k->notify_source, SD_EVENT_OFF);
}

static void keeper_done(Keeper *k) {
        keeper_talk_stop(k);
        forkd_process_close(&k->forkd);
        sd_event_source_disable_unref(k->notify_source);
        sd_event_source_disable_unref(k->restart_timer);
        sd_event_source_disable_unref(k->watch_timer);
        sd_event_source_disable_unref(k->abort_timer);
        sd_event_source_disable_unref(k->end_timer);
        orphan_set_free(k->orphans);
        sd_event_unref(k->event);
}

int keeper_run(const KeeperOptions *options, Notify *notify, Store *store) {
        _cleanup_(keeper_done) Keeper k = {
                .options = options,
                .notify = notify,
                .store = store,
                .forkd = FORKD_PROCESS_NULL,
        };
        int r;

        r = orphan_set_new(&k.orphans, options->ends_max);
        if (r < 0)
                return r;
        r = sd_event_new(&k.event);
        if (r >= 0)
                r = keeper_add_signals(&k);
        if (r >= 0)
                r = keeper_add_notify(&k);
        if (r < 0)
                return r;

        keeper_start(&k);
        return sd_event_loop(k.event);
}
