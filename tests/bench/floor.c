/* SPDX-License-Identifier: Apache-2.0 */
/* A floor is a set of processes that do what forkd's do, bare, and the client that drives them.
 * Owned by the benchmark, which is its client; its processes end at end-of-file. */

#include "floor.h"

#include "cgroup.h"
#include "hold.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

struct Floor {
        FloorKind kind;
        size_t bytes;
        bool huge_pages;
        int clients[FLOOR_CLIENTS_MAX]; /* our ends */
        pid_t processes[2];
        size_t n_processes;
};

static int pair_new(int pair[2]) {
        return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

/* The part of the process is told by what it gets: clients, a channel, or both. */
static int floor_fork(Floor *floor, const int *clients, int channel) {
        pid_t pid = fork();
        int r;

        if (pid < 0)
                return -errno;
        if (pid > 0) {
                floor->processes[floor->n_processes++] = pid;
                return 0;
        }
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        for (int fd = 3; fd < 256; fd++)
                if (fd != channel && (!clients || (fd != clients[0] && fd != clients[1])))
                        close(fd);
        if (!clients) {
                r = hold(floor->bytes, floor->huge_pages);
                r = r < 0 ? r : floor_run_spawner(channel);
        } else if (channel < 0)
                r = floor_run_bare(clients);
        else
                r = floor_run_daemon(clients, channel, floor->kind);
        /* a client that has gone with an answer on its way is the end too */
        if (r < 0 && r != -ECONNRESET && r != -EPIPE)
                fprintf(stderr, "floor %d: %s\n", (int)floor->kind, strerror(-r));
        _exit(r < 0);
}

static int floor_open(Floor *floor, int ends[FLOOR_CLIENTS_MAX], int channel[2]) {
        int pair[2], r;

        for (size_t i = 0; i < FLOOR_CLIENTS_MAX; i++) {
                r = pair_new(pair);
                if (r < 0)
                        return r;
                floor->clients[i] = pair[0];
                ends[i] = pair[1];
        }
        if (floor->kind == FLOOR_BARE)
                return floor_fork(floor, ends, -1);
        r = pair_new(channel);
        if (r < 0)
                return r;
        r = floor_fork(floor, NULL, channel[1]);
        return r < 0 ? r : floor_fork(floor, ends, channel[0]);
}

static int cgroups_probe(void) {
        CgroupBase *base = NULL;
        unsigned ended = 0;
        int r;

        r = cgroup_base_new(&base, "forkd-floor-probe", &ended);
        cgroup_base_free(base);
        return r;
}

int floor_new(Floor **ret, FloorKind kind) {
        return floor_new_holding(ret, kind, 0, false);
}

int floor_new_holding(Floor **ret, FloorKind kind, size_t bytes, bool huge_pages) {
        _cleanup_(floor_freep) Floor *floor = NULL;
        int ends[FLOOR_CLIENTS_MAX] = { -1, -1 }, channel[2] = { -1, -1 }, r;

        if (floor_has_cgroups(kind)) {
                r = cgroups_probe();
                if (r != 0)
                        return r;
        }
        floor = calloc(1, sizeof(*floor));
        if (!floor)
                return -ENOMEM;
        floor->kind = kind;
        floor->bytes = bytes;
        floor->huge_pages = huge_pages;
        for (size_t i = 0; i < FLOOR_CLIENTS_MAX; i++)
                floor->clients[i] = -1;
        r = floor_open(floor, ends, channel);
        for (size_t i = 0; i < FLOOR_CLIENTS_MAX; i++)
                close_fd(ends[i]);
        close_fd(channel[0]);
        close_fd(channel[1]);
        if (r < 0)
                return r;
        *ret = steal(floor);
        return 0;
}

Floor *floor_free(Floor *floor) {
        if (!floor)
                return NULL;
        for (size_t i = 0; i < FLOOR_CLIENTS_MAX; i++)
                close_fd(floor->clients[i]);
        /* the daemon ends at our end-of-file, its spawner at the daemon's */
        for (size_t i = floor->n_processes; i > 0; i--)
                waitpid(floor->processes[i - 1], NULL, 0);
        free(floor);
        return NULL;
}

/* ---- the client */

static int client_ask(const Floor *floor, size_t client, const char *program) {
        if (floor->kind == FLOOR_BARE)
                return send(floor->clients[client], program, strlen(program), MSG_NOSIGNAL) < 0
                               ? -errno
                               : 0;
        if (floor_forks(floor->kind))
                return floor_send(floor->clients[client],
                                  json_pack("{s:s,s:{s:{s:s,s:{s:i}}}}", "method",
                                            "org.forkd.jobs.Run", "parameters", "job", "entry",
                                            "factorial", "arguments", "n", 10),
                                  NULL, 0);
        return floor_send(floor->clients[client],
                          json_pack("{s:s,s:{s:{s:[s]}}}", "method", "org.forkd.jobs.Run",
                                    "parameters", "job", "command", program),
                          NULL, 0);
}

static int client_hear(const Floor *floor, size_t client) {
        json_t *reply = NULL, *certificate;
        int status = -1, r;

        if (floor->kind == FLOOR_BARE) {
                if (recv(floor->clients[client], &status, sizeof(status), 0) != sizeof(status))
                        return -ECONNRESET;
                return status == 0 ? 0 : -EREMOTEIO;
        }
        r = floor_receive(floor->clients[client], &reply, NULL, 0, NULL);
        if (r != 0)
                return r < 0 ? r : -ECONNRESET;
        certificate = json_object_get(json_object_get(reply, "parameters"), "certificate");
        if (!streq_null(json_string_value(json_object_get(certificate, "result")), "success"))
                r = -EREMOTEIO;
        json_decref(reply);
        return r;
}

int floor_batch(void *userdata, const Batch *batch) {
        Floor *floor = userdata;
        struct pollfd polls[FLOOR_CLIENTS_MAX];
        unsigned started = 0, ended = 0;
        int r;

        for (size_t i = 0; i < batch->in_flight; i++) {
                polls[i] = (struct pollfd){ .fd = floor->clients[i], .events = POLLIN };
                r = client_ask(floor, i, batch->program);
                if (r < 0)
                        return r;
                started++;
        }
        while (ended < batch->n) {
                if (batch->in_flight > 1 && poll(polls, batch->in_flight, -1) < 0)
                        return -errno;
                for (size_t i = 0; i < batch->in_flight; i++) {
                        if (batch->in_flight > 1 && !(polls[i].revents & (POLLIN | POLLHUP)))
                                continue;
                        r = client_hear(floor, i);
                        if (r < 0)
                                return r;
                        ended++;
                        if (started >= batch->n)
                                continue;
                        r = client_ask(floor, i, batch->program);
                        if (r < 0)
                                return r;
                        started++;
                }
        }
        return 0;
}
