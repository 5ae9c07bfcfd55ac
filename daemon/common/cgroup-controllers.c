/* SPDX-License-Identifier: Apache-2.0 */

/* Controllers that keep figures of attempts, where a service manager has delegated our cgroup to
 * us. It may have them for its children only while no process is in it itself, so forkd and its
 * kin move one down. Lives in forkd, at its start. */

#include "cgroup-tree.h"
#include "cgroup.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#define LEAF        "daemon" /* where forkd, its keeper and its forkservers are */
#define MOVES_MAX   16       /* rounds, while processes are born */
#define PROCESSES   256      /* in a round */
#define CONTROLLERS 256      /* bytes */

static const char *const wanted[] = { "memory", "pids" };

/* A user's systemd leaves no mark (252): there the unit of which we are, or the keeper is, the main
 * process is the user's own. */
static bool is_unit_of_user(const char *dir) {
        const char *main_pid = getenv("SYSTEMD_EXEC_PID"), *dot = strrchr(dir, '.');
        int pid = main_pid ? atoi(main_pid) : 0;

        return geteuid() != 0 && pid > 1 && (pid == getpid() || pid == getppid()) && dot &&
               streq(dot, ".service") && access(dir, W_OK) == 0;
}

/* Says systemd; a cgroup that we only could write is not ours to rearrange. */
static bool is_delegated(const char *dir) {
        static const char *const names[] = { "trusted.delegate", "user.delegate" };
        char value[8];

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (getxattr(dir, names[i], value, sizeof(value)) == 1 && value[0] == '1')
                        return true;
        return is_unit_of_user(dir);
}

static bool has_word(const char *words, const char *word) {
        size_t n = strlen(word);

        for (const char *at = words; (at = strstr(at, word)); at += n)
                if ((at == words || at[-1] == ' ') && strchr(" \n", at[n])) /* its NUL counts too */
                        return true;
        return false;
}

void cgroup_enable_controllers(int dir_fd) {
        char available[CONTROLLERS], text[32];

        if (cgroup_read(dir_fd, "cgroup.controllers", available, sizeof(available)) < 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (has_word(available, wanted[i])) {
                        snprintf(text, sizeof(text), "+%s", wanted[i]);
                        (void)cgroup_write(dir_fd, "cgroup.subtree_control", text);
                }
}

static bool has_wanted(int dir_fd) {
        char available[CONTROLLERS];

        if (cgroup_read(dir_fd, "cgroup.controllers", available, sizeof(available)) < 0)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                if (has_word(available, wanted[i]))
                        return true;
        return false;
}

/* The pids in the cgroup itself, not below: 0 at the end, -errno, or how many were read. */
static int own_pids(int dir_fd, pid_t ret[static PROCESSES]) {
        int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC), n = 0, pid;
        FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

        if (!f) {
                close_fd(fd);
                return -errno;
        }
        while (n < PROCESSES && fscanf(f, "%d", &pid) == 1)
                ret[n++] = pid;
        fclose(f);
        return n;
}

/* All that is in the cgroup goes into the leaf. 0, or -errno; -EPERM when its first process is
 * everybody's. */
static int move_down(int dir_fd) {
        _cleanup_(close_fdp) int leaf = -1;
        pid_t pids[PROCESSES];
        char text[16];
        int n;

        if (mkdirat(dir_fd, LEAF, 0755) < 0 && errno != EEXIST)
                return -errno;
        leaf = openat(dir_fd, LEAF, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (leaf < 0)
                return -errno;
        for (unsigned round = 0; round < MOVES_MAX; round++) {
                n = own_pids(dir_fd, pids);
                if (n <= 0)
                        return n;
                for (int i = 0; i < n; i++) {
                        if (pids[i] <= 1)
                                return -EPERM;
                        snprintf(text, sizeof(text), "%d", (int)pids[i]);
                        (void)cgroup_write(leaf, "cgroup.procs", text); /* it may have ended */
                }
        }
        return -EBUSY;
}

/* Cuts the last component when that is ours. */
static void step_up(char *dir, char *inner) {
        char *d = strrchr(dir, '/'), *i = strrchr(inner, '/');

        if (!d || !i || d == dir || i == inner || !streq(d + 1, LEAF) || !streq(i + 1, LEAF))
                return;
        *d = '\0';
        if (is_delegated(dir))
                *i = '\0';
        else
                *d = '/';
}

void cgroup_claim(char *dir, char *inner) {
        _cleanup_(close_fdp) int fd = -1;

        step_up(dir, inner); /* where an earlier forkd has put us */
        if (!is_delegated(dir))
                return;
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || !has_wanted(fd) || move_down(fd) < 0)
                return;
        cgroup_enable_controllers(fd);
}
