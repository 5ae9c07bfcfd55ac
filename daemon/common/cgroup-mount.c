/* SPDX-License-Identifier: Apache-2.0 */

/* Where cgroup2 is mounted, which cgroup a process is in, and a probe of what the kernel can do.
 * Lives in forkd, at its start. */

#include "cgroup-tree.h"
#include "cgroup.h"

#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void fclosep(FILE **f) {
        if (*f)
                fclose(*f);
}

/* mountinfo writes white space and backslashes as \040 and so on. In place. */
static void unescape(char *s) {
        char *to = s;

        while (*s) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
                    s[3] >= '0' && s[3] <= '7') {
                        *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        s += 4;
                } else
                        *to++ = *s++;
        }
        *to = '\0';
}

/* Whether a line of mountinfo is a mount of cgroup2; cuts it to root and mount point. */
static bool mount_line_parse(char *line, char **ret_root, char **ret_point) {
        char *dash = strstr(line, " - "), *fields[5], *save = NULL;

        if (!dash || strncmp(dash + 3, "cgroup2 ", 8) != 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                fields[i] = strtok_r(i == 0 ? line : NULL, " ", &save);
                if (!fields[i])
                        return false;
        }
        unescape(fields[3]);
        unescape(fields[4]);
        *ret_root = fields[3];
        *ret_point = fields[4];
        return true;
}

/* path below root, or NULL: what of a path is visible through a mount that shows only root. */
static const char *path_below(const char *path, const char *root) {
        size_t n = strlen(root);

        if (streq(root, "/"))
                return path;
        if (strncmp(path, root, n) != 0 || (path[n] != '\0' && path[n] != '/'))
                return NULL;
        return path + n;
}

int cgroup_of_process(pid_t pid, char **ret) {
        _cleanup_(fclosep) FILE *f = NULL;
        _cleanup_(freep) char *line = NULL;
        char name[64];
        size_t size = 0;
        ssize_t n;

        snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
        f = fopen(name, "re");
        if (!f)
                return -errno;
        while ((n = getline(&line, &size, f)) > 0) {
                if (strncmp(line, "0::/", 4) != 0)
                        continue;
                line[n - 1] = '\0';
                *ret = strdup(line + 3);
                return *ret ? 0 : -ENOMEM;
        }
        return -ENODATA;
}

int cgroup_find(char **ret_dir, char **ret_inner) {
        _cleanup_(fclosep) FILE *f = NULL;
        _cleanup_(freep) char *inner = NULL, *line = NULL;
        bool mounted = false;
        size_t size = 0;
        int r;

        r = cgroup_of_process(getpid(), &inner);
        if (r == -ENODATA || r == -ENOENT)
                return CGROUP_E_NO_CGROUP2;
        if (r < 0)
                return r;

        f = fopen("/proc/self/mountinfo", "re");
        if (!f)
                return -errno;
        while (getline(&line, &size, f) > 0) {
                const char *below;
                char *root, *point;

                if (!mount_line_parse(line, &root, &point))
                        continue;
                mounted = true;
                below = path_below(inner, root);
                if (!below || strncmp(below, "/..", 3) == 0) /* outside of our namespace */
                        continue;
                if (asprintf(ret_dir, "%s%s", point, streq(below, "/") ? "" : below) < 0)
                        return -ENOMEM;
                *ret_inner = steal(inner);
                return 0;
        }
        return mounted ? CGROUP_E_NOT_WRITABLE : CGROUP_E_NO_CGROUP2;
}

/* ---- probe */

/* A child in the cgroup that tells nobody of its end (no SIGCHLD), or -errno. */
static int probe_clone(int dir_fd, bool linger) {
        int pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .cgroup = (uint64_t)dir_fd,
        };
        long pid = syscall(SYS_clone3, &args, sizeof(args));

        if (pid == 0) {
                /* only plain system calls: this is a copy of whatever forkd was doing */
                while (linger)
                        syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
                syscall(SYS_exit_group, 0);
        }
        return pid < 0 ? -errno : pidfd;
}

/* Waits for it, at most two seconds. */
static int probe_wait(int pidfd, siginfo_t *ret) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };
        siginfo_t si = { 0 };
        int k;

        do
                k = poll(&p, 1, 2000);
        while (k < 0 && errno == EINTR);
        if (k <= 0)
                syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        if (waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | __WALL) < 0)
                return -errno;
        *ret = si;
        return k <= 0 ? -ETIMEDOUT : 0;
}

int cgroup_probe(int dir_fd, int events_fd, bool kill) {
        _cleanup_(close_fdp) int pidfd = probe_clone(dir_fd, kill);
        siginfo_t si = { 0 };
        int r = 0;

        if (pidfd < 0)
                return pidfd == -ENOSYS || pidfd == -EINVAL || pidfd == -E2BIG ? 1 : pidfd;
        if (kill) {
                r = cgroup_events_populated(events_fd) == 1 ? 0 : 1;
                if (cgroup_write(dir_fd, "cgroup.kill", "1") < 0)
                        r = 1;
                if (r != 0)
                        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        }
        if (probe_wait(pidfd, &si) < 0 || r != 0)
                return 1;
        if (kill)
                return si.si_code == CLD_KILLED && si.si_status == SIGKILL ? 0 : 1;
        return si.si_code == CLD_EXITED && si.si_status == 0 ? 0 : 1;
}
