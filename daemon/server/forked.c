/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts by (id, attempt). The table belongs to the forkserver's Server, and owns the pidfds. A
 * child stays a zombie until forkd has acknowledged its end, so that no end is lost with a
 * forkserver or a forkd. */

#include "forked.h"

#include <sys/syscall.h>
#include <sys/wait.h>

int forked_new(Forked **ret, Forked **table, const ForkedKey *key, const Launched *launched) {
        Forked *a = calloc(1, sizeof(Forked));

        if (!a)
                return -ENOMEM;
        a->key = *key;
        a->child = *launched;
        HASH_ADD(hh, *table, key, sizeof(ForkedKey), a);
        *ret = a;
        return 0;
}

Forked *forked_free(Forked *a, Forked **table) {
        if (!a)
                return NULL;
        HASH_DEL(*table, a);
        close_fd(a->child.pidfd);
        free(a);
        return NULL;
}

Forked *forked_find(Forked *table, const ForkedKey *key) {
        Forked *a;

        HASH_FIND(hh, table, key, sizeof(ForkedKey), a);
        return a;
}

int forked_peek(Forked *a) {
        siginfo_t info = { 0 };

        if (a->ended)
                return 0;
        /* glibc's waitid() has no fifth argument */
        if (syscall(SYS_waitid, P_PIDFD, a->child.pidfd, &info, WEXITED | WNOWAIT | WNOHANG,
                    &a->usage) < 0)
                return -errno;
        if (info.si_pid == 0)
                return FORKED_E_LIVES;
        a->ended = true;
        a->code = info.si_code;
        a->status = info.si_status;
        return 0;
}

void forked_reap(Forked *a) {
        siginfo_t info;

        while (waitid(P_PIDFD, (id_t)a->child.pidfd, &info, WEXITED) < 0 && errno == EINTR)
                ;
}
