/* SPDX-License-Identifier: Apache-2.0 */

/* forkd's end of the keeper channel: owned by the daemon. Records that the channel does not take
 * now are kept in order, so that no acknowledgement is lost. */

#include "keeper-link.h"

#include "attempt.h"
#include "daemon.h"
#include "keeper-channel.h"
#include "left-behind.h"
#include "log.h"
#include "process-id.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <utlist.h>

#define HANDOVER_USEC (5 * USEC_PER_SEC)

typedef struct Pending Pending;

struct Pending {
        KeeperRecord record;
        int fd; /* owned, -1 */
        Pending *prev, *next;
};

struct KeeperLink {
        Daemon *daemon; /* borrowed; NULL until attached */
        int fd;
        pid_t pid;
        unsigned start;
        uint64_t our_start_time; /* as process-id.h has it */
        uint64_t alive_usec;     /* from sign of life to sign of life; 0: none wanted */
        Pending *stored;         /* what was handed over and not taken yet */
        Pending *orphans;        /* the same: ORPHAN and ENDED */
        Pending *output;
        sd_event_source *source, *timer;
};

static void pending_free(Pending **list, Pending *p) {
        DL_DELETE(*list, p);
        close_fd(p->fd);
        free(p);
}

static int pending_add(Pending **list, const KeeperRecord *record, int fd) {
        Pending *p = calloc(1, sizeof(*p));

        if (!p) {
                close_fd(fd);
                return -ENOMEM;
        }
        p->record = *record;
        p->fd = fd;
        DL_APPEND(*list, p);
        return 0;
}

static int handover_read(KeeperLink *k, bool *ret_begun) {
        KeeperRecord record;
        int fd = -1, r;

        r = keeper_record_receive(k->fd, &record, &fd);
        if (r == KEEPER_E_AGAIN)
                return 0;
        if (r != 0)
                return r < 0 ? r : -EPROTO;

        switch (record.type) {
        case KEEPER_HELLO:
                k->start = (unsigned)record.value;
                k->alive_usec = record.usec / 3;
                break;
        case KEEPER_STORED:
                return pending_add(&k->stored, &record, fd);
        case KEEPER_ORPHAN:
        case KEEPER_ENDED:
                return pending_add(&k->orphans, &record, fd);
        case KEEPER_BEGIN:
                *ret_begun = true;
                break;
        default:
                break;
        }
        close_fd(fd);
        return 0;
}

int keeper_link_new(KeeperLink **ret, int fd) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + HANDOVER_USEC;
        KeeperLink *k = calloc(1, sizeof(*k));
        struct ucred peer;
        socklen_t length = sizeof(peer);
        bool begun = false;
        int r = 0;

        if (!k)
                return -ENOMEM;
        k->fd = fd;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                r = -errno;
        if (r == 0)
                r = process_start_time(getpid(), &k->our_start_time);
        if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0)
                k->pid = peer.pid;

        while (r == 0 && !begun) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                uint64_t now = now_usec(CLOCK_MONOTONIC);

                if (now >= deadline || poll(&p, 1, (int)((deadline - now) / 1000) + 1) == 0)
                        r = -ETIMEDOUT;
                else
                        r = handover_read(k, &begun);
        }
        if (r < 0) {
                k->fd = -1; /* stays the caller's */
                keeper_link_free(k);
                return r;
        }

        *ret = k;
        return 0;
}

KeeperLink *keeper_link_free(KeeperLink *k) {
        if (!k)
                return NULL;
        sd_event_source_disable_unref(k->source);
        sd_event_source_disable_unref(k->timer);
        while (k->stored)
                pending_free(&k->stored, k->stored);
        while (k->orphans)
                pending_free(&k->orphans, k->orphans);
        while (k->output)
                pending_free(&k->output, k->output);
        close_fd(k->fd);
        free(k);
        return NULL;
}

unsigned keeper_link_start(const KeeperLink *k) {
        return k->start;
}

pid_t keeper_link_pid(const KeeperLink *k) {
        return k->pid;
}

int keeper_link_take(KeeperLink *k, const char *name) {
        Pending *p;

        DL_FOREACH (k->stored, p)
                if (streq(p->record.name, name)) {
                        int fd = steal_fd(&p->fd);

                        pending_free(&k->stored, p);
                        return fd;
                }
        return -ENOENT;
}

/* ---- sending */

static void keeper_send(KeeperLink *k, const KeeperRecord *record, int fd) {
        int r = k->output ? KEEPER_E_AGAIN : keeper_record_send(k->fd, record, fd);

        if (r == KEEPER_E_AGAIN) {
                int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);

                if (record->type != KEEPER_ALIVE && pending_add(&k->output, record, copy) == 0 &&
                    k->source)
                        (void)sd_event_source_set_io_events(k->source, EPOLLIN | EPOLLOUT);
        } else if (r < 0)
                log_warning_errno(r, "cannot tell the keeper");
}

static void keeper_send_text(KeeperLink *k, KeeperType type, const char *text) {
        KeeperRecord record = { .type = type };

        if (!k)
                return;
        snprintf(record.text, sizeof(record.text), "%s", text ?: "");
        keeper_send(k, &record, -1);
}

void keeper_link_ready(KeeperLink *k, const char *status) {
        keeper_send_text(k, KEEPER_READY, status);
}

void keeper_link_status(KeeperLink *k, const char *status) {
        keeper_send_text(k, KEEPER_STATUS, status);
}

