/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A daemon inside a fuzzer, whose forkservers, workers and clients are the input. No process is
 * started, looked at or signalled: what would do so is replaced here by --wrap (see meson.build).
 *
 * An input is lines. Each begins with a verb and a digit or letter that says whom it is about; the
 * letters up to the first blank are descriptors to attach (see world_descriptor()), or '+': the
 * loop is not turned after this line; what follows the blank is the text. */

#include "daemon.h"

#define WORLD_ENDS_MAX    32
#define WORLD_CLIENTS_MAX 4

typedef struct World {
        Daemon *daemon;
        int ends[WORLD_ENDS_MAX]; /* of channels, those that are not forkd's, as they were made: 0
                                     is the spawner's, -1 closed */
        size_t n_ends;
        int clients[WORLD_CLIENTS_MAX];
        unsigned waits; /* for timers, of which there may be few */
        unsigned n_fds_before;
} World;

/* s, m: a packet on that end, itself or in a memfd; x: closes the end; j: a job of that kind; c, p,
 * r, k: that job is cancelled, paused, resumed, signalled; S, A, R, g: the forkserver is stopped,
 * with its jobs, reloaded, started; u, U: hosts are another user's, or ours; T: a timer is waited
 * for */
#define WORLD_CHANNELS "smxjcprkSRguUAT"
/* w, W: that client writes, and a NUL after it; o: anew; h: half a close; X: closes; d: reads */
#define WORLD_CLIENT "wWohXd"

void world_open(World *w);
/* Checks what the daemon would tell, frees it, and looks for descriptors that are left. */
void world_close(World *w);
void world_turn(World *w);
void world_line(World *w, const char *line, size_t length);
/* Lines of the fuzzer's own. */
void world_lines(World *w, const char *const *lines);
/* Those lines of the input whose verbs are in this list; the rest is ignored. */
void world_input(World *w, const char *verbs, const uint8_t *data, size_t size);
