/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Making children: commands by a vfork-like clone3 on a stack of its own, workers of entries by
 * fork(). The caller has blocked all signals. */

#include "child.h"

typedef struct Launcher Launcher;

int launcher_new(Launcher **ret);
Launcher *launcher_free(Launcher *launcher);
static inline void launcher_freep(Launcher **l) {
        launcher_free(*l);
}

typedef struct Launched {
        pid_t pid;
        int pidfd;
} Launched;

#define LAUNCHED_NULL ((Launched){ .pid = -1, .pidfd = -1 })

enum {
        LAUNCH_E_FAILED = 1, /* *ret_failure says how; there is no child, or none any more */
        LAUNCH_E_CHILD, /* launch_worker() only: we are the worker; how far it came is in the report
                         */
};

/* Returns when the exec has succeeded or the child is gone. */
int launch_command(Launcher *launcher, const Plan *plan, Launched *ret, ChildReport *ret_failure);
/* A worker of entries. Returns at once in the forkserver. */
int launch_worker(ChildBirth *birth, Launched *ret, ChildReport *ret_failure);
