/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What forkd-server and forkd_serve() have in common: how forkd started this host, and serving it
 * once it has preloaded. */

#include "basic.h"
#include "module.h"
#include "serve.h"

#include <stdnoreturn.h>

typedef struct HostMain {
        const char
                *title; /* "forkd: spell#2"; lives as long as the process, as the kernel reads it */
        const char *name; /* FORKD_SERVER: the end of that */
        int channel;      /* of the forkserver, or of its one worker; CLOEXEC */
        bool one_shot;    /* FORKD_WORKER: never forks */
        bool huge_pages;
        bool keep_arguments; /* argv is somebody else's */
        uint64_t began;      /* CLOCK_BOOTTIME: when the preload began */
} HostMain;

enum {
        HOST_MAIN_E_ALONE = 1,   /* forkd has not started this process */
        HOST_MAIN_E_INVALID = 2, /* *ret_reason: what is wrong with what it was given */
};

/* Takes what forkd has put into the environment out of it. */
int host_main_read(HostMain *ret, char **ret_reason);
/* Tells forkd, and whoever reads standard error, why this host cannot serve, and ends the process.
 */
noreturn void host_main_refuse(const HostMain *host, int error, const char *reason);
/* Serves as serve() or serve_worker() do, or refuses: then it does not return. The program's worker
 * gets SERVE_E_PROGRAM, as there. modules may be an empty set, with a program. */
int host_main_serve(const HostMain *host, const ModuleSet *modules, WorkerProgram *ret_program);
