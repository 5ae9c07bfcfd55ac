/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Forkservers of other users. Their workers are forked by another user's code, so that what is said
 * of them is looked at before forkd, which may be root, acts on a process: a stranger must not be
 * signalled, moved to a cgroup or handed a job's descriptors on somebody's word. */

#include "attempt.h"

enum {
        TRUST_E_STRANGER = 1, /* this process is no worker of that forkserver */
        TRUST_E_GONE,         /* it, or the forkserver, has ended meanwhile: its end will be told */
};

/* Looks whether pid is a worker that a's forkserver has forked and is of its user; then it is in
 * a's cgroup, and *ret_pidfd is the caller's. 0, TRUST_E_* or -errno. */
int trust_admit(Attempt *a, pid_t pid, uint64_t start_time, int *ret_pidfd);
