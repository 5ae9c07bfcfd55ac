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

/* verbs of lines that forkservers and workers say, and of those of clients */
#define WORLD_CHANNELS "smxjcprkSRguUAT"
#define WORLD_CLIENT   "wWohXd"

void world_open(World *w);
/* Checks what the daemon would tell, frees it, and looks for descriptors that are left. */
void world_close(World *w);
void world_turn(World *w);
void world_line(World *w, const char *line, size_t length);
/* Lines of the fuzzer's own. */
void world_lines(World *w, const char *const *lines);
/* Those lines of the input whose verbs are in this list; the rest is ignored. */
void world_input(World *w, const char *verbs, const uint8_t *data, size_t size);
