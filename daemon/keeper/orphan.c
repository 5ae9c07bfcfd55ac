/* SPDX-License-Identifier: Apache-2.0 */

/* Orphans: children of the keeper that it did not start. It peeks at those that have ended, keeps
 * them as zombies so that no other process can get their pid, and reaps when told. An Orphan lives
 * from the first scan that sees it until it is reaped; as only the keeper reaps them, a pid in the
 * set is never used again meanwhile. Children are listed by /proc/thread-self/children and peeked
 * at one by one: waitid(P_ALL, WNOWAIT) would return the same first zombie for ever. */

#include "orphan.h"
#include "log.h"
#include "process-id.h"

#include <limits.h>
#include <signal.h>
#include <sys/queue.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define N_BUCKETS 1024

typedef struct Orphan Orphan;

struct Orphan {
        pid_t pid;
        uint64_t start_time;
        bool ended, disowned;
        bool queued;   /* to be reported */
        int signalled; /* the last signal of orphan_set_signal() */
        int code, status;
        struct rusage usage;
        LIST_ENTRY(Orphan) bucket;
        TAILQ_ENTRY(Orphan) report;
};

struct OrphanSet {
        LIST_HEAD(, Orphan) buckets[N_BUCKETS];
        TAILQ_HEAD(, Orphan) reports;
        size_t n, n_ended, ends_max, n_dropped;
        int children_fd; /* /proc/thread-self/children, of this thread for ever */
};

int orphan_set_new(OrphanSet **ret, size_t ends_max) {
        _cleanup_(orphan_set_freep) OrphanSet *set = calloc(1, sizeof(*set));

        if (!set)
                return -ENOMEM;
        TAILQ_INIT(&set->reports);
        set->ends_max = ends_max;
        set->children_fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
        if (set->children_fd < 0)
                return -errno;
        *ret = steal(set);
        return 0;
}

static Orphan *orphan_find(OrphanSet *set, pid_t pid) {
        Orphan *o;

        LIST_FOREACH (o, &set->buckets[(unsigned)pid % N_BUCKETS], bucket)
                if (o->pid == pid)
                        return o;
        return NULL;
}

static void orphan_queue(OrphanSet *set, Orphan *o) {
        if (o->queued || o->disowned)
                return;
        o->queued = true;
        TAILQ_INSERT_TAIL(&set->reports, o, report);
}

static void orphan_unqueue(OrphanSet *set, Orphan *o) {
        if (!o->queued)
                return;
        o->queued = false;
        TAILQ_REMOVE(&set->reports, o, report);
}

static void orphan_forget(OrphanSet *set, Orphan *o) {
        orphan_unqueue(set, o);
        LIST_REMOVE(o, bucket);
        set->n--;
        if (o->ended)
                set->n_ended--;
        free(o);
}

OrphanSet *orphan_set_free(OrphanSet *set) {
        if (!set)
                return NULL;
        for (size_t i = 0; i < N_BUCKETS; i++)
                while (!LIST_EMPTY(&set->buckets[i]))
                        orphan_forget(set, LIST_FIRST(&set->buckets[i]));
        close_fd(set->children_fd);
        free(set);
        return NULL;
}

static void orphan_reap(OrphanSet *set, Orphan *o) {
        while (waitid(P_PID, (id_t)o->pid, &(siginfo_t){ 0 }, WEXITED | WNOHANG | __WALL) < 0 &&
               errno == EINTR)
                ;
        orphan_forget(set, o);
}

/* ---- looking */

static int orphan_add(OrphanSet *set, pid_t pid, Orphan **ret) {
        Orphan *o = calloc(1, sizeof(*o));
        int r;

        if (!o)
                return -ENOMEM;
        o->pid = pid;
        r = process_start_time(pid, &o->start_time);
        if (r < 0) {
                free(o);
                return r;
        }
        LIST_INSERT_HEAD(&set->buckets[(unsigned)pid % N_BUCKETS], o, bucket);
        set->n++;
        orphan_queue(set, o);
        *ret = o;
        return 0;
}

/* True when it has ended; the raw system call, for glibc's has no usage. */
static bool orphan_peek(Orphan *o) {
        siginfo_t si = { 0 };

        if (syscall(SYS_waitid, P_PID, o->pid, &si, WEXITED | WNOHANG | WNOWAIT | __WALL,
                    &o->usage) < 0 ||
            si.si_pid == 0)
                return false;
        o->code = si.si_code;
        o->status = si.si_status;
        return true;
}

static void orphan_ended(OrphanSet *set, Orphan *o) {
        o->ended = true;
        set->n_ended++;
        if (o->disowned) {
                orphan_reap(set, o);
                return;
        }
        if (set->n_ended > set->ends_max) {
                if (set->n_dropped++ == 0)
                        log_warning(
                                "more than %zu ends wait for forkd, reaping what comes above that",
                                set->ends_max);
                orphan_reap(set, o);
                return;
        }
        orphan_queue(set, o);
}

