/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* forkd's side of bench-server: named forkservers that hold a ballast, and one entry run by them.
 */

#include "bench.h"

#include "forkd.h"

/* What a forkserver of the benchmark is started with. */
typedef struct ServerShape {
        const char *name;
        uint64_t bytes;
        unsigned spare;
        bool huge_pages;
} ServerShape;

/* Returns when it is ready. Below, a positive outcome is printed and becomes -EREMOTEIO. */
int server_start(Forkd *f, const ServerShape *shape);
int server_scale(Forkd *f, const char *name, unsigned spare);
/* Waits until it has n spares, at most 5 s (-ETIMEDOUT). */
int server_wait_spares(Forkd *f, const char *name, unsigned n);
/* The pids of n of its spares; waits for them as long. */
int server_spares(Forkd *f, const char *name, pid_t *ret_pids, size_t n);

/* method: fork, spawn or forkserver; server: NULL for the twin. To be released by json_decref();
 * NULL without memory. */
json_t *server_job(const char *method, const char *server);
/* Runs it n times, gap_usec before each: n samples from request to answer. */
int server_time(Forkd *f, json_t *job, unsigned n, unsigned gap_usec, Samples *ret);
