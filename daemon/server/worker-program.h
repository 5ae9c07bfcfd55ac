/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Workers in which an ordinary program goes on after forkd_serve(): the entry "main". */

#include "basic.h"
#include "call.h"

#define WORKER_PROGRAM_ENTRY "main"

/* The job's arguments for main(). Stays where it is for ever. */
typedef struct WorkerProgram {
        int argc;
        char **argv; /* the program's name, then the texts of "argv"; NULL-terminated */
} WorkerProgram;

enum {
        WORKER_PROGRAM_E_INVALID = 1, /* *ret_reason says what is wrong, in a sentence */
};

/* Takes argv out of the arguments of a call. */
int worker_program_read(WorkerProgram *ret, const json_t *arguments, const char **ret_reason);
/* From now on exit() gives the answer, Returned when the status is 0, and ends the process without
 * the handlers that were registered before. 0 or -errno. */
int worker_program_begin(const WorkerChannel *channel);
