/* SPDX-License-Identifier: Apache-2.0 */

/* Files and trees of cgroups. Nothing is kept. Processes in a cgroup may make cgroups below it
 * while we walk, so walks have bounds and do not expect to find what they saw. Lives in forkd. */

#include "cgroup-tree.h"

#include <dirent.h>
#include <poll.h>
#include <sys/stat.h>

#define TREE_DEPTH_MAX 32
#define TREE_NODES_MAX 4096 /* in one walk */

int cgroup_write(int dir_fd, const char *file, const char *text) {
        _cleanup_(close_fdp) int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                return -errno;
        return 0;
}

int cgroup_read(int dir_fd, const char *file, char *ret, size_t size) {
        _cleanup_(close_fdp) int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, ret, size - 1);
        if (n < 0)
                return -errno;
        ret[n] = '\0';
        return 0;
}

int cgroup_read_count(int dir_fd, const char *file, const char *name, uint64_t *ret) {
        char text[512];
        size_t length = strlen(name);
        int r = cgroup_read(dir_fd, file, text, sizeof(text));

        if (r < 0)
                return r;
        for (const char *line = text; line; line = strchr(line, '\n')) {
                unsigned long long n;

                line += *line == '\n';
                if (strncmp(line, name, length) == 0 && sscanf(line + length, " %llu", &n) == 1) {
                        *ret = n;
                        return 0;
                }
        }
        return -ENODATA;
}

int cgroup_events_populated(int events_fd) {
        char text[256];
        const char *at;
        ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

        if (n < 0)
                return -errno;
        text[n] = '\0';
        at = strstr(text, "populated ");
        return at ? at[strlen("populated ")] == '1' : -EBADMSG;
}

/* ---- trees */

typedef struct Walk {
        pid_t *pids;
        size_t max, n;
        unsigned nodes;
} Walk;

static void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

static DIR *tree_open(int dir_fd, const char *name) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d;

        if (fd < 0)
                return NULL;
        d = fdopendir(fd);
        if (!d)
                close_fd(fd);
        return d;
}

/* The next cgroup below the one that is being read, or NULL. */
static const char *tree_next(DIR *d) {
        struct dirent *e;

        while ((e = readdir(d)))
                if (e->d_type == DT_DIR && !streq(e->d_name, ".") && !streq(e->d_name, ".."))
                        return e->d_name;
        return NULL;
}

/* A threaded cgroup has no cgroup.procs of its own: its processes stand in the one above. */
static int tree_read_pids(int dir_fd, Walk *walk) {
        int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
        FILE *f = fd >= 0 ? fdopen(fd, "re") : NULL;
        int pid;

        if (!f) {
                int r = -errno;

                close_fd(fd);
                return r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP ? 0 : r;
        }
        while (fscanf(f, "%d", &pid) == 1) {
                if (walk->n < walk->max)
                        walk->pids[walk->n] = pid;
                if (walk->n < INT32_MAX)
                        walk->n++;
        }
        fclose(f);
        return 0;
}

static int tree_walk_pids(int dir_fd, const char *name, unsigned depth, Walk *walk) {
        _cleanup_(closedirp) DIR *d = tree_open(dir_fd, name);
        const char *below;
        int r;

        if (!d)
                return errno == ENOENT || errno == ENODEV ? 0 : -errno;
        if (depth >= TREE_DEPTH_MAX || ++walk->nodes > TREE_NODES_MAX)
                return 0;
        r = tree_read_pids(dirfd(d), walk);
        while (r >= 0 && (below = tree_next(d)))
                r = tree_walk_pids(dirfd(d), below, depth + 1, walk);
        return r;
}

int cgroup_tree_pids(int dir_fd, pid_t *pids, size_t max) {
        Walk walk = { .pids = pids, .max = max };
        int r = tree_walk_pids(dir_fd, ".", 0, &walk);

        return r < 0 ? r : (int)walk.n;
}

static int tree_remove(int dir_fd, const char *name, unsigned depth, unsigned *nodes) {
        _cleanup_(closedirp) DIR *d = NULL;
        const char *below;
        int r;

        if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
                return 0;
        if (errno != EBUSY && errno != ENOTEMPTY)
                return -errno;
        if (depth >= TREE_DEPTH_MAX || ++*nodes > TREE_NODES_MAX)
                return -EBUSY;

        d = tree_open(dir_fd, name);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        while ((below = tree_next(d))) {
                r = tree_remove(dirfd(d), below, depth + 1, nodes);
                if (r < 0)
                        return r;
        }
        return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int cgroup_tree_remove(int dir_fd, const char *name) {
        unsigned nodes = 0;

        return tree_remove(dir_fd, name, 0, &nodes);
}

int cgroup_tree_end(int dir_fd, uint64_t timeout_usec) {
        _cleanup_(close_fdp) int events_fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        uint64_t now = now_usec(CLOCK_MONOTONIC), end = now + timeout_usec;
        int r;

        if (events_fd < 0)
                return -errno;
        r = cgroup_write(dir_fd, "cgroup.freeze", "0"); /* on old kernels the frozen do not die */
        if (r >= 0)
                r = cgroup_write(dir_fd, "cgroup.kill", "1");
        if (r < 0)
                return r;

        for (; now < end; now = now_usec(CLOCK_MONOTONIC)) {
                struct pollfd p = { .fd = events_fd, .events = POLLPRI };

                r = cgroup_events_populated(events_fd);
                if (r <= 0)
                        return r;
                if (poll(&p, 1, (int)((end - now) / 1000) + 1) < 0 && errno != EINTR)
                        return -errno;
        }
        return 0;
}
