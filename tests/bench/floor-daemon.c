/* SPDX-License-Identifier: Apache-2.0 */
/* The floor's daemons: one that starts programs itself, and one that has a spawner (or a twin) do
 * it, with the messages, token, descriptors and cgroups of forkd's own way but none of its checks,
 * tables, timers or certificates. Own their sockets; each lives in a process of its own. */

#include "floor.h"

#include "cgroup.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define JOBS 64 /* ids go round; far more than are ever in flight */

typedef struct FloorJob {
        int client;
        int worker; /* floor_forks(): our end of its channel */
        bool returned;
        Cgroup *cgroup;
} FloorJob;

typedef struct FloorDaemon {
        FloorKind kind;
        int epoll, channel;
        uint64_t next, spare; /* spare: the id under which a worker waits; 0: none does */
        FloorJob jobs[JOBS];
        CgroupBase *base;
        char instance[32];
} FloorDaemon;

/* What an epoll event is about: its kind above, a number below. */
enum { ON_CLIENT, ON_CHANNEL, ON_WORKER, ON_PIDFD };
#define EVENT(kind, number) (((uint64_t)(kind) << 32) | (uint32_t)(number))

static int watch(int epoll, int fd, uint64_t data) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = data };

        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* ---- bare */

static int bare_on_client(int epoll, int client, const int *clients) {
        _cleanup_(close_fdp) int pidfd = -1;
        char program[256] = { 0 };
        ssize_t n;
        int r;

        n = recv(clients[client], program, sizeof(program) - 1, 0);
        if (n <= 0)
                return n < 0 ? -errno : 1;
        r = floor_start(program, -1, -1, &pidfd);
        if (r < 0)
                return r;
        r = watch(epoll, pidfd, EVENT(ON_PIDFD, pidfd * FLOOR_CLIENTS_MAX + client));
        if (r < 0)
                return r;
        (void)steal_fd(&pidfd);
        return 0;
}

static int bare_on_pidfd(int epoll, int number, const int *clients) {
        _cleanup_(close_fdp) int pidfd = number / FLOOR_CLIENTS_MAX;
        siginfo_t info = { 0 };

        /* closing is not enough: the next child has a copy until its exec is quite done */
        if (epoll_ctl(epoll, EPOLL_CTL_DEL, pidfd, NULL) < 0)
                return -errno;
        if (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0)
                return -errno;
        return send(clients[number % FLOOR_CLIENTS_MAX], &info.si_status, sizeof(info.si_status),
                    MSG_NOSIGNAL) < 0
                       ? -errno
                       : 0;
}

int floor_run_bare(const int *clients) {
        _cleanup_(close_fdp) int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event events[8];
        int n, r = epoll < 0 ? -errno : 0;

        for (int i = 0; i < FLOOR_CLIENTS_MAX && r == 0; i++)
                r = watch(epoll, clients[i], EVENT(ON_CLIENT, i));
        while (r == 0) {
                n = epoll_wait(epoll, events, ELEMENTSOF(events), -1);
                for (int i = 0; i < n && r == 0; i++) {
                        int number = (int)(uint32_t)events[i].data.u64;

                        if (events[i].data.u64 >> 32 == ON_CLIENT)
                                r = bare_on_client(epoll, number, clients);
                        else
                                r = bare_on_pidfd(epoll, number, clients);
                }
        }
        return r < 0 ? r : 0;
}

/* ---- with a spawner */

static json_t *plan_pack(const char *command) {
        if (!command)
                return json_pack("{s:[ssss],s:s,s:i,s:[nnn]}", "environment",
                                 "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "SHELL=/bin/sh",
                                 "LANG=C.UTF-8", "directory", "/", "umask", 18, "stdio");
        return json_pack("{s:[s],s:[ssss],s:s,s:i,s:[nnn]}", "command", command, "environment",
                         "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "SHELL=/bin/sh",
                         "LANG=C.UTF-8", "directory", "/", "umask", 18, "stdio");
}

static int daemon_cgroup(FloorDaemon *d, FloorJob *job) {
        int r;

        if (!floor_has_cgroups(d->kind))
                return 0;
        r = cgroup_new(d->base, &job->cgroup);
        return r > 0 ? -EIO : r;
}

