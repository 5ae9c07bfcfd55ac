/* SPDX-License-Identifier: Apache-2.0 */

/* Spares: workers that wait for a job, forked one by one when nothing else is to do. Each is an
 * attempt in its forkserver's list, which owns it; those that are ready stand in a second list. In
 * forkd. */

#include "spare.h"

#include "answer.h"
#include "attempt-private.h"
#include "daemon.h"
#include "log.h"
#include "order.h"
#include "server-private.h"

#include <utlist.h>

#define REFILL_USEC      (2 * USEC_PER_MSEC)   /* after the last job that may have wanted one … */
#define REFILL_LATE_USEC (10 * USEC_PER_MSEC)  /* … but no later than this after the first */
#define YOUNG_USEC       USEC_PER_SEC          /* one that dies sooner is no use to try again */
#define END_USEC         (2 * USEC_PER_SEC)    /* with its channel closed; then it is killed */
#define RETRY_MIN_USEC   (100 * USEC_PER_MSEC) /* after the first such death, then doubled */
#define RETRY_MAX_USEC   (10 * USEC_PER_SEC)

static int on_refill(sd_event_source *source, uint64_t usec, void *userdata);

static bool spare_missing(const Server *s) {
        const ServerSet *set = s->daemon->servers;

        return s->state == SERVER_READY && s->channel >= 0 && s->n_spares < s->spare_wanted &&
               s->n_unwanted < SERVER_UNWANTED_MAX && !s->daemon->draining && set && !set->stopping;
}

static void arm(Server *s, uint64_t delay) {
        uint64_t at = now_usec(CLOCK_MONOTONIC) + delay;
        int r;

        if (at < s->spare_not_before)
                at = s->spare_not_before;
        if (!s->spare_timer) {
                r = sd_event_add_time(s->daemon->event, &s->spare_timer, CLOCK_MONOTONIC, at, 1,
                                      on_refill, s);
                if (r < 0) {
                        log_about(LOG_WARNING, r, LOG_SERVER(server_label(s)), "%s: no spares",
                                  server_label(s));
                        return;
                }
                (void)sd_event_source_set_priority(s->spare_timer, PRIORITY_TIDY);
                return;
        }
        (void)sd_event_source_set_time(s->spare_timer, at);
        (void)sd_event_source_set_enabled(s->spare_timer, SD_EVENT_ONESHOT);
}

/* A job has come: what it needs goes first. */
static void postpone(Server *s) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (!spare_missing(s))
                return;
        if (s->spare_due == 0)
                s->spare_due = now + REFILL_LATE_USEC;
        arm(s, now + REFILL_USEC < s->spare_due ? REFILL_USEC
               : s->spare_due > now             ? s->spare_due - now
                                                : 0);
}

static void died_young(Server *s) {
        uint64_t delay = RETRY_MIN_USEC;

        for (unsigned i = 0; i < s->spare_failures && delay < RETRY_MAX_USEC; i++)
                delay *= 2;
        s->spare_failures++;
        s->spare_not_before =
                now_usec(CLOCK_MONOTONIC) + (delay < RETRY_MAX_USEC ? delay : RETRY_MAX_USEC);
}

static int spare_order(Server *s) {
        _cleanup_(order_donep) Order order = ORDER_NULL;
        _cleanup_(close_fdp) int worker_end = -1;
        Attempt *a;
        int r;

        r = attempt_new(&a, s->daemon, ATTEMPT_SPARE, NULL, ++s->spare_number);
        if (r < 0)
                return r;
        a->untrusted = !server_trusted(s);
        r = answer_open(a, &worker_end);
        if (r >= 0)
                r = order_write_fork(&order, a, s, NULL, worker_end);
        if (r >= 0)
                r = server_send(s, order.text.text, order.text.length, order.fds, order.n_fds);
        if (r < 0) {
                attempt_free(a);
                return r;
        }
        a->counted = true;
        s->n_spares++;
        server_add_attempt(s, a);
        return 0;
}

