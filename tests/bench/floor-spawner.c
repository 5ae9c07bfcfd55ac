/* SPDX-License-Identifier: Apache-2.0 */
/* The floor's spawner and forkserver: takes an order, starts a worker, peeks at its end, reports,
 * and reaps when acknowledged. Owns its workers; lives in a process of its own. */

#include "floor.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define WORKERS 64

typedef struct FloorSpawner {
        int epoll, channel;
        int pidfds[WORKERS]; /* by id */
} FloorSpawner;

/* A worker that was forked: it is adopted, and answers one call. */
static _Noreturn void worker_run(int channel) {
        json_t *adopt = NULL, *call = NULL;
        size_t n_fds = 0;
        int token = -1;
        uint64_t one;

        /* a spare that nobody wants any more */
        if (floor_receive(channel, &adopt, &token, 1, &n_fds) != 0)
                _exit(0);
        if (n_fds != 1 || read(token, &one, sizeof(one)) != sizeof(one))
                _exit(126);
        if (floor_receive(channel, &call, NULL, 0, NULL) != 0)
                _exit(1);
        if (floor_send(channel,
                       json_pack("{s:s,s:{s:{s:s}}}", "method", "Returned", "parameters", "value",
                                 "value", "3628800"),
                       NULL, 0) < 0)
                _exit(1);
        _exit(0);
}

/* A bare fork, but born in its cgroup: to move there later costs more. */
static int worker_fork(int channel, int cgroup, int *ret_pidfd) {
        int pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)(cgroup >= 0 ? cgroup : 0),
        };
        long pid = syscall(SYS_clone3, &args, sizeof(args));

        if (pid == 0)
                worker_run(channel);
        if (pid < 0)
                return -errno;
        *ret_pidfd = pidfd;
        return 0;
}

static int spawner_on_fork(FloorSpawner *s, json_t *parameters, const int *fds, size_t n_fds) {
        json_t *plan = json_object_get(parameters, "plan");
        uint64_t id = (uint64_t)json_integer_value(json_object_get(parameters, "id"));
        const char *program =
                json_string_value(json_array_get(json_object_get(plan, "command"), 0));
        struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = id };
        int *pidfd = &s->pidfds[id % WORKERS], r;

        if (n_fds == 0)
                return -EBADMSG;
        if (program)
                r = floor_start(program, fds[0], n_fds > 1 ? fds[1] : -1, pidfd);
        else
                r = worker_fork(fds[0], n_fds > 1 ? fds[1] : -1, pidfd);
        if (r < 0)
                return r;
        return epoll_ctl(s->epoll, EPOLL_CTL_ADD, *pidfd, &event) < 0 ? -errno : 0;
}

static int spawner_on_channel(FloorSpawner *s) {
        json_t *message = NULL, *parameters;
        siginfo_t info;
        int fds[2] = { -1, -1 }, r;
        size_t n_fds = 0;

        r = floor_receive(s->channel, &message, fds, ELEMENTSOF(fds), &n_fds);
        if (r != 0)
                return r;
        parameters = json_object_get(message, "parameters");
        if (streq_null(json_string_value(json_object_get(message, "method")), "Fork"))
                r = spawner_on_fork(s, parameters, fds, n_fds);
        else {
                uint64_t id = (uint64_t)json_integer_value(json_object_get(parameters, "id"));
                int *pidfd = &s->pidfds[id % WORKERS];

                if (waitid(P_PIDFD, (id_t)*pidfd, &info, WEXITED) < 0)
                        r = -errno;
                *pidfd = close_fd(*pidfd);
        }
        for (size_t i = 0; i < n_fds; i++)
                close_fd(fds[i]);
        json_decref(message);
        return r;
}

static int spawner_on_worker(FloorSpawner *s, uint64_t id) {
        siginfo_t info = { 0 };
        struct rusage usage = { 0 };

        /* the C library's waitid() has no usage */
        if (syscall(SYS_waitid, P_PIDFD, s->pidfds[id % WORKERS], &info,
                    WEXITED | WNOWAIT | WNOHANG, &usage) < 0)
                return -errno;
        return floor_send(s->channel,
                          json_pack("{s:s,s:{s:I,s:i,s:i,s:s,s:i,s:I,s:I}}", "method", "Exited",
                                    "parameters", "id", (json_int_t)id, "attempt", 1, "pid",
                                    (int)info.si_pid, "code",
                                    info.si_code == CLD_EXITED ? "exited" : "killed", "status",
                                    info.si_status, "userUSec", (json_int_t)usage.ru_utime.tv_usec,
                                    "systemUSec", (json_int_t)usage.ru_stime.tv_usec),
                          NULL, 0);
}

int floor_run_spawner(int channel) {
        FloorSpawner s = { .channel = channel };
        struct epoll_event event = { .events = EPOLLIN }, events[8];
        int n, r = 0;

        s.epoll = epoll_create1(EPOLL_CLOEXEC);
        if (s.epoll < 0 || epoll_ctl(s.epoll, EPOLL_CTL_ADD, channel, &event) < 0)
                return -errno;
        while (r == 0) {
                n = epoll_wait(s.epoll, events, ELEMENTSOF(events), -1);
                for (int i = 0; i < n && r == 0; i++)
                        r = events[i].data.u64 == 0 ? spawner_on_channel(&s)
                                                    : spawner_on_worker(&s, events[i].data.u64);
        }
        close_fd(s.epoll);
        return r < 0 ? r : 0;
}