/* first: what goes by the first descriptor, "token" or "channel"; the second is the cgroup. */
static int daemon_send_fork(FloorDaemon *d, uint64_t id, const char *first, int fd, json_t *more) {
        FloorJob *job = &d->jobs[id % JOBS];
        int fds[2] = { fd, job->cgroup ? cgroup_fd(job->cgroup) : -1 };
        json_t *fork, *parameters;

        fork = json_pack("{s:s,s:{s:I,s:i,s:i}}", "method", "Fork", "parameters", "id",
                         (json_int_t)id, "attempt", 1, first, 0);
        parameters = json_object_get(fork, "parameters");
        if (job->cgroup)
                json_object_set_new(parameters, "cgroup", json_integer(1));
        json_object_update_missing(parameters, more);
        json_decref(more);
        return floor_send(d->channel, fork, fds, job->cgroup ? 2 : 1);
}

static int daemon_order(FloorDaemon *d, uint64_t id, const char *command) {
        _cleanup_(close_fdp) int token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        int r = daemon_cgroup(d, &d->jobs[id % JOBS]);

        if (r < 0)
                return r;
        return daemon_send_fork(d, id, "token", token,
                                json_pack("{s:o}", "plan", plan_pack(command)));
}

/* ---- workers that are forked */

static int worker_adopt(const FloorJob *job, uint64_t id) {
        _cleanup_(close_fdp) int token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        int r;

        r = floor_send(job->worker,
                       json_pack("{s:s,s:{s:I,s:i,s:i,s:s,s:o}}", "method", "Adopt", "parameters",
                                 "id", (json_int_t)id, "attempt", 1, "token", 0, "title",
                                 "forkd: tiny#1 job 17 answer", "plan", plan_pack(NULL)),
                       &token, 1);
        if (r < 0)
                return r;
        return floor_send(job->worker,
                          json_pack("{s:s,s:{s:s,s:{s:i}}}", "method", "Call", "parameters",
                                    "entry", "answer", "arguments", "n", 10),
                          NULL, 0);
}

/* adopt: what it has to do is in its channel before it is forked. */
static int daemon_order_worker(FloorDaemon *d, uint64_t id, bool adopt) {
        FloorJob *job = &d->jobs[id % JOBS];
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        job->worker = pair[0];
        r = watch(d->epoll, pair[0], EVENT(ON_WORKER, id % JOBS));
        if (r == 0)
                r = daemon_cgroup(d, job);
        if (r == 0 && adopt)
                r = worker_adopt(job, id);
        if (r == 0)
                r = daemon_send_fork(d, id, "channel", pair[1],
                                     json_pack("{s:s}", "title", "forkd: tiny#1 job 17 answer"));
        close_fd(pair[1]);
        return r;
}

static FloorJob *daemon_new_job(FloorDaemon *d, int client) {
        FloorJob *job = &d->jobs[++d->next % JOBS];

        *job = (FloorJob){ .client = client, .worker = -1 };
        return job;
}

static int daemon_refill(FloorDaemon *d) {
        if (!floor_has_spare(d->kind) || d->spare > 0)
                return 0;
        (void)daemon_new_job(d, -1);
        d->spare = d->next;
        return daemon_order_worker(d, d->spare, false);
}

static int daemon_run_entry(FloorDaemon *d, int client) {
        uint64_t id = d->spare;

        if (id == 0) {
                (void)daemon_new_job(d, client);
                return daemon_order_worker(d, d->next, true);
        }
        d->spare = 0;
        d->jobs[id % JOBS].client = client;
        return worker_adopt(&d->jobs[id % JOBS], id);
}

static int daemon_on_client(FloorDaemon *d, int client) {
        json_t *message = NULL, *job, *command;
        int r;

        r = floor_receive(client, &message, NULL, 0, NULL);
        if (r != 0)
                return r;
        job = json_object_get(json_object_get(message, "parameters"), "job");
        command = json_array_get(json_object_get(job, "command"), 0);
        if (floor_forks(d->kind))
                r = daemon_run_entry(d, client);
        else {
                (void)daemon_new_job(d, client);
                r = daemon_order(d, d->next, json_string_value(command));
        }
        json_decref(message);
        return r;
}

static int daemon_on_worker(FloorJob *job) {
        json_t *message = NULL;
        int r;

        r = floor_receive(job->worker, &message, NULL, 0, NULL);
        if (r < 0)
                return r;
        if (r == 0) {
                job->returned = streq_null(json_string_value(json_object_get(message, "method")),
                                           "Returned");
                json_decref(message);
        }
        /* one answer is all that comes; the rest is told by the exit */
        job->worker = close_fd(job->worker);
        return 0;
}

