/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The attempts that a forkserver has launched and forkd has not acknowledged yet. */

#include "launch.h"

#include <signal.h>

typedef struct ForkedKey {
        uint64_t id;
        uint64_t attempt;
} ForkedKey;

/* uthash's own function falls through its cases without saying so. Numbers of jobs are consecutive,
 * and those of spares, whose id is 0. */
static inline unsigned forked_key_hash(const void *pointer) {
        const ForkedKey *key = pointer;
        uint64_t h = (key->id ^ key->attempt << 32) * UINT64_C(0x9e3779b97f4a7c15);

        return (unsigned)(h >> 32);
}
#define HASH_FUNCTION(key, length, value) ((void)(length), (value) = forked_key_hash(key))

#include <uthash.h>

typedef struct Forked {
        ForkedKey key;
        Launched child;
        bool ended; /* peeked: a zombie */
        int code, status;
        struct rusage usage;
        uint64_t started_due; /* CLOCK_MONOTONIC; when forkd gets to hear of the start. 0: it was
                                 told */
        struct Forked *prev, *next; /* those with started_due */
        UT_hash_handle hh;
} Forked;

enum {
        FORKED_E_LIVES = 1, /* not ended yet */
};

/* Takes over launched on success. */
int forked_new(Forked **ret, Forked **table, const ForkedKey *key, const Launched *launched);
Forked *forked_free(Forked *a, Forked **table); /* neither signals nor reaps */
Forked *forked_find(Forked *table, const ForkedKey *key);
/* Looks at an end without reaping: 0 with code, status and usage set, FORKED_E_LIVES or -errno. */
int forked_peek(Forked *a);
void forked_reap(Forked *a);
