/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The forkserver's side of forkd-server(7): receives orders on the channel, forks workers, peeks,
 * reports, reaps. The spawner, the twin and (later) every named forkserver run this same code. It
 * brings no event loop library, as it also runs inside other people's programs. */

#include "basic.h"
#include "module.h"

typedef struct ServeOptions {
        const char *name;         /* "spawner", "twin", … for Ready and for process titles */
        int channel;              /* SEQPACKET; not closed */
        const ModuleSet *modules; /* NULL: commands only */
        uint64_t preload_usec;    /* for Ready */
        int log_fd;               /* stays open in the forkserver, never in workers; -1: none */
} ServeOptions;

/* Sends Ready and serves until the channel is closed or Retire is done. Blocks all signals first
 * (TERM, INT and HUP included: forkservers end by their channel). Returns an exit status. In a
 * worker of an entry it never returns. */
int serve(const ServeOptions *options);
