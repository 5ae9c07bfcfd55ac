/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Named forkservers: each has settings, a generation that serves (a Server), maybe one that is
 * starting and some that drain. named.c has one forkserver's life, named-set.c which there are. */

#include "basic.h"
#include "json-text.h"
#include "server-settings.h"
#include "server.h"
#include "service.h"

#define NAMED_MAX 64 /* forkservers in all; a user other than root and forkd's has at most half */

typedef struct NamedServer NamedServer;
typedef struct NamedSet NamedSet;

typedef enum NamedState {
        NAMED_STOPPED,  /* Start=use before its first use, or stopped by request */
        NAMED_STARTING, /* its first generation is, or one after a failure */
        NAMED_READY,    /* one serves; the next may be starting */
        NAMED_FAILED,   /* reason says why; maybe it is started again after a while */
        NAMED_STOPPING, /* no new work; its last workers run */
        _NAMED_STATE_MAX,
} NamedState;

const char *named_state_to_string(NamedState state);
/* The table of moves; a test walks it. */
bool named_state_may_follow(NamedState from, NamedState to);

/* ---- the set, owned by the daemon */

/* Reads servers/ *.conf (no space) and starts those of Start=boot. */
int named_set_new(NamedSet **ret, Daemon *daemon);
NamedSet *named_set_free(NamedSet *set);
/* Reads the configuration again: new ones appear, changed ones get their next generation, those
 * whose file is gone stop. Warnings are appended to the daemon's config. */
void named_set_reload(NamedSet *set);
NamedServer *named_find(NamedSet *set, const char *name);
/* In the order of their names. next(NULL) is the first. */
NamedServer *named_next(NamedSet *set, const NamedServer *n);
/* Names, for error messages: "numbers, spell"; those that this peer may use. */
void named_names_text(NamedSet *set, const Peer *peer, char *ret, size_t size);
/* The daemon drains to its end: all stop. Its end is told by daemon_check_drained(). */
void named_set_stop(NamedSet *set);
bool named_set_ended(const NamedSet *set);

/* ---- one of them */

enum {
        NAMED_E_TAKEN = 1, /* another one has this name and has not failed */
        NAMED_E_LIMIT,     /* NAMED_MAX, or this user's half of it */
};

/* Takes settings over, success or not. */
int named_start(NamedSet *set, ServerSettings *settings, NamedServer **ret);
/* Starts one that is stopped or failed. */
int named_start_again(NamedServer *n);
/* The next generation. Both read settings from its file again. */
int named_reload(NamedServer *n);
/* kill: its jobs are ended, too. When its last process has ended, one that came by request is
 * freed, from the loop. */
void named_stop(NamedServer *n, bool kill);
void named_scale(NamedServer *n, unsigned spare);

/* The generation for a job: 0, SERVER_E_WAIT, SERVER_E_NO_ENTRY or SERVER_E_FAILED (it has failed,
 * or has been stopped: named_reason()). */
int named_look(const NamedServer *n, const char *entry, Server **ret);
/* The same for a job that is to start now: starts one of Start=use. */
int named_pick(NamedServer *n, const char *entry, Server **ret);
/* May this peer run its entries, and may it stop and reload it? */
bool named_permits(const NamedServer *n, const Peer *peer);
bool named_permits_control(const NamedServer *n, const Peer *peer);
const ServerSettings *named_settings(const NamedServer *n);
NamedState named_state(const NamedServer *n);
const char *named_reason(const NamedServer *n);
/* Why nothing may be started by its settings, as some line of its file is wrong; NULL: it may. */
const char *named_invalid(const NamedServer *n);
/* Entries as in Ready of the last generation that said them (borrowed), or NULL: not known yet. */
const json_t *named_entries(const NamedServer *n);
/* Calls back once: when what is starting serves (error NULL) or has failed; or when it is stopped
 * and its last process has ended. That may be at once. named_unwait() takes it back. */
typedef void (*NamedWait)(NamedServer *n, const char *error, void *userdata);
int named_wait_ready(NamedServer *n, NamedWait function, void *userdata);
int named_wait_stopped(NamedServer *n, NamedWait function, void *userdata);
void named_unwait(NamedSet *set, void *userdata);

/* Parts of the replies of org.forkd.servers. measure: with the memory of its process, which takes
 * milliseconds when that is large. */
void named_write(const NamedServer *n, JsonText *t, const char *key, bool measure);
/* Without its entries, its command and its reason where it is so long that not all would fit one
 * message: what a user has named his must not keep others from their reply. */
void named_write_listed(const NamedServer *n, JsonText *t);
void named_write_generations(const NamedServer *n, JsonText *t, const char *key);
/* As org.forkd.manager has it, with the same bound. */
void named_write_summary(const NamedServer *n, JsonText *t, const char *key);
void named_write_output(const NamedServer *n, JsonText *t, const char *key);
/* Walks its generations, newest first; next(NULL) is the first. */
Server *named_next_generation(const NamedServer *n, const Server *s);

/* What a generation tells: server.c and host.c call these. */
void named_generation_ready(NamedServer *n, Server *s);
/* Its start was refused for lack of processes: true when another one will be made. */
bool named_generation_unstarted(NamedServer *n, Server *s);
void named_generation_refused(NamedServer *n, Server *s, const char *reason);
void named_generation_gone(NamedServer *n, Server *s); /* s is freed by this when nothing is left */
