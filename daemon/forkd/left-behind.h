/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a leader leaves behind: TERM, 2 s, KILL. By its cgroup, or as far as its session reaches. */

#include "attempt.h"

/* How many processes of the attempt live on, its zombie leader not counted. */
unsigned left_behind_count(const Attempt *a);
/* Ends them, then calls done (with no source of ours left in the attempt). at_once: by KILL. 0, or
 * -errno when not even timers can be had: then they are killed and done is not called. */
int left_behind_end(Attempt *a, bool at_once, void (*done)(Attempt *a));
/* SIGKILL to an attempt without a cgroup whose pid is known, and to its session. */
void left_behind_kill(const Attempt *a);
/* Signals everything in the session and in the group of this leader. Returns how many there were.
 */
unsigned left_behind_kill_session(pid_t leader, int signal);
