/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The state directory: the lock that makes one daemon of it, ids that are never used twice, and the
 * output files. */

#include "basic.h"

typedef struct StateDir StateDir;

enum {
        STATE_DIR_E_LOCKED = 1, /* another daemon has it */
        STATE_DIR_E_DAMAGED,    /* STATE/ids is no number of ours */
};

int state_dir_open(StateDir **ret, const char *path);
StateDir *state_dir_free(StateDir *s);

const char *state_dir_path(const StateDir *s);
int state_dir_output_fd(const StateDir *s); /* the directory of output files */
/* The descriptors that it holds, at most 4; how many. */
size_t state_dir_fds(const StateDir *s, int *ret);
/* A short text that is this directory's on this machine: "forkd-2049-131". */
const char *state_dir_instance(const StateDir *s);
/* The next id. Ids are reserved on disk in blocks, so a crash skips some and repeats none. */
int state_dir_next_id(StateDir *s, uint64_t *ret);
/* Output of jobs that this daemon cannot know (its queue is in memory) is removed; how many files.
 */
unsigned state_dir_clear_output(StateDir *s);
