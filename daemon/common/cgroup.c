/* SPDX-License-Identifier: Apache-2.0 */

/* cgroup2 for jobs. A CgroupBase belongs to forkd's main program and owns the folder below forkd's
 * own cgroup, the fresh cgroups that are kept ready and the used ones that wait for removal; a
 * Cgroup belongs to its attempt until it is released. Each is used once: one that was killed kills
 * what is born in it later. Where the mount is and what can be done stands in cgroup-mount.c, walks
 * of trees in cgroup-tree.c. */

#include "cgroup.h"
#include "cgroup-tree.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define KILLED_USEC  (500 * USEC_PER_MSEC)
#define TIDY_AT_ONCE 16 /* removals in one call of cgroup_base_tidy() */
#define NAMES_TRIED  64
#define READY_MAX    64 /* kept for another attempt */

struct Cgroup {
        CgroupBase *base;
        Cgroup *next; /* in the base's list of ready or used ones */
        uint64_t number;
        int fd;
        int events_fd;
        bool spent; /* killed or frozen: not to be used again */
};

struct CgroupBase {
        char *path;  /* in the file system */
        char *inner; /* as /proc/PID/cgroup has it */
        int fd;
        uint64_t last_number;
        bool controllers; /* they keep figures of each cgroup */
        Cgroup *ready;
        unsigned n_ready;
        Cgroup *used, **used_tail;
};

const char *cgroup_error_string(int error) {
        switch (error) {
        case CGROUP_E_NO_CGROUP2:
                return "no cgroup2 file system is mounted";
        case CGROUP_E_NOT_WRITABLE:
                return "cgroup2 is not writable for forkd here";
        case CGROUP_E_BROKEN:
                return "this kernel's cgroup2 cannot kill, or kills newborn processes";
        }
        return "cgroups work";
}

/* ---- one cgroup */

static void cgroup_number_name(uint64_t number, char ret[static 24]) {
        snprintf(ret, 24, "%llu", (unsigned long long)number);
}

/* Closes and forgets, without removal. */
static Cgroup *cgroup_free(Cgroup *c) {
        if (c) {
                close_fd(c->fd);
                close_fd(c->events_fd);
                free(c);
        }
        return NULL;
}

static void cgroup_freep(Cgroup **c) {
        cgroup_free(*c);
}

