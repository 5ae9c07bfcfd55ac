/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What cgroup.c needs of the file system and the kernel: files of a cgroup, walks of trees of them,
 * where the mount is, and what works. */

#include "basic.h"

#include <sys/types.h>

/* ---- files (cgroup-tree.c) */

int cgroup_write(int dir_fd, const char *file, const char *text);
/* The first bytes of a small file, NUL-terminated. */
int cgroup_read(int dir_fd, const char *file, char *ret, size_t size);
/* The number after a name in a file of lines "name number"; -ENODATA when it is not there. */
int cgroup_read_count(int dir_fd, const char *file, const char *name, uint64_t *ret);
/* 1, 0 or -errno, from an open cgroup.events; also takes its event. */
int cgroup_events_populated(int events_fd);

/* ---- trees, depth first, bounded in depth and number (cgroup-tree.c) */

/* How many pids there are; the first max of them are stored. */
int cgroup_tree_pids(int dir_fd, pid_t *pids, size_t max);
/* Removes name and what is below it. -EBUSY when processes live in it, -ENOENT is success. */
int cgroup_tree_remove(int dir_fd, const char *name);
/* SIGKILL to all and wait until they are gone, at most timeout. -ETIMEDOUT is not an error here:
 * what cannot die is left. */
int cgroup_tree_end(int dir_fd, uint64_t timeout_usec);

/* ---- where and what (cgroup-mount.c) */

/* Our own cgroup: its directory, and its path as /proc/PID/cgroup has it. CGROUP_E_* or -errno. */
int cgroup_find(char **ret_dir, char **ret_inner);
/* Both paths may be cut: to the cgroup that a service manager has delegated to us. If it has
 * controllers, its processes are moved into one below, and its children get the controllers
 * (cgroup-controllers.c). Where that fails there are no figures, and nothing else is missing. */
void cgroup_claim(char *dir, char *inner);
/* Those of memory and pids that the cgroup has, for its children. */
void cgroup_enable_controllers(int dir_fd);
/* The path of a process's cgroup2 cgroup as this process sees it. */
int cgroup_of_process(pid_t pid, char **ret);
/* A process is born in the cgroup and, with kill, ended by cgroup.kill; else it must live until its
 * own end. 0, 1 when that does not work, or -errno. */
int cgroup_probe(int dir_fd, int events_fd, bool kill);