static int orphan_look(OrphanSet *set, pid_t pid) {
        Orphan *o = orphan_find(set, pid);
        int r;

        if (!o) {
                r = orphan_add(set, pid, &o);
                if (r < 0)
                        return r == -ESRCH ? 0 : r;
        }
        if (!o->ended && orphan_peek(o))
                orphan_ended(set, o);
        return 0;
}

/* All of the list before anything is reaped, which would move what has not been read yet. */
static int children_read(int fd, char **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0, n = 0;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        for (;;) {
                ssize_t k;

                if (size - n < 4096) {
                        char *grown = realloc(text, size + 65536);

                        if (!grown)
                                return -ENOMEM;
                        text = grown;
                        size += 65536;
                }
                k = read(fd, text + n, size - n - 1);
                if (k < 0 && errno != EINTR)
                        return -errno;
                if (k == 0)
                        break;
                n += k > 0 ? (size_t)k : 0;
        }
        text[n] = '\0';
        *ret = steal(text);
        return 0;
}

int orphan_set_scan(OrphanSet *set, pid_t except) {
        _cleanup_(freep) char *text = NULL;
        int r, first = 0;

        r = children_read(set->children_fd, &text);
        if (r < 0)
                return r;
        for (char *at = text, *end;; at = end) {
                long pid = strtol(at, &end, 10);

                if (end == at)
                        return first;
                if (pid <= 0 || pid > INT_MAX || pid == except)
                        continue;
                r = orphan_look(set, (pid_t)pid);
                first = first < 0 ? first : r;
        }
}

/* ---- telling forkd */

bool orphan_set_report(OrphanSet *set, KeeperRecord *ret) {
        Orphan *o = TAILQ_FIRST(&set->reports);

        if (!o)
                return false;
        memset(ret, 0, sizeof(*ret));
        ret->type = o->ended ? KEEPER_ENDED : KEEPER_ORPHAN;
        ret->pid = o->pid;
        ret->start_time = o->start_time;
        if (o->ended) {
                ret->code = o->code;
                ret->status = o->status;
                ret->usage = o->usage;
        }
        return true;
}

void orphan_set_reported(OrphanSet *set) {
        Orphan *o = TAILQ_FIRST(&set->reports);

        if (o)
                orphan_unqueue(set, o);
}

void orphan_set_rewind(OrphanSet *set) {
        Orphan *o;

        for (size_t i = 0; i < N_BUCKETS; i++)
                LIST_FOREACH (o, &set->buckets[i], bucket)
                        orphan_queue(set, o);
}

/* ---- what forkd says */

static Orphan *orphan_find_exactly(OrphanSet *set, pid_t pid, uint64_t start_time) {
        Orphan *o = orphan_find(set, pid);

        return o && (start_time == 0 || o->start_time == start_time) ? o : NULL;
}

int orphan_set_acknowledge(OrphanSet *set, pid_t pid, uint64_t start_time) {
        Orphan *o = orphan_find_exactly(set, pid, start_time);

        if (!o)
                return -ESRCH;
        if (!o->ended)
                return -EBUSY;
        orphan_reap(set, o);
        return 0;
}

int orphan_set_disown(OrphanSet *set, pid_t pid, uint64_t start_time) {
        Orphan *o = orphan_find_exactly(set, pid, start_time);

        if (!o)
                return -ESRCH;
        if (o->ended) {
                orphan_reap(set, o);
                return 0;
        }
        orphan_unqueue(set, o);
        o->disowned = true;
        return 0;
}

/* ---- the end */

void orphan_set_signal(OrphanSet *set, int signal) {
        Orphan *o;

        for (size_t i = 0; i < N_BUCKETS; i++)
                LIST_FOREACH (o, &set->buckets[i], bucket) {
                        if (o->ended || o->signalled == signal)
                                continue;
                        o->signalled = signal;
                        /* by number: nobody else reaps it, so the number is still its own */
                        kill(o->pid, signal);
                        kill(o->pid, SIGCONT);
                }
}

size_t orphan_set_reap(OrphanSet *set) {
        Orphan *o, *next;
        size_t n = 0;

        for (size_t i = 0; i < N_BUCKETS; i++)
                for (o = LIST_FIRST(&set->buckets[i]); o; o = next) {
                        next = LIST_NEXT(o, bucket);
                        if (!o->ended)
                                continue;
                        orphan_reap(set, o);
                        n++;
                }
        return n;
}

size_t orphan_set_count(const OrphanSet *set) {
        return set->n;
}

size_t orphan_set_dropped(const OrphanSet *set) {
        return set->n_dropped;
}