/* Who has given its end of a pipe to a job is to see the end of that when the job closes it: what
 * was kept for a fresh worker is closed as soon as it is known that none is needed. */
static void look_at_adopted(Server *s) {
        Attempt *a;

        s->spare_untaken = false;
        DL_FOREACH (s->attempts, a)
                if (a->adopted && a->job && !attempt_look_taken(a))
                        s->spare_untaken = true;
        if (s->spare_untaken)
                arm(s, REFILL_USEC);
}

/* One at a time: a job that comes meanwhile waits for one fork at most. */
static int on_refill(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;
        int r;

        (void)source;
        (void)usec;
        s->spare_due = 0;
        if (s->spare_untaken)
                look_at_adopted(s);
        if (!spare_missing(s) || s->spare_ordered)
                return 0; /* spare_started() comes back here */
        r = spare_order(s);
        if (r < 0) {
                log_about(LOG_WARNING, r, LOG_SERVER(server_label(s)), "%s: cannot order a spare",
                          server_label(s));
                died_young(s);
                arm(s, 0);
                return 0;
        }
        s->spare_ordered = true;
        return 0;
}

void spare_refill(Server *s) {
        while (s->spares && s->n_spares > s->spare_wanted)
                spare_end(s->spares);
        if (spare_missing(s))
                arm(s, REFILL_USEC);
}

Attempt *spare_take(Server *s) {
        Attempt *a = s->spares;

        if (a) {
                spare_forget(a);
                s->spare_failures = 0;
                s->spare_not_before = 0;
        }
        postpone(s);
        return a;
}

unsigned spare_count_ready(const Server *s) {
        unsigned n = 0;

        for (const Attempt *a = s->spares; a; a = a->spare_next)
                n++;
        return n;
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        attempt_kill(userdata);
        return 0;
}

/* It is to end by itself: nobody uses it any more. */
static void spare_leaves(Attempt *a) {
        spare_forget(a);
        server_count_unwanted(a);
        if (!a->timer && attempt_set_timer(a, END_USEC, on_late) < 0)
                attempt_kill(a);
}

void spare_adopted(Attempt *a) {
        Server *s = a->server;

        if (!s->spare_untaken && s->spare_due == 0)
                arm(s, REFILL_USEC);
        s->spare_untaken = true;
}

void spare_end(Attempt *a) {
        spare_leaves(a);
        a->channel_source = sd_event_source_disable_unref(a->channel_source);
        close_fdp(&a->channel);
}

void spare_end_all(Server *s) {
        Attempt *a, *next;

        DL_FOREACH_SAFE (s->attempts, a, next)
                if (a->kind == ATTEMPT_SPARE)
                        spare_end(a);
}

void spare_started(Attempt *a) {
        Server *s = a->server;

        s->spare_ordered = false;
        if (a->counted)
                DL_APPEND2(s->spares, a, spare_prev, spare_next);
        spare_refill(s); /* they may be too many by now, or too few */
}

void spare_ended(Attempt *a) {
        Server *s = a->server;

        if (!s)
                return;
        if (a->phase == ATTEMPT_ORDERED)
                s->spare_ordered = false;
        spare_spoiled(a);
        spare_refill(s);
}

void spare_spoiled(Attempt *a) {
        if (!a->counted || !a->server)
                return; /* it was told to end */
        if (now_usec(CLOCK_MONOTONIC) - a->ordered_at < YOUNG_USEC)
                died_young(a->server);
        spare_leaves(a);
}

void spare_forget(Attempt *a) {
        Server *s = a->server;

        if (!a->counted || !s)
                return;
        a->counted = false;
        s->n_spares--;
        if (a->spare_prev)
                DL_DELETE2(s->spares, a, spare_prev, spare_next);
        a->spare_prev = a->spare_next = NULL;
}
