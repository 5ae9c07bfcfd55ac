/* SPDX-License-Identifier: Apache-2.0 */

/* Who a process is, read from /proc. Owns nothing; used in forkd, the keeper and forkservers. */

#include "process-id.h"

#include <signal.h>
#include <sys/syscall.h>

static int file_read(const char *path, char *buffer, size_t size) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, buffer, size - 1);
        if (n < 0)
                return -errno;
        buffer[n] = '\0';
        return 0;
}

int process_stat(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session,
                 char *ret_state, uint64_t *ret_start_time) {
        char path[64], text[1024];
        int parent, group, session, r;
        unsigned long long start;
        const char *p;
        char state;

        if (pid <= 0)
                return -ESRCH;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        r = file_read(path, text, sizeof(text));
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;

        /* the name in parentheses may hold anything, parentheses too */
        p = strrchr(text, ')');
        if (!p || sscanf(p + 1,
                         " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d "
                         "%llu",
                         &state, &parent, &group, &session, &start) != 5)
                return -EBADMSG;

        if (ret_parent)
                *ret_parent = parent;
        if (ret_group)
                *ret_group = group;
        if (ret_session)
                *ret_session = session;
        if (ret_state)
                *ret_state = state;
        if (ret_start_time)
                *ret_start_time = start;
        return 0;
}

int process_start_time(pid_t pid, uint64_t *ret) {
        return process_stat(pid, NULL, NULL, NULL, NULL, ret);
}

int process_signal(int pidfd, int signal) {
        return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int process_open(pid_t pid, uint64_t start_time) {
        _cleanup_(close_fdp) int fd = -1;
        uint64_t found;
        int r;

        fd = pid <= 0 ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0)
                return pid <= 0 || errno == EINVAL ? -ESRCH : -errno;
        if (start_time == 0)
                return steal_fd(&fd);

        r = process_start_time(pid, &found);
        if (r < 0)
                return r;
        if (found != start_time)
                return -ESRCH;
        /* what was read is of the pidfd's process only if that one has kept the pid until now */
        r = process_signal(fd, 0);
        if (r < 0 && r != -EPERM)
                return r;
        return steal_fd(&fd);
}

int boot_id(char ret[static 37]) {
        char text[64];
        int r;

        r = file_read("/proc/sys/kernel/random/boot_id", text, sizeof(text));
        if (r < 0)
                return r;
        if (strlen(text) < 36)
                return -EBADMSG;
        memcpy(ret, text, 36);
        ret[36] = '\0';
        return 0;
}

/* The sum of the lines that begin with the names, in bytes. */
static uint64_t sum_of_fields(const char *text, const char *a, const char *b) {
        uint64_t sum = 0;

        for (const char *line = text; line; line = strchr(line, '\n')) {
                unsigned long long kib;

                line += *line == '\n';
                if ((strncmp(line, a, strlen(a)) == 0 || strncmp(line, b, strlen(b)) == 0) &&
                    sscanf(strchr(line, ':') + 1, "%llu", &kib) == 1)
                        sum += kib * 1024;
        }
        return sum;
}

int process_memory(pid_t pid, uint64_t *ret_private, uint64_t *ret_shared) {
        char path[64], text[4096];
        int r;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        r = file_read(path, text, sizeof(text));
        if (r < 0)
                return r == -ENOENT ? -ESRCH : r;
        /* a zombie has no memory: the file is empty */
        if (!strchr(text, '\n'))
                return -ESRCH;

        if (ret_private)
                *ret_private = sum_of_fields(text, "Private_Clean:", "Private_Dirty:");
        if (ret_shared)
                *ret_shared = sum_of_fields(text, "Shared_Clean:", "Shared_Dirty:");
        return 0;
}
