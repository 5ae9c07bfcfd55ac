/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* fork(2) of a process with preloaded code, born in a cgroup. */

#include "basic.h"

#include <sys/types.h>

typedef enum ForkIntoHow {
        FORK_INTO_BORN,  /* the child is in the cgroup */
        FORK_INTO_ENTER, /* it is to enter the cgroup itself */
} ForkIntoHow;

/* As fork(): handlers of pthread_atfork(3) run, and the child may do all that it may after fork()
 * in a process of one thread. cgroup is the descriptor of a directory, or -1. Returns the pid, 0 in
 * the child, or -1 with errno; in parent and child *ret_how, and in the parent *ret_pidfd (-1:
 * there was none to have). An error that only the cgroup can have caused is none: then the child is
 * forked where its parent is. */
pid_t fork_into(int cgroup, int *ret_pidfd, ForkIntoHow *ret_how);

/* For tests: is every handler of pthread_atfork(3) known, so that fork_into() may do without fork()?
 */
bool fork_into_is_proven(void);
