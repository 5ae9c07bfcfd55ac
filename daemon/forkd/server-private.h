/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by server.c and server-set.c only. */

#include "server.h"

#include <jansson.h>
#include <systemd/sd-event.h>

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
        char reason[128];
        Attempt *attempts;
        size_t n_attempts;
        ServerOutput *output; /* what the channel did not take yet */
        sd_event_source *channel_source, *pidfd_source, *restart_timer, *answer_timer;
        Server *prev, *next;
};

struct ServerSet {
        Daemon *daemon;
        Server *servers;  /* spawners, and the twin if there is one */
        Attempt *orphans; /* attempts whose forkserver is gone */
        bool stopping;
};

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
/* Arranges its next start, or its removal when it was retired. */
void server_restart(Server *s);
/* Makes sure that somebody looks whether the orders are answered. */
void server_watch_answers(Server *s);
void server_move_to_orphans(Server *s, Attempt *a);
