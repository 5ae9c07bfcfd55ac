/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The processes that came to the keeper when their parents died, and what is known of their ends.
 */

#include "basic.h"
#include "keeper-channel.h"

#include <sys/types.h>

typedef struct OrphanSet OrphanSet;

/* ends_max: how many ends are kept unacknowledged; what comes above is reaped and counted. */
int orphan_set_new(OrphanSet **ret, size_t ends_max);
OrphanSet *orphan_set_free(OrphanSet *set); /* forgets, touches no process */
static inline void orphan_set_freep(OrphanSet **s) {
        orphan_set_free(*s);
}

/* Looks at all children of this process but `except` (forkd; 0: none). Each newcomer and each end
 * is queued to be reported once. */
int orphan_set_scan(OrphanSet *set, pid_t except);

/* Reports, oldest first: orphan_set_report() fills in KEEPER_ORPHAN or KEEPER_ENDED, false when
 * there is none; orphan_set_reported() says that it was sent. */
bool orphan_set_report(OrphanSet *set, KeeperRecord *ret);
void orphan_set_reported(OrphanSet *set);
/* Queues all of them again, for the next forkd. */
void orphan_set_rewind(OrphanSet *set);

/* The end of pid is recorded: reap it. start_time 0: any. -ESRCH when there is no such orphan,
 * -EBUSY when it still lives. */
int orphan_set_acknowledge(OrphanSet *set, pid_t pid, uint64_t start_time);
/* Nobody wants to know of its end: it is reaped now, or as soon as it ends. */
int orphan_set_disown(OrphanSet *set, pid_t pid, uint64_t start_time);

/* At the keeper's own end: a signal to each that lives and has not had it; reap what has ended. */
void orphan_set_signal(OrphanSet *set, int signal);
size_t orphan_set_reap(OrphanSet *set);

size_t orphan_set_count(const OrphanSet *set);
size_t orphan_set_dropped(const OrphanSet *set); /* ends that were reaped for want of room */
