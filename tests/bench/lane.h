/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lanes that are no floors: forkd through libforkd, forkctl, and other people's tools. */

#include "bench.h"

#include "private-daemon.h"

typedef struct ClientLane ClientLane;

/* entry: run this entry with {"n": 10} instead of the batch's program; may be NULL. */
int client_lane_new(ClientLane **ret, const char *address, const char *entry);
ClientLane *client_lane_free(ClientLane *lane);
static inline void client_lane_freep(ClientLane **l) {
        client_lane_free(*l);
}
int client_lane_batch(void *lane, const Batch *batch);

/* What the tools need: userdata of the batches below. */
typedef struct Tools {
        const char *forkctl, *address;
        char tsp_socket[160]; /* TS_SOCKET=… */
} Tools;

int forkctl_batch(void *tools, const Batch *batch); /* a process of forkctl a job */
int xargs_batch(void *tools, const Batch *batch);
int shell_batch(void *tools, const Batch *batch); /* one in flight only */
int tsp_batch(void *tools, const Batch *batch);
void tsp_end(const Tools *tools);
/* Is there such a program in PATH? */
bool tool_found(const char *name);
