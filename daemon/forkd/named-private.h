/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by named.c, named-set.c, named-wait.c and named-write.c only. */

#include "host-log.h"
#include "named.h"

#include <systemd/sd-event.h>

typedef struct NamedWaiter NamedWaiter; /* named-wait.c */

struct NamedServer {
        NamedSet *set;                 /* borrowed */
        ServerSettings *settings;      /* owned; of what serves, or is to */
        ServerSettings *next_settings; /* owned; of the next generation while one serves, or NULL */
        char *invalid; /* owned; why these settings cannot be started, NULL: they can */
        NamedState state;
        char *reason; /* owned; why it has failed, or the last reload has; NULL: all is well */
        unsigned generation; /* the last one's number */
        unsigned starts;
        unsigned failures; /* in a row, before Ready */
        unsigned refusals; /* in a row, for lack of processes */
        unsigned deaths;   /* in a row, soon after Ready */
        bool retry;        /* is started again by itself */
        bool stopped;      /* by request: no use starts it */
        bool forget;       /* its file is gone */
        bool anew;         /* … and is there again: once it has stopped, it begins as it is now */
        Server *serving;   /* borrowed from the ServerSet, as the next */
        Server *starting;
        json_t *entries; /* owned; as the last Ready said */
        HostLines *lines;
        sd_event_source *start_timer; /* a start is due */
        uint64_t start_at;            /* CLOCK_REALTIME, while start_timer is set */
        sd_event_source *check;       /* has it stopped? */
        struct NamedWaiter {
                bool for_stop;
                bool due; /* to be called now */
                NamedWait function;
                void *userdata;
                NamedWaiter *prev, *next;
        } * waiters;              /* owned */
        NamedServer *prev, *next; /* in the set, by name */
};

struct NamedSet {
        Daemon *daemon; /* borrowed */
        NamedServer *servers;
        bool stopping;
};

/* Takes settings over, success or not; it is stopped. */
int named_new(NamedServer **ret, NamedSet *set, ServerSettings *settings);
/* Unlinks it; no generation of it may be left. */
NamedServer *named_free(NamedServer *n);
/* Says what could be read of servers/NAME.conf; takes both over. */
void named_take_settings(NamedServer *n, ServerSettings *settings, char *invalid);
/* Has a start due now. retry: another one follows a failure. */
void named_start_soon(NamedServer *n, bool retry);
/* In need of a start by hand: fails as if it had been tried. */
void named_fail(NamedServer *n, const char *reason);
void named_rest(NamedServer *n); /* failed for good: the next use starts it */
/* As its file says: it is started, has failed, or waits for its first use. */
void named_begin(NamedServer *n);
unsigned named_count_workers(const NamedServer *n);
/* It has, when no generation of it is left; it may be freed by this. */
void named_check_stopped(NamedServer *n);
/* Whoever is called may go on to ask for anything, but this forkserver stays. */
void named_answer(NamedServer *n, bool for_stop, const char *error);
