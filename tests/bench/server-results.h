/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one run of bench-server has measured, and how it is shown. */

#include "bench.h"

/* The order is that of the tables and of every round. */
typedef enum ServerLaneName {
        /* back to back */
        TINY_FORK, /* one process forks itself: the least there is */
        TINY_FLOOR,
        TINY_FLOOR_CGROUP,
        TINY_FORKSERVER,
        TINY_TWIN,
        TINY_SPARE,
        TINY_SPAWN,
        TINY_PYTHON_FORK,
        TINY_MP_FORK,
        TINY_MP_FORKSERVER,
        TINY_MP_SPAWN,
        /* with a gap before each request */
        SPACED_FLOOR,
        SPACED_FLOOR_SPARE,
        SPACED_FORKSERVER,
        SPACED_SPARE,
        SPACED_MP_FORKSERVER,
        _TINY_MAX,
} ServerLaneName;

/* By size; huge: on huge pages. */
typedef enum SizeLaneName {
        SIZE_FORK,
        SIZE_HOPS,
        SIZE_FORKSERVER,
        SIZE_FORK_SPACED, /* with a gap before each request, and the next one too */
        SIZE_SPARE,
        SIZE_FORK_HUGE,
        SIZE_HOPS_HUGE,
        SIZE_FORKSERVER_HUGE,
        _SIZE_LANE_MAX,
} SizeLaneName;

typedef enum SizeName { SIZE_10M, SIZE_100M, SIZE_1G, _SIZE_MAX } SizeName;

/* Idle workers, that have run nothing. */
typedef enum IdleName {
        IDLE_FLOOR,
        IDLE_FORKD,
        IDLE_MP_FORK,
        IDLE_MP_FORKSERVER,
        _IDLE_MAX
} IdleName;

#define IDLE_WORKERS 16

typedef struct LaneSamples {
        Samples all;    /* every request */
        Samples rounds; /* the median of each round, for ratios */
} LaneSamples;

typedef struct ServerResults {
        LaneSamples tiny[_TINY_MAX];
        LaneSamples sizes[_SIZE_MAX][_SIZE_LANE_MAX];
        Samples idle_private[_IDLE_MAX], idle_shared[_IDLE_MAX]; /* KiB, one a worker */
        unsigned rounds;
} ServerResults;

const char *tiny_title(ServerLaneName lane);
const char *size_title(SizeLaneName lane);
const char *size_name(SizeName size);
uint64_t size_bytes(SizeName size);

void server_results_print(const ServerResults *results);
/* 0 or -EIO */
int server_results_print_json(const ServerResults *results);
