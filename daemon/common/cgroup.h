/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cgroup2, for killing, freezing and seeing what is left: one cgroup per attempt, used again only
 * when its attempt has left no trace in it. The base is a directory of ours below our own cgroup,
 * named after the state directory, so that the next forkd finds what the last one left. Controllers
 * are not needed; those of memory and pids are used where our cgroup has been delegated to us with
 * them (cgroup-controllers.c). Lives in forkd. */

#include "basic.h"

typedef struct CgroupBase CgroupBase;

/* One attempt's cgroup. */
typedef struct Cgroup Cgroup;

/* 0, or a named reason why there are none (sentence for `status`): */
enum {
        CGROUP_E_NO_CGROUP2 = 1, /* not mounted */
        CGROUP_E_NOT_WRITABLE,   /* mounted, but not ours to write */
        CGROUP_E_BROKEN, /* the probe failed: no cgroup.kill, or a newborn does not survive */
};
const char *cgroup_error_string(int error);

/* instance: a short unique text of the state directory ("forkd-2049-131"). Finds the mount in
 * /proc/self/mountinfo and our own cgroup in /proc/self/cgroup, makes the base, probes. What a
 * former forkd left in it is killed and removed; *ret_ended is the number of processes. */
int cgroup_base_new(CgroupBase **ret, const char *instance, unsigned *ret_ended);
/* Removes all that is empty, and the base when that is everything. */
CgroupBase *cgroup_base_free(CgroupBase *base);
const char *cgroup_base_path(const CgroupBase *base);

/* Keeps n fresh ones ready and removes used ones; call when idle. True when there is more to do. */
bool cgroup_base_tidy(CgroupBase *base, unsigned n);

/* A fresh one: from those ready, else made now. */
int cgroup_new(CgroupBase *base, Cgroup **ret);
int cgroup_fd(const Cgroup *c); /* O_PATH directory, for CLONE_INTO_CGROUP */
/* 1 when living processes are in it, 0 when none (zombies do not count), -errno. One pread(). */
int cgroup_populated(const Cgroup *c);
/* pids of it and of cgroups that its processes made below; fills up to max, returns how many there
 * are. */
int cgroup_pids(const Cgroup *c, pid_t *pids, size_t max);
/* Whether pid is in it or below; true of zombies too. */
bool cgroup_contains(const Cgroup *c, pid_t pid);
int cgroup_attach(const Cgroup *c, pid_t pid);  /* moves a process there */
int cgroup_kill(Cgroup *c);                     /* SIGKILL to all, cgroups below included */
int cgroup_signal(const Cgroup *c, int signal); /* to each, by pidfd, checked to be still in it */
int cgroup_freeze(Cgroup *c, bool freeze);
/* memory.peak in bytes, or -ENODATA without the controller. */
int cgroup_memory_peak(const Cgroup *c, uint64_t *ret);
/* How many of its processes the kernel has killed for lack of memory; 0 without the controller. */
uint64_t cgroup_oom_kills(const Cgroup *c);
/* Readable with EPOLLPRI when populated changes: the open cgroup.events. Borrowed. */
int cgroup_events_fd(const Cgroup *c);
/* It is not to be used again: somebody who has its descriptor may still enter it. */
void cgroup_spend(Cgroup *c);
/* Gives it to the base, for another attempt or for removal. NULL is fine. Returns NULL. */
Cgroup *cgroup_release(Cgroup *c);
