/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tests' forkd for hosts that are programs of their own: starts one as the spawner would, with
 * its channel as descriptor 3, and talks to it and to its workers. Every step asserts. */

#include "basic.h"

#include "packet.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct HostStart {
        const char *argv[8];
        const char *environment[8]; /* besides FORKD_SERVER=test#1, and … */
        bool by_hand;               /* … neither that nor any of: */
        bool one_shot;              /* FORKD_WORKER=3 instead of FORKD_CHANNEL=3 */
        bool stream;                /* that is a socket of the wrong type */
        const char *input;          /* standard input; /dev/null without */
} HostStart;

typedef struct Host {
        pid_t pid;
        int channel;
        int log;    /* what it writes to standard error */
        int output; /* … and to standard output */
        int n_fds;
} Host;

void host_start(Host *h, const HostStart *start);
/* Closes the channel, waits for the end; the exit status, or 128 and the signal. Asserts that no
 * descriptor is left. *ret_log and *ret_output, which may be NULL: what it wrote, to be freed. */
int host_end(Host *h, char **ret_output, char **ret_log);
/* The next packet of that channel, which has to have this method; parameters are the caller's. */
json_t *host_expect(int channel, const char *method);
/* Waits for the other end to close, after no more packets. */
void host_expect_end(int channel);
/* Waits until this text has been written to standard error. */
void host_expect_log(Host *h, const char *text);

/* All of Fork, Adopt and Call; returns the worker's channel. output: its standard output, or -1. */
int host_call(Host *h, unsigned id, const char *entry, json_t *arguments, int output);
/* The worker's answer, and its end: closes the channel, acknowledges, and returns the exit status,
 * or 128 and the signal. method NULL: it has none. */
int host_answer(Host *h, unsigned id, int channel, const char *method, json_t **ret_parameters);
/* For programs: runs "main" with one argument (NULL: none), and what it wrote. */
int host_run_main(Host *h, unsigned id, const char *argument, char **ret_output);
