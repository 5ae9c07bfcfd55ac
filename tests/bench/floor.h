/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Floors: the same work with nothing around it, which tells what the machine itself charges for the
 * hops that forkd makes.
 *
 *   direct   vfork + exec + wait in the benchmark itself
 *   bare     client → daemon (epoll, vfork with a pidfd) → exec
 *   hops     client → daemon → spawner → exec, with the JSON messages, the start token, the peek
 *            and the acknowledgement that forkd's own way has
 *   fork     client → daemon → forkserver → a forked worker that is adopted and answers one call
 *   spare    the same, but the worker has been forked before the request came
 *
 * The last three with or without a cgroup for each attempt. */

#include "bench.h"

int floor_direct_batch(void *userdata, const Batch *batch); /* userdata is unused */

typedef enum FloorKind {
        FLOOR_BARE,
        FLOOR_HOPS,
        FLOOR_HOPS_CGROUP,
        FLOOR_FORK,
        FLOOR_FORK_CGROUP,
        FLOOR_SPARE,
        FLOOR_SPARE_CGROUP,
        _FLOOR_KIND_MAX,
} FloorKind;

#define FLOOR_CLIENTS_MAX 2

static inline bool floor_has_cgroups(FloorKind kind) {
        return kind == FLOOR_HOPS_CGROUP || kind == FLOOR_FORK_CGROUP || kind == FLOOR_SPARE_CGROUP;
}
static inline bool floor_forks(FloorKind kind) {
        return kind >= FLOOR_FORK;
}
static inline bool floor_has_spare(FloorKind kind) {
        return kind == FLOOR_SPARE || kind == FLOOR_SPARE_CGROUP;
}

typedef struct Floor Floor;

/* Starts the floor's processes. For those with cgroups: a positive CGROUP_E_* when
 * there are none. */
int floor_new(Floor **ret, FloorKind kind);
/* Its forkserver holds so much, once it answers. */
int floor_new_holding(Floor **ret, FloorKind kind, size_t bytes, bool huge_pages);
Floor *floor_free(Floor *floor); /* ends its processes */
static inline void floor_freep(Floor **f) {
        floor_free(*f);
}
int floor_batch(void *floor, const Batch *batch);

/* ---- for the floors' own processes */

/* Starts program as vfork does, with a pidfd; token: an eventfd that the child reads first, or -1;
 * cgroup: a directory to be born in, or -1. */
int floor_start(const char *program, int token, int cgroup, int *ret_pidfd);
/* Each returns when its peers have gone. channel: that of the spawner; clients: connected ones. */
int floor_run_bare(const int *clients);
int floor_run_daemon(const int *clients, int channel, FloorKind kind);
int floor_run_spawner(int channel);

/* One JSON object a packet, with descriptors. receive: 1 at end-of-file; the object is the
 * caller's. */
int floor_send(int fd, json_t *object_stolen, const int *fds, size_t n_fds);
int floor_receive(int fd, json_t **ret, int *ret_fds, size_t n_fds_max, size_t *ret_n_fds);
