/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a job gets when it says nothing of its environment, and who another user is. Both ask the
 * user database, which may block on a broken network directory: jobs that bring their environment
 * and are their submitter's never ask it. */

#include "basic.h"

#include <sys/types.h>

typedef struct EnvironmentCache {
        char **list; /* owned; of uid, looked up at `since` (CLOCK_MONOTONIC) */
        uid_t uid;
        uint64_t since;
} EnvironmentCache;

/* PATH HOME USER SHELL LANG; NULL-terminated, the cache's until the next call. The answer is kept
 * for a while, as the user database is slow to ask. -ENOMEM. */
int environment_default(EnvironmentCache *cache, uid_t uid, char *const **ret);
void environment_cache_done(EnvironmentCache *cache);

typedef struct UserIdentity {
        uid_t uid;
        gid_t gid;
        gid_t *groups; /* owned */
        size_t n_groups;
} UserIdentity;

/* A user by name or number; -ESRCH when there is none. */
int user_lookup(const char *name, UserIdentity *ret);
void user_identity_done(UserIdentity *u);

/* NULL-terminated lists of strings. */
int strings_append(char ***list, const char *string);
void strings_free(char **list);
static inline void strings_freep(char ***list) {
        strings_free(*list);
}
