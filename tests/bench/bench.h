/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the parts of the benchmark share. A *lane* is one way of running a program n times,
 * in_flight at a time: a floor, forkd, or somebody else's tool. Every round runs a batch of every
 * lane once, in order, so that a noisy second touches all of them alike. */

#include "basic.h"

#include <jansson.h>
#include <sys/types.h>

typedef struct Batch {
        const char *program;
        unsigned in_flight;
        unsigned n;
} Batch;

/* Runs the whole batch and returns when each exit is known. 0 or a negative errno; a job that did
 * not exit with status 0 is -EREMOTEIO. */
typedef int (*BatchFunction)(void *userdata, const Batch *batch);

#define SAMPLES_MAX 4096

/* Microseconds, one sample a round or a job. */
typedef struct Samples {
        double usec[SAMPLES_MAX];
        size_t n;
} Samples;

void samples_add(Samples *samples, double usec);
/* 0 without samples. */
double samples_median(const Samples *samples);
/* The smallest sample that is not exceeded by `part` (0.99) of them; 0 without samples. */
double samples_quantile(const Samples *samples, double part);
/* The median of the ratios of the i-th samples, which belong to the same round. */
double samples_ratio(const Samples *a, const Samples *b);

/* Resident memory of a process in bytes: what nobody else has, and the rest. */
int process_memory(pid_t pid, uint64_t *ret_private, uint64_t *ret_shared);
/* Resident memory that counts as ours (Pss of smaps_rollup), in bytes, of pid and all its
 * descendants; *ret_processes is how many they are. */
int process_tree_pss(pid_t pid, uint64_t *ret_pss, unsigned *ret_processes);
