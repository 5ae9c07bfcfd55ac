/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper's struct, for keeper.c (life and death of forkd), talk.c (the channel) and watch.c
 * (the watchdog) only. */

#include "forkd-process.h"
#include "keeper-channel.h"
#include "keeper.h"
#include "orphan.h"

#include <systemd/sd-event.h>

typedef enum KeepState {
        KEEP_NEW,
        KEEP_STARTING, /* forkd runs and is not ready */
        KEEP_SERVING,
        KEEP_STOPPING, /* forkd was told to stop, or says that it stops */
        KEEP_WAITING,  /* no forkd: the next start is due at restart_timer */
        KEEP_ENDING,   /* no forkd any more: the orphans are ended */
        KEEP_ENDED,
        _KEEP_STATE_MAX,
} KeepState;

/* What of a handing over comes next. */
typedef enum HandOver {
        HAND_OVER_HELLO,
        HAND_OVER_STORED,
        HAND_OVER_ORPHANS,
        HAND_OVER_DONE, /* BEGIN was sent: only news from now on */
} HandOver;

typedef struct Keeper {
        const KeeperOptions *options;
        Notify *notify;
        Store *store;
        OrphanSet *orphans;
        sd_event *event;
        KeepState state;

        ForkdProcess forkd;
        bool forkd_stops; /* it has said so: it has taken the first signal to stop */
        int signal_waits; /* the next one, passed on after that: signals of one kind merge on their
                             way */
        unsigned n_starts;
        unsigned n_failures; /* ends before readiness, in a row */
        unsigned backoff_step;
        uint64_t started_at, ready_at; /* CLOCK_MONOTONIC */
        sd_event_source *restart_timer;

        HandOver hand_over;
        sd_event_source *channel_source;
        sd_event_source *notify_source; /* writable; on only while something is pending */

        sd_event_source *watch_timer;
        sd_event_source *abort_timer;
        unsigned n_silent; /* ticks of watch_timer without a record of forkd */

        sd_event_source *end_timer;
        bool end_killed;
        int exit_status;
} Keeper;

/* A result outranks an end, an end outranks its timer: what forkd said before it died is heard, and
 * what is late is not called silent. */
enum {
        KEEPER_PRIORITY_CHANNEL = SD_EVENT_PRIORITY_NORMAL - 20,
        KEEPER_PRIORITY_CHILD = SD_EVENT_PRIORITY_NORMAL - 10,
        KEEPER_PRIORITY_SIGNAL = SD_EVENT_PRIORITY_NORMAL,
        KEEPER_PRIORITY_TIMER = SD_EVENT_PRIORITY_NORMAL + 10,
};

/* keeper.c */
const char *keep_state_name(KeepState state);
bool keep_state_may(KeepState from, KeepState to);
void keeper_set_state(Keeper *k, KeepState state);
/* Tells the service manager; before: further lines, or "". */
void keeper_tell(Keeper *k, const char *before, const char *status);
/* A one-shot timer, made or set again. */
int keeper_set_timer(Keeper *k, sd_event_source **source, uint64_t after_usec,
                     sd_event_time_handler_t handler);

/* How long the next start has to wait; counts. */
uint64_t keeper_backoff(Keeper *k);

/* talk.c */
int keeper_talk_start(Keeper *k);  /* a fresh forkd: the handing over begins */
void keeper_talk_flush(Keeper *k); /* sends what there is and what fits */
void keeper_talk_drain(Keeper *k); /* reads what a dead forkd has left */
void keeper_talk_stop(Keeper *k);

/* watch.c */
int keeper_watch_start(Keeper *k);              /* forkd starts, or a start is waited for */
void keeper_watch_heard(Keeper *k, bool alive); /* forkd has said something; alive: KEEPER_ALIVE */
void keeper_watch_stop(Keeper *k);
