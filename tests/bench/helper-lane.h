/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A helper is a process beside forkd that does the same in its own way, and times it itself: the
 * floor of a size (fork-floor) or Python (peers.py). It obeys lines on its standard input:
 *
 *   time METHOD N GAP   answer N times, GAP microseconds between; says the microseconds of each
 *   idle METHOD N       have N processes that wait; says their pids, and ends them at the next line
 *
 * and ends at end-of-file. */

#include "bench.h"

typedef struct Helper Helper;

/* argv[0] is a path. 0 or a negative errno. */
int helper_new(Helper **ret, char *const *argv);
Helper *helper_free(Helper *helper); /* waits for its end */
static inline void helper_freep(Helper **h) {
        helper_free(*h);
}
/* ret gets n samples more. -EREMOTEIO when the helper has gone or said something else. */
int helper_time(Helper *helper, const char *method, unsigned n, unsigned gap_usec, Samples *ret);
int helper_idle_begin(Helper *helper, const char *method, pid_t *ret_pids, size_t n);
int helper_idle_end(Helper *helper);
