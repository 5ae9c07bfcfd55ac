/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The forkserver's side of forkd-server(7): receives orders on the channel, forks workers, peeks,
 * reports, reaps. The spawner, the twin, forkd-server and every program with forkd_serve() run this
 * same code. It brings no event loop library, as it also runs inside other people's programs. */

#include "basic.h"
#include "module.h"
#include "worker-program.h"

typedef struct ServeOptions {
        const char *name;         /* "spawner", "twin", "spell", … for Ready and the log */
        const char *title;        /* our own process title; NULL: as it is */
        int channel;              /* SEQPACKET; not closed */
        const ModuleSet *modules; /* NULL, and no program: commands only */
        bool program;             /* workers return from serve(); of modules only what they have
                                     declared counts (may be NULL) */
        bool keep_arguments;      /* argv is somebody else's: no titles are written into it; so it
                                     is with program, too */
        uint64_t preload_usec;    /* for Ready */
        int log_fd;               /* stays open in the forkserver, never in workers; -1: none */
} ServeOptions;

enum {
        SERVE_E_PROGRAM = 256, /* we are a worker, and the program goes on: *ret_program is set,
                                  exit() gives the answer */
};

/* Sends Ready and serves until the channel is closed or Retire is done. Blocks all signals first
 * (TERM, INT and HUP included: forkservers end by their channel). Returns an exit status; in a
 * worker of a program SERVE_E_PROGRAM; in one of modules it never returns. ret_program may be NULL
 * without program. */
int serve(const ServeOptions *options, WorkerProgram *ret_program);

/* A one-shot host, FORKD_WORKER: options->channel is the channel of one worker, and we are that
 * worker; nothing is forked. Runs one call. Never returns with modules; with a program an exit
 * status or SERVE_E_PROGRAM. */
int serve_worker(const ServeOptions *options, WorkerProgram *ret_program);
/* Instead of it, when preloading has failed: tells the caller Failed with the stage "preload". The
 * process is then to end with CHILD_EXIT_STATUS (127). */
void serve_worker_failed(int channel, int error, const char *reason);