static int daemon_on_exited(FloorDaemon *d, json_t *parameters) {
        uint64_t id = (uint64_t)json_integer_value(json_object_get(parameters, "id"));
        int status = (int)json_integer_value(json_object_get(parameters, "status"));
        FloorJob *job = &d->jobs[id % JOBS];
        int r;

        /* the worker's answer outranks its exit, but may be read after it */
        if (job->worker >= 0) {
                r = daemon_on_worker(job);
                if (r < 0)
                        return r;
        }
        if (floor_forks(d->kind) && !job->returned)
                status = 1;
        r = floor_send(d->channel,
                       json_pack("{s:s,s:{s:I,s:i}}", "method", "Acknowledge", "parameters", "id",
                                 (json_int_t)id, "attempt", 1),
                       NULL, 0);
        if (r < 0)
                return r;
        r = floor_send(job->client,
                       json_pack("{s:{s:I,s:s,s:{s:I,s:i,s:s,s:s,s:i,s:I,s:I}}}", "parameters",
                                 "id", (json_int_t)id, "state", "finished", "certificate", "id",
                                 (json_int_t)id, "attempt", 1, "result",
                                 status == 0 ? "success" : "exit", "sentence",
                                 "finished successfully after 1 ms", "status", status, "queueUSec",
                                 (json_int_t)20, "runUSec", (json_int_t)700),
                       NULL, 0);
        if (d->base) {
                job->cgroup = cgroup_release(job->cgroup);
                (void)cgroup_base_tidy(d->base, FLOOR_CLIENTS_MAX);
        }
        return r < 0 ? r : daemon_refill(d);
}

static int daemon_on_channel(FloorDaemon *d) {
        json_t *message = NULL;
        int r;

        r = floor_receive(d->channel, &message, NULL, 0, NULL);
        if (r != 0)
                return r;
        r = daemon_on_exited(d, json_object_get(message, "parameters"));
        json_decref(message);
        return r;
}

static int daemon_open(FloorDaemon *d, const int *clients) {
        unsigned ended;
        int r = 0;

        d->epoll = epoll_create1(EPOLL_CLOEXEC);
        if (d->epoll < 0)
                return -errno;
        if (floor_has_cgroups(d->kind)) {
                snprintf(d->instance, sizeof(d->instance), "forkd-floor-%d", (int)getpid());
                r = cgroup_base_new(&d->base, d->instance, &ended);
                if (r != 0)
                        return r < 0 ? r : -EOPNOTSUPP;
                (void)cgroup_base_tidy(d->base, FLOOR_CLIENTS_MAX);
        }
        for (int i = 0; i < FLOOR_CLIENTS_MAX && r == 0; i++)
                r = watch(d->epoll, clients[i], EVENT(ON_CLIENT, clients[i]));
        if (r == 0)
                r = watch(d->epoll, d->channel, EVENT(ON_CHANNEL, 0));
        return r == 0 ? daemon_refill(d) : r;
}

/* Its cgroup can go only after it. */
static void daemon_end_spare(FloorDaemon *d) {
        FloorJob *job = &d->jobs[d->spare % JOBS];
        json_t *message = NULL;

        if (d->spare == 0)
                return;
        job->worker = close_fd(job->worker);
        if (floor_receive(d->channel, &message, NULL, 0, NULL) == 0)
                json_decref(message);
        if (d->base)
                job->cgroup = cgroup_release(job->cgroup);
}

int floor_run_daemon(const int *clients, int channel, FloorKind kind) {
        FloorDaemon d = { .kind = kind, .epoll = -1, .channel = channel };
        struct epoll_event events[8];
        int n, r;

        for (size_t i = 0; i < JOBS; i++)
                d.jobs[i].worker = -1;
        r = daemon_open(&d, clients);
        while (r == 0) {
                n = epoll_wait(d.epoll, events, ELEMENTSOF(events), -1);
                for (int i = 0; i < n && r == 0; i++) {
                        int number = (int)(uint32_t)events[i].data.u64;

                        switch (events[i].data.u64 >> 32) {
                        case ON_CLIENT:
                                r = daemon_on_client(&d, number);
                                break;
                        case ON_CHANNEL:
                                r = daemon_on_channel(&d);
                                break;
                        case ON_WORKER:
                                if (d.jobs[number].worker >= 0)
                                        r = daemon_on_worker(&d.jobs[number]);
                                break;
                        }
                }
        }
        daemon_end_spare(&d);
        cgroup_base_free(d.base);
        close_fd(d.epoll);
        return r < 0 ? r : 0;
}
