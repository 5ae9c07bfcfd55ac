/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one run of bench-spawn has measured, and how it is shown. */

#include "bench.h"

/* The order is that of the table and of every round. */
typedef enum LaneName {
        LANE_DIRECT,
        LANE_BARE,
        LANE_HOPS,
        LANE_HOPS_CGROUP,
        LANE_FORKD,
        LANE_XARGS,
        LANE_SHELL,
        LANE_TSP,
        LANE_FORKCTL,
        _LANE_MAX,
} LaneName;

const char *lane_title(LaneName lane);

enum { PROGRAM_NOLIBC, PROGRAM_TRUE, _PROGRAM_MAX };
enum { FORK_FLOOR, FORK_FORKD, _FORK_MAX };

typedef struct Results {
        Samples samples[_PROGRAM_MAX][2][_LANE_MAX]; /* by program, in flight - 1, lane */
        Samples forks[_FORK_MAX];                    /* an entry by fork, one in flight */
        uint64_t idle_pss;
        unsigned idle_processes, rounds, jobs;
} Results;

void results_print(const Results *results);
/* 0 or -EIO */
int results_print_json(const Results *results);
