/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The running table: which process runs which attempt, in a memfd that the keeper stores, so that
 * it survives forkd's SIGKILL at the cost of a memory write. One fixed slot per running attempt.
 * Written by one forkd at a time, read by the next. A slot is valid when its `seal` matches its
 * content, so that a write cut short by SIGKILL reads as empty. */

#include "basic.h"

#include <sys/types.h>

typedef struct RunningSlot {
        uint64_t job;
        uint32_t attempt;
        int32_t pid;
        uint64_t start_time; /* field 22 of /proc/PID/stat */
        uint32_t uid;
        uint32_t class;  /* 0 attached, 1 durable */
        char server[48]; /* NUL-terminated */
        uint64_t seal;   /* 0: empty */
} RunningSlot;

typedef struct RunningTable RunningTable;

/* A fresh table in a fresh memfd, for at most n_slots attempts. */
int running_table_new(RunningTable **ret, size_t n_slots);
/* The table of a former forkd; -EBADMSG when it is none, or of another boot (the boot id stands in
 * the head). Takes fd over on success. */
int running_table_open(RunningTable **ret, int fd);
RunningTable *running_table_free(RunningTable *t);
int running_table_fd(const RunningTable *t);

/* The slot's number, or -ENOSPC. seal is computed. */
int running_table_put(RunningTable *t, const RunningSlot *slot);
void running_table_clear(RunningTable *t, int number);
/* The valid slots: false when i is beyond the end; skips nothing, *ret_valid says. */
bool running_table_get(const RunningTable *t, size_t i, RunningSlot *ret, bool *ret_valid);
