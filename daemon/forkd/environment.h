/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a job gets when it says nothing of its environment, and who another user is. Both ask the user
 * database, which may block on a broken network directory: the answer for a uid is kept. */

#include "basic.h"

#include <sys/types.h>

/* PATH HOME USER SHELL LANG; NULL-terminated. strings_free() when done. -ENOMEM. */
int environment_default(uid_t uid, char ***ret);

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
