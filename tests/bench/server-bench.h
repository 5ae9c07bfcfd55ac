/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of bench-server share: its lanes, and whom they need. */

#include "floor.h"
#include "forkd-lane.h"
#include "helper-lane.h"
#include "private-daemon.h"
#include "server-results.h"

#define LANES_MAX (_TINY_MAX + _SIZE_MAX * _SIZE_LANE_MAX)

typedef struct ServerOptions {
        Programs programs;
        unsigned seconds;
        bool json, large;
} ServerOptions;

/* One way to an answer: by exactly one of floor, job and helper. */
typedef struct ServerLane {
        const char *title;
        LaneSamples *samples;
        unsigned n, gap_usec; /* requests a round, the time before each */
        Floor *floor;
        json_t *job;
        const char *spare_of; /* this forkserver has its spare before the round begins */
        Helper *helper;
        const char *method;
} ServerLane;

typedef struct ServerBench {
        const ServerOptions *options;
        Floor *floors[_FLOOR_KIND_MAX]; /* NULL: not here */
        PrivateDaemon *daemon;
        Forkd *f;
        Helper *fork, *python, *sized[_SIZE_MAX][2]; /* the second on huge pages */
        Floor *sized_floors[_SIZE_MAX][2];
        ServerLane lanes[LANES_MAX];
        size_t n_lanes;
        ServerResults results;
} ServerBench;

/* The lanes of tiny forkservers, whose floors, helpers and forkservers are there. */
void tiny_lanes_open(ServerBench *b);
/* Starts the forkservers and floors of each size; -ENOMEM when there is too little memory for them.
 */
int size_lanes_open(ServerBench *b);
