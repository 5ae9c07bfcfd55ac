/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who a process is: pid + start time + boot id, as pids are used again within seconds. */

#include "basic.h"

#include <sys/types.h>

/* Field 22 of /proc/PID/stat (clock ticks since boot), also of zombies; -ESRCH when there is none.
 */
int process_start_time(pid_t pid, uint64_t *ret);
/* A CLOEXEC pidfd of the process that has this pid and start time, or -ESRCH. start_time 0: any. */
int process_open(pid_t pid, uint64_t start_time);
int process_signal(int pidfd, int signal);
/* proc(5): parent, process group, session and state letter. NULL where not wanted. */
int process_stat(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session,
                 char *ret_state, uint64_t *ret_start_time);
/* This boot's id, 36 characters and NUL. */
int boot_id(char ret[static 37]);
/* Private bytes (Private_Clean + Private_Dirty) and shared bytes of a living process, from
 * /proc/PID/smaps_rollup. */
int process_memory(pid_t pid, uint64_t *ret_private, uint64_t *ret_shared);
