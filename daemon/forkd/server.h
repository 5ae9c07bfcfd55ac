/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A forkserver as forkd sees it: its process, its channel, its attempts. forkd-server(7) is the
 * protocol. */

#include "attempt.h"
#include "basic.h"
#include "json-text.h"

#include <sys/types.h>

#define SERVER_UNWANTED_MAX 128 /* then it gets no orders */

typedef struct ServerSet ServerSet;

typedef enum ServerKind {
        SERVER_SPAWNER,
        SERVER_TWIN,
        SERVER_HOST, /* a generation of a named forkserver: see named.h, host.h */
} ServerKind;

typedef enum ServerState {
        SERVER_STARTING,
        SERVER_READY,
        SERVER_FAILED,  /* will be started again after a while, reason says why it ended */
        SERVER_RETIRED, /* told to end when its last worker has */
        _SERVER_STATE_MAX,
} ServerState;

const char *server_state_to_string(ServerState state);

/* The twin, made by main() before there is an event loop: takes channel over; pid is our child.
 * argv is how to start another, NULL-terminated, taken over. */
Server *server_new_twin(int channel, pid_t pid, char **argv, uint64_t preload_usec);
Server *server_free(Server *s);

/* The set owns its servers; twin (NULL: none) is taken over in any case. Starts a spawner. */
int server_set_new(ServerSet **ret, Daemon *daemon, Server *twin);
ServerSet *server_set_free(ServerSet *set);

/* The keeper has died: orphans are watched by pidfd from now on. */
void server_set_keeper_gone(ServerSet *set);

enum {
        SERVER_E_WAIT = 1, /* none is up now; queue_wake() is called when one is */
        SERVER_E_NONE, /* no such thing: no modules are preloaded, no forkserver has this name */
        SERVER_E_NO_ENTRY, /* it does not have this entry */
        SERVER_E_FAILED,   /* it was started again and again and never got ready, or is stopped */
};

/* The forkserver for such a job, *ret set only with 0: the spawner for `spawn`, also of an entry;
 * the twin for `fork`; what serves of a named one for `forkserver`, which is started if need be. */
int server_set_pick(ServerSet *set, const JobSpec *spec, Server **ret);
/* Why it could not be picked, after any of the other outcomes but SERVER_E_WAIT: "the forkserver
 * 'spell' has failed: …". */
void server_set_pick_reason(ServerSet *set, const JobSpec *spec, char *ret, size_t size);
/* Waits, at most a second, until the twin has said which entries it has: it has preloaded by now,
 * and nobody is to be told wrong about them. */
void server_set_wait_twin(ServerSet *set);
/* Handles what its channels hold now: before an orphan's end is matched. */
void server_set_poll(ServerSet *set);
/* The attempt of this worker, whoever has it, or NULL; start_time 0 matches any. */
Attempt *server_set_find_worker(ServerSet *set, pid_t pid, uint64_t start_time);
/* The orphan in whose cgroup this process is and whose worker nobody has named yet, or NULL. */
Attempt *server_set_find_orphan_in_cgroup(ServerSet *set, pid_t pid);
void server_set_write(ServerSet *set, JsonText *t, const char *key);
/* Names of the twin's entries, for error messages: "check, suggest". */
void server_set_entries_text(ServerSet *set, char *ret, size_t size);
/* The loop is about to end: every forkserver ends as its channel is closed; waits for them,
 * bounded. */
void server_set_stop(ServerSet *set);
/* The loop has ended without their end: SIGKILL to what is left of hosts. */
void server_set_kill_hosts(ServerSet *set);

/* In order, never lost: what the channel does not take now is kept. fds are duplicated as needed.
 */
int server_send(Server *s, const char *text, size_t length, const int *fds, size_t n_fds);
void server_acknowledge(Server *s, const Attempt *a);
ServerKind server_kind(const Server *s);
/* "spawner", "twin", "spell"; and for log lines and titles: "spell#2". */
const char *server_name(const Server *s);
const char *server_label(const Server *s);
/* Which life of a named forkserver, from 1; 0: built-in. */
unsigned server_generation(const Server *s);
/* Its process; 0: none, or not known yet. */
pid_t server_pid(const Server *s);
/* As whom it and its workers run. */
uid_t server_uid(const Server *s);
/* It runs as we do. Else it is another user's code: what it says of processes is looked at twice.
 */
bool server_trusted(const Server *s);
void server_add_attempt(Server *s, Attempt *a);
/* Takes it from its server, or from the orphans. */
void server_remove_attempt(ServerSet *set, Attempt *a);
/* Its job, or its use as a spare, has ended before it: there may be SERVER_UNWANTED_MAX of these,
 * as a forkserver that does not answer keeps them for ever. Nothing to do for orphans. */
void server_count_unwanted(Attempt *a);