void keeper_link_reloading(KeeperLink *k) {
        keeper_send_text(k, KEEPER_RELOADING, NULL);
}

void keeper_link_stopping(KeeperLink *k) {
        keeper_send_text(k, KEEPER_STOPPING, NULL);
}

void keeper_link_store(KeeperLink *k, const char *name, int fd) {
        KeeperRecord record = { .type = KEEPER_STORE };

        if (!k)
                return;
        snprintf(record.name, sizeof(record.name), "%s", name);
        keeper_send(k, &record, fd);
}

static void keeper_send_pid(KeeperLink *k, KeeperType type, pid_t pid) {
        KeeperRecord record = { .type = type, .pid = pid };

        keeper_send(k, &record, -1);
}

void keeper_link_acknowledge(KeeperLink *k, pid_t pid) {
        keeper_send_pid(k, KEEPER_ACKNOWLEDGE, pid);
}

/* ---- orphans */

static void on_ended(KeeperLink *k, const KeeperRecord *record) {
        ServerSet *servers = k->daemon->servers;
        AttemptEnd end = {
                .pid = record->pid,
                .code = record->code,
                .status = record->status,
                .has_usage = true,
                .user_usec = (uint64_t)record->usage.ru_utime.tv_sec * USEC_PER_SEC +
                             (uint64_t)record->usage.ru_utime.tv_usec,
                .system_usec = (uint64_t)record->usage.ru_stime.tv_sec * USEC_PER_SEC +
                               (uint64_t)record->usage.ru_stime.tv_usec,
        };
        Attempt *a;

        /* its forkserver's last words and end-of-file came before, and are read before */
        server_set_poll(servers);
        a = server_set_find_worker(servers, record->pid, record->start_time);
        if (!a)
                a = server_set_find_orphan_in_cgroup(servers, record->pid);
        if (a && a->orphan)
                attempt_exited(a, &end);
        else
                keeper_send_pid(k, KEEPER_NOT_OURS, record->pid);
}

/* A living process has come to the keeper. One that is older than we are was left by a former
 * forkd, perhaps too young then to stand in its running table. Any other is a worker of ours, or a
 * job left it behind, and its cgroup or session finds it. */
static void on_orphan(const KeeperLink *k, const KeeperRecord *record) {
        _cleanup_(close_fdp) int pidfd = process_open(record->pid, record->start_time);

        if (pidfd < 0)
                return;
        /* start times are ticks of 10 ms; inside one the order of pids decides */
        if (record->start_time > k->our_start_time ||
            (record->start_time == k->our_start_time && record->pid > getpid()))
                return;
        log_notice("ended pid %d, which the last forkd left running", record->pid);
        (void)process_signal(pidfd, SIGKILL);
        (void)left_behind_kill_session(record->pid, SIGKILL);
}

static void keeper_dispatch(KeeperLink *k, const KeeperRecord *record) {
        if (record->type == KEEPER_ENDED)
                on_ended(k, record);
        else if (record->type == KEEPER_ORPHAN)
                on_orphan(k, record);
}

static void keeper_flush(KeeperLink *k) {
        while (k->output) {
                if (keeper_record_send(k->fd, &k->output->record, k->output->fd) == KEEPER_E_AGAIN)
                        return;
                pending_free(&k->output, k->output);
        }
        (void)sd_event_source_set_io_events(k->source, EPOLLIN);
}

/* Nobody tells of orphans any more, and nobody would start us again: the unit starts all of it
 * anew. */
static void keeper_lost(KeeperLink *k) {
        Daemon *d = k->daemon;

        log_error("the keeper has gone: stopping at once");
        d->keeper = NULL;
        keeper_link_free(k);
        server_set_keeper_gone(d->servers);
        d->exit_status = 1;
        daemon_stop(d);
        daemon_stop(d);
}

static int on_keeper(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        KeeperLink *k = userdata;

        (void)source;
        if (events & EPOLLOUT)
                keeper_flush(k);

        for (unsigned n = 0; n < 64; n++) {
                KeeperRecord record;
                int attached = -1;
                int r = keeper_record_receive(fd, &record, &attached);

                if (r == KEEPER_E_AGAIN)
                        return 0;
                if (r == KEEPER_E_INVALID)
                        continue;
                if (r != 0) {
                        keeper_lost(k);
                        return 0;
                }
                close_fd(attached);
                keeper_dispatch(k, &record);
        }
        return 0;
}

static int on_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        KeeperLink *k = userdata;
        KeeperRecord record = { .type = KEEPER_ALIVE };

        (void)usec;
        keeper_send(k, &record, -1);
        (void)sd_event_source_set_time_relative(source, k->alive_usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

int keeper_link_attach(KeeperLink *k, Daemon *daemon) {
        int r;

        k->daemon = daemon;
        r = sd_event_add_io(daemon->event, &k->source, k->fd, EPOLLIN | (k->output ? EPOLLOUT : 0),
                            on_keeper, k);
        if (r < 0)
                return r;
        (void)sd_event_source_set_priority(k->source, PRIORITY_KEEPER);
        if (k->alive_usec > 0) {
                r = sd_event_add_time_relative(daemon->event, &k->timer, CLOCK_MONOTONIC, 0, 0,
                                               on_alive, k);
                if (r < 0)
                        return r;
        }

        while (k->orphans) {
                keeper_dispatch(k, &k->orphans->record);
                pending_free(&k->orphans, k->orphans);
        }
        return 0;
}
