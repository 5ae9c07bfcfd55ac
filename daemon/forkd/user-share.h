/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one user's jobs take of what all users share: QueueMax= and MaxAttached=. */

#include "basic.h"

#include <sys/types.h>

typedef struct Daemon Daemon;

typedef struct UserShare {
        uid_t uid;
        size_t n_jobs; /* it is there as long as there are any */
        size_t n_attached;
        size_t n_waiting; /* queued or parked */
} UserShare;

/* The share of a user with one job more; NULL: out of memory. */
UserShare *user_share_get(Daemon *d, uid_t uid);
/* A job of it is gone. NULL is fine. */
void user_share_put(Daemon *d, UserShare *share);

/* Whether there is room for one more, or n more: users other than root and the daemon's own have
 * half of what all have. */
bool user_may_attach(Daemon *d, uid_t uid);
bool user_may_queue(Daemon *d, uid_t uid, size_t n);