static int cgroup_make(CgroupBase *base, Cgroup **ret) {
        _cleanup_(cgroup_freep) Cgroup *c = calloc(1, sizeof(*c));
        char name[24];

        if (!c)
                return -ENOMEM;
        c->base = base;
        c->fd = c->events_fd = -1;

        /* a number is taken when a former forkd left something that cannot be removed */
        for (unsigned i = 0;; i++) {
                c->number = ++base->last_number;
                cgroup_number_name(c->number, name);
                if (mkdirat(base->fd, name, 0755) == 0)
                        break;
                if (errno != EEXIST || i >= NAMES_TRIED)
                        return -errno;
        }

        c->fd = openat(base->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (c->fd >= 0)
                c->events_fd = openat(c->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        if (c->events_fd < 0) {
                int r = -errno;

                unlinkat(base->fd, name, AT_REMOVEDIR);
                return r;
        }
        *ret = steal(c);
        return 0;
}

int cgroup_new(CgroupBase *base, Cgroup **ret) {
        Cgroup *c = base->ready;

        if (!c)
                return cgroup_make(base, ret);
        base->ready = c->next;
        base->n_ready--;
        c->next = NULL;
        *ret = c;
        return 0;
}

/* Nothing of its user is left: no process, no cgroup made below, no figure of a controller. Then it
 * is as good as a fresh one, for half the price of a job's cgroup. But once killed it would kill
 * newborns (seen on 6.18). */
static bool cgroup_is_fresh(const Cgroup *c) {
        struct stat st;

        return !c->spent && !c->base->controllers && c->base->n_ready < READY_MAX &&
               cgroup_populated(c) == 0 && fstat(c->fd, &st) == 0 && st.st_nlink == 2;
}

Cgroup *cgroup_release(Cgroup *c) {
        if (c && cgroup_is_fresh(c)) {
                c->next = c->base->ready;
                c->base->ready = c;
                c->base->n_ready++;
        } else if (c) {
                c->next = NULL;
                *c->base->used_tail = c;
                c->base->used_tail = &c->next;
        }
        return NULL;
}

void cgroup_spend(Cgroup *c) {
        c->spent = true;
}

int cgroup_fd(const Cgroup *c) {
        return c->fd;
}

int cgroup_events_fd(const Cgroup *c) {
        return c->events_fd;
}

int cgroup_populated(const Cgroup *c) {
        return cgroup_events_populated(c->events_fd);
}

int cgroup_pids(const Cgroup *c, pid_t *pids, size_t max) {
        return cgroup_tree_pids(c->fd, pids, max);
}

int cgroup_attach(const Cgroup *c, pid_t pid) {
        char text[16];

        snprintf(text, sizeof(text), "%d", (int)pid);
        return cgroup_write(c->fd, "cgroup.procs", text);
}

int cgroup_kill(Cgroup *c) {
        c->spent = true;
        return cgroup_write(c->fd, "cgroup.kill", "1");
}

int cgroup_freeze(Cgroup *c, bool freeze) {
        c->spent = true;
        return cgroup_write(c->fd, "cgroup.freeze", freeze ? "1" : "0");
}

int cgroup_memory_peak(const Cgroup *c, uint64_t *ret) {
        char text[32];
        unsigned long long v;
        int r;

        if (!c->base->controllers)
                return -ENODATA;
        r = cgroup_read(c->fd, "memory.peak", text, sizeof(text));
        if (r == -ENOENT)
                return -ENODATA;
        if (r < 0)
                return r;
        if (sscanf(text, "%llu", &v) != 1)
                return -ENODATA;
        *ret = v;
        return 0;
}

uint64_t cgroup_oom_kills(const Cgroup *c) {
        uint64_t n = 0;

        if (c->base->controllers)
                (void)cgroup_read_count(c->fd, "memory.events", "oom_kill", &n);
        return n;
}

/* By the process's own word: the base's inner path, "/", our number, then the end, "/" or, of a
 * zombie, " (deleted)". */
bool cgroup_contains(const Cgroup *c, pid_t pid) {
        _cleanup_(freep) char *inner = NULL, *mine = NULL;
        size_t n;

        if (cgroup_of_process(pid, &inner) < 0)
                return false;
        if (asprintf(&mine, "%s/%llu", c->base->inner, (unsigned long long)c->number) < 0) {
                mine = NULL;
                return false;
        }
        n = strlen(mine);
        return strncmp(inner, mine, n) == 0 && strchr("/ ", inner[n]); /* its NUL counts too */
}

int cgroup_signal(const Cgroup *c, int signal) {
        _cleanup_(freep) pid_t *pids = NULL;
        size_t room;
        int n, r = 0;

        n = cgroup_pids(c, NULL, 0);
        if (n <= 0)
                return n;
        room = (size_t)n + 64; /* some are born in between */
        pids = calloc(room, sizeof(*pids));
        if (!pids)
                return -ENOMEM;
        n = cgroup_pids(c, pids, room);
        if (n < 0)
                return n;

        for (size_t i = 0; i < room && i < (size_t)n; i++) {
                _cleanup_(close_fdp) int pidfd = (int)syscall(SYS_pidfd_open, pids[i], 0);

                /* checked while its pidfd is held: a stranger that got the pid later is not hit */
                if (pidfd < 0 || !cgroup_contains(c, pids[i]))
                        continue;
                if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 && errno != ESRCH)
                        r = -errno;
        }
        return r;
}

/* ---- the base */

/* Removes c and what its processes made below it; -EBUSY while it is populated. */
static int cgroup_remove(Cgroup *c) {
        char name[24];

        cgroup_number_name(c->number, name);
        return cgroup_tree_remove(c->base->fd, name);
}

/* 1: one was removed or given up, 0: nothing could be done, for all of them are populated. */
static int base_remove_one(CgroupBase *base) {
        for (Cgroup **at = &base->used; *at; at = &(*at)->next) {
                Cgroup *c = *at;

                if (cgroup_populated(c) > 0)
                        continue;
                if (cgroup_remove(c) == -EBUSY)
                        continue;
                *at = c->next;
                if (base->used_tail == &c->next)
                        base->used_tail = at;
                cgroup_free(c);
                return 1;
        }
        return 0;
}

bool cgroup_base_tidy(CgroupBase *base, unsigned n) {
        for (unsigned i = 0; i < TIDY_AT_ONCE; i++)
                if (base_remove_one(base) == 0) {
                        Cgroup *c;

                        if (base->n_ready >= n || cgroup_make(base, &c) < 0)
                                return false;
                        c->next = base->ready;
                        base->ready = c;
                        base->n_ready++;
                }
        return true;
}

const char *cgroup_base_path(const CgroupBase *base) {
        return base->path;
}

/* Those that were killed are empty in a moment; what cannot die stays. */
static void base_wait_killed(const CgroupBase *base) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + KILLED_USEC;

        for (const Cgroup *c = base->used; c; c = c->next)
                while (c->spent && cgroup_populated(c) > 0 && now_usec(CLOCK_MONOTONIC) < deadline)
                        usleep(1000);
}

