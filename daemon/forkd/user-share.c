/* SPDX-License-Identifier: Apache-2.0 */

/* Shares of users: owned by the daemon, in a tree by uid; each lives as long as a job of its user.
 * In forkd. */

#include "user-share.h"

#include "daemon.h"

#include <search.h>

static int compare_uids(const void *a, const void *b) {
        const UserShare *x = a, *y = b;

        return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static UserShare *user_share_find(Daemon *d, uid_t uid) {
        const UserShare like = { .uid = uid };
        void *node = tfind(&like, &d->shares, compare_uids);

        return node ? *(UserShare **)node : NULL;
}

UserShare *user_share_get(Daemon *d, uid_t uid) {
        UserShare *share = user_share_find(d, uid);

        if (!share) {
                share = calloc(1, sizeof(*share));
                if (!share)
                        return NULL;
                share->uid = uid;
                if (!tsearch(share, &d->shares, compare_uids)) {
                        free(share);
                        return NULL;
                }
        }
        share->n_jobs++;
        return share;
}

void user_share_put(Daemon *d, UserShare *share) {
        if (!share || --share->n_jobs > 0)
                return;
        (void)tdelete(share, &d->shares, compare_uids);
        free(share);
}

static bool share_has_room(uid_t uid, size_t n, size_t max) {
        return uid == 0 || uid == geteuid() || n <= (max + 1) / 2;
}

bool user_may_attach(Daemon *d, uid_t uid) {
        const UserShare *share = user_share_find(d, uid);

        return share_has_room(uid, (share ? share->n_attached : 0) + 1, d->config->max_attached);
}

bool user_may_queue(Daemon *d, uid_t uid, size_t n) {
        const UserShare *share = user_share_find(d, uid);

        return share_has_room(uid, (share ? share->n_waiting : 0) + n, d->config->queue_max);
}
