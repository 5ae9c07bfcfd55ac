/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Output of a durable job: a file, STATE/output/ID.out or ID.err, or a stream of the journal's.
 * Written by the worker itself, through a descriptor that forkd opens for it; forkd looks at the
 * size of a file and punches out the head. */

#include "basic.h"

typedef struct Output {
        int fd;        /* ours, read-write, O_APPEND; -1 when there is no file */
        uint64_t lost; /* bytes punched out at the head */
        bool journal;  /* fd, while there is one, is a stream of the journal's and no file */
} Output;

#define OUTPUT_NULL ((Output){ .fd = -1 })

int output_open(Output *o, int directory_fd, uint64_t job, const char *suffix);
/* A stream to the journal instead, under the identifier "forkd-ID"; -errno when it takes none. */
int output_open_journal(Output *o, uint64_t job);
void output_close(Output *o);
/* Bytes written so far, the lost ones included. */
uint64_t output_size(const Output *o);
/* Punches out the head so that at most max bytes stay. */
int output_trim(Output *o, uint64_t max);
/* The last lines, at most 10 and 2 KiB; NULL when there is nothing. Owned by the caller. */
char *output_tail(const Output *o);
int output_unlink(int directory_fd, uint64_t job, const char *suffix);
/* A descriptor of its own for reading, or -errno: also after output_close(). */
int output_reopen(int directory_fd, uint64_t job, const char *suffix);
/* How many bytes at the head of an open file are a hole. */
uint64_t output_hole(int fd);
