/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Making children: commands by a vfork-like clone3 on a stack of its own, entries by fork(). The
 * caller has blocked all signals. */

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
        ChildReport *report; /* of an entry's worker: mapped, launched_unmap() */
} Launched;

#define LAUNCHED_NULL ((Launched){ .pid = -1, .pidfd = -1 })

enum {
        LAUNCH_E_FAILED = 1, /* *ret_failure says how; there is no child, or none any more */
        LAUNCH_E_CHILD, /* launch_entry() only: we are the worker, prepared to call the entry */
};

/* Returns when the exec has succeeded or the child is gone. */
int launch_command(Launcher *launcher, const Plan *plan, Launched *ret, ChildReport *ret_failure);
/* Returns at once in the forkserver; what fails later stands in the report. */
int launch_entry(const Plan *plan, Launched *ret, ChildReport *ret_failure);
void launched_unmap(Launched *launched);
