/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper: starts forkd and starts it again, keeps descriptors and orphans for it meanwhile, and
 * speaks for it to the service manager. */

#include "basic.h"
#include "notify.h"
#include "store.h"

typedef struct KeeperOptions {
        char *const *argv;              /* of forkd, NULL-terminated; borrowed */
        uint64_t watchdog_usec;         /* how long forkd may be silent; 0: for ever */
        uint64_t manager_watchdog_usec; /* what the service manager expects of us; 0: nothing */
        uint64_t backoff_first_usec;    /* the second restart in a row waits this long … */
        uint64_t backoff_max_usec;      /* … each further one twice as long, up to this */
        uint64_t settled_usec;          /* forkd has served this long: back-off starts anew */
        unsigned failures_max;          /* ends before readiness, in a row, before giving up */
        uint64_t start_usec;            /* forkd has to be ready by then */
        uint64_t abort_usec;            /* from SIGABRT to SIGKILL for a silent forkd */
        uint64_t end_usec;              /* from SIGTERM to SIGKILL for orphans at the end, and
                                         * from there to giving up */
        size_t ends_max;                /* orphans' ends that wait for forkd */
} KeeperOptions;

#define KEEPER_OPTIONS_DEFAULT                                                                     \
        ((KeeperOptions){                                                                          \
                .watchdog_usec = 30 * USEC_PER_SEC,                                                \
                .backoff_first_usec = 100 * USEC_PER_MSEC,                                         \
                .backoff_max_usec = 10 * USEC_PER_SEC,                                             \
                .settled_usec = 10 * USEC_PER_SEC,                                                 \
                .failures_max = 5,                                                                 \
                .start_usec = 600 * USEC_PER_SEC,                                                  \
                .abort_usec = 2 * USEC_PER_SEC,                                                    \
                .end_usec = 2 * USEC_PER_SEC,                                                      \
                .ends_max = 4096,                                                                  \
        })

/* forkd's own exit status for options that it does not understand: starting it again does not help.
 */
#define FORKD_EXIT_USAGE 2

/* To be called first, before anything is started: signals blocked and at their default, SIGPIPE
 * ignored, orphans come to us. */
int keeper_prepare(void);
/* Runs until forkd is gone for good and no child is left. Borrows all. Returns an exit status:
 * forkd's own, 128 + signal, or 0; negative errno for faults of ours. */
int keeper_run(const KeeperOptions *options, Notify *notify, Store *store);