CgroupBase *cgroup_base_free(CgroupBase *base) {
        if (!base)
                return NULL;
        base_wait_killed(base);
        for (Cgroup *c = base->ready, *next; c; c = next) {
                next = c->next;
                cgroup_remove(c);
                cgroup_free(c);
        }
        for (Cgroup *c = base->used, *next; c; c = next) {
                next = c->next;
                cgroup_remove(c);
                cgroup_free(c);
        }
        close_fd(base->fd);
        if (base->path)
                rmdir(base->path);
        free(base->path);
        free(base->inner);
        free(base);
        return NULL;
}

static void base_freep(CgroupBase **base) {
        cgroup_base_free(*base);
}

/* The reasons why cgroups are not to be had, told from faults of ours. */
static int base_outcome(int error) {
        switch (error) {
        case -EACCES:
        case -EPERM:
        case -EROFS:
        case -ENOENT:
        case -ENODEV:
        case -EOPNOTSUPP:
        case -EAGAIN: /* cgroup.max.descendants */
                return CGROUP_E_NOT_WRITABLE;
        }
        return error;
}

/* Ends what a former forkd left in the folder that is to be the base, and removes it. */
static int base_clean(const char *path, unsigned *ret_ended) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int n, r;

        *ret_ended = 0;
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;

        n = cgroup_tree_pids(fd, NULL, 0);
        if (n > 0) {
                r = cgroup_tree_end(fd, 2 * USEC_PER_SEC);
                if (r < 0)
                        return r;
                *ret_ended = (unsigned)n;
        }
        r = cgroup_tree_remove(AT_FDCWD, path);
        return r == -EBUSY ? 0 : r; /* what cannot die stays, and its name is not used */
}

/* Makes the folder and sees whether processes can be born, killed and counted in it. */
static int base_probe(CgroupBase *base) {
        Cgroup *c = NULL;
        int r;

        for (unsigned kill = 0; kill < 2; kill++) {
                r = cgroup_make(base, &c);
                if (r < 0)
                        return base_outcome(r);
                r = cgroup_probe(c->fd, c->events_fd, kill);
                c->spent = true;
                cgroup_release(c);
                if (r != 0)
                        return r < 0 ? base_outcome(r) : CGROUP_E_BROKEN;
        }
        cgroup_base_tidy(base, 0);
        return 0;
}

int cgroup_base_new(CgroupBase **ret, const char *instance, unsigned *ret_ended) {
        _cleanup_(base_freep) CgroupBase *base = calloc(1, sizeof(*base));
        _cleanup_(freep) char *dir = NULL, *inner = NULL;
        const char *off = secure_getenv("FORKD_CGROUP");
        char controllers[256];
        unsigned ended;
        int r;

        if (!base)
                return -ENOMEM;
        base->fd = -1;
        base->used_tail = &base->used;

        if (off && streq(off, "off"))
                return CGROUP_E_NOT_WRITABLE;
        r = cgroup_find(&dir, &inner);
        if (r != 0)
                return r;
        cgroup_claim(dir, inner);
        if (asprintf(&base->path, "%s/%s", dir, instance) < 0) {
                base->path = NULL;
                return -ENOMEM;
        }
        if (asprintf(&base->inner, "%s/%s", streq(inner, "/") ? "" : inner, instance) < 0) {
                base->inner = NULL;
                return -ENOMEM;
        }

        r = base_clean(base->path, &ended);
        if (r < 0)
                return base_outcome(r);
        if (mkdir(base->path, 0755) < 0 && errno != EEXIST)
                return base_outcome(-errno);
        base->fd = open(base->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (base->fd < 0)
                return base_outcome(-errno);
        cgroup_enable_controllers(base->fd);
        /* what it says is in force in the cgroups of attempts */
        base->controllers = cgroup_read(base->fd, "cgroup.subtree_control", controllers,
                                        sizeof(controllers)) < 0 ||
                            controllers[strspn(controllers, " \n")] != '\0';
        r = base_probe(base);
        if (r != 0)
                return r;

        *ret = steal(base);
        *ret_ended = ended;
        return 0;
}
