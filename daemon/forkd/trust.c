/* SPDX-License-Identifier: Apache-2.0 */

/* Looks at workers of forkservers that are other users' code; stateless, in forkd. All is read
 * while a pidfd that forkd has opened itself is held, and counts only if that process is still
 * there afterwards: then the pid was its all the time. */

#include "trust.h"

#include "daemon.h"
#include "process-id.h"

/* All four of its uids are this one: nothing set-uid, which its user may not end. */
static int has_uid(pid_t pid, uid_t uid) {
        char path[64], text[2048], *line;
        unsigned uids[4];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        n = read(fd, text, sizeof(text) - 1);
        close_fd(fd);
        if (n <= 0)
                return -ESRCH;
        text[n] = '\0';

        line = strstr(text, "\nUid:");
        if (!line ||
            sscanf(line, "\nUid: %u %u %u %u", &uids[0], &uids[1], &uids[2], &uids[3]) != 4)
                return -EBADMSG;
        return uids[0] == uid && uids[1] == uid && uids[2] == uid && uids[3] == uid;
}

static bool lives(pid_t pid) {
        char state;

        return pid > 0 && process_stat(pid, NULL, NULL, NULL, &state, NULL) >= 0 && state != 'Z' &&
               state != 'X';
}

static int trust_look(const Attempt *a, pid_t pid) {
        pid_t server = server_pid(a->server), parent;
        int r;

        r = process_stat(pid, &parent, NULL, NULL, NULL, NULL);
        if (r >= 0)
                r = has_uid(pid, server_uid(a->server));
        if (r == -ESRCH)
                return TRUST_E_GONE;
        if (r < 0)
                return r;
        /* a dead forkserver's children are another's */
        if (parent != server && !lives(server))
                return TRUST_E_GONE;
        return parent == server && r > 0 ? 0 : TRUST_E_STRANGER;
}

int trust_admit(Attempt *a, pid_t pid, uint64_t start_time, int *ret_pidfd) {
        _cleanup_(close_fdp) int pidfd = -1;
        int r;

        if (pid <= 0 || start_time == 0)
                return TRUST_E_STRANGER;
        pidfd = process_open(pid, start_time);
        if (pidfd == -ESRCH)
                return TRUST_E_GONE;
        if (pidfd < 0)
                return pidfd;
        r = trust_look(a, pid);
        if (r != 0)
                return r;
        if (server_set_find_worker(a->daemon->servers, pid, start_time))
                return TRUST_E_STRANGER; /* two attempts cannot have one worker */

        if (a->cgroup) {
                r = cgroup_attach(a->cgroup, pid);
                if (r < 0)
                        return r == -ESRCH ? TRUST_E_GONE : r;
        }
        if (process_signal(pidfd, 0) == -ESRCH) {
                /* who is in that cgroup now nobody knows: it is left alone */
                if (a->cgroup) {
                        cgroup_spend(a->cgroup);
                        a->cgroup = cgroup_release(a->cgroup);
                }
                return TRUST_E_GONE;
        }
        *ret_pidfd = steal_fd(&pidfd);
        return 0;
}
