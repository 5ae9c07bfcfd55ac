/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by server*.c, named*.c, host.c and spare.c only. */

#include "server.h"

#include <jansson.h>
#include <systemd/sd-event.h>

typedef struct HostLog HostLog;
typedef struct NamedServer NamedServer;
typedef struct ServerOutput ServerOutput;

struct Server {
        Daemon *daemon; /* borrowed; NULL until server_attach() */
        ServerKind kind;
        ServerState state;
        char **argv; /* how to start (another) one */
        int channel; /* -1: gone */
        pid_t pid;
        int pidfd;
        unsigned epoch;            /* of our Hello */
        bool heard;                /* Running has come for this epoch */
        bool held;                 /* an order has waited too long: others are used meanwhile */
        unsigned starts, failures; /* failures: in a row, before Ready */
        uint64_t preload_usec;
        json_t *entries; /* as in Ready */
        char reason[512];
        Attempt *attempts;
        size_t n_attempts, n_unwanted;
        unsigned polled;      /* in this round of server_set_poll() */
        ServerOutput *output; /* what the channel did not take yet */
        sd_event_source *channel_source, *pidfd_source, *restart_timer, *answer_timer;
        Server *prev, *next;

        /* a generation of a named forkserver: SERVER_HOST */
        NamedServer *named; /* borrowed; NULL: built-in */
        char *name, *label; /* "spell", "spell#2" */
        unsigned generation;
        Attempt *host; /* its process: borrowed from its spawner's list; NULL: none any more */
        uid_t uid;
        HostLog *log;                /* what its processes write */
        uint64_t started_at;         /* CLOCK_REALTIME */
        uint64_t ready_at;           /* CLOCK_MONOTONIC; 0: never */
        json_t *early_ready;         /* has come before its pid is known; owned */
        sd_event_source *host_timer; /* PreloadTimeout=; later: how long its end may take */
        uint64_t preload_timeout;    /* µs */
        unsigned complaints;         /* logged about what it sends */
        unsigned host_kills;         /* how often its process had to be killed */
        bool refused; /* why it cannot serve stands in reason, whatever its process does now */
        bool over;    /* its forkserver knows that it serves no more */

        /* spare.c */
        unsigned spare_wanted;   /* how many */
        unsigned n_spares;       /* ordered and ready */
        unsigned spare_number;   /* the last one's */
        unsigned spare_failures; /* in a row, that died young */
        Attempt *spares;         /* those that are ready, oldest first */
        bool spare_ordered;      /* one is out, and not ready yet */
        uint64_t spare_due; /* CLOCK_MONOTONIC: the next is ordered then, whatever comes; 0: no */
        uint64_t spare_not_before; /* CLOCK_MONOTONIC: after young deaths */
        bool spare_untaken; /* former spares may still be about to take their tokens */
        sd_event_source *spare_timer;
};

struct ServerSet {
        Daemon *daemon;
        Server *servers;  /* spawners, the twin if there is one, generations of named ones */
        Attempt *orphans; /* attempts whose forkserver is gone */
        bool stopping;
        unsigned polls;
};

Server *server_new(ServerKind kind);
int server_spawn(Server *s);
int server_attach(Server *s, Daemon *daemon);
void server_gone(Server *s);
/* Kills and reaps it; keeps the reason. */
void server_end_process(Server *s);
bool server_read(Server *s, unsigned max);
/* Handles all that its channel holds, and its death. It may be freed. */
void server_look(Server *s);
void server_retire(Server *s);
void server_write(const Server *s, JsonText *t, const char *key);
int server_send_hello(Server *s);
/* What waited, now that there is room; or it is given up. */
void server_flush(Server *s);
void server_drop_output(Server *s);
/* Watches the channel and says Hello. */
int server_attach_channel(Server *s);
void server_become(Server *s, ServerState state); /* of a host: its forkserver tells watchers */
/* Arranges its next start, or its removal when it was retired. */
void server_restart(Server *s);
/* Makes sure that somebody looks whether the orders are answered. */
void server_watch_answers(Server *s);
void server_move_to_orphans(Server *s, Attempt *a);
