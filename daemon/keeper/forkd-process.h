/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One start of forkd: the process and the keeper's end of its channel. Owned by value by the
 * keeper. */

#include "basic.h"

#include <sys/types.h>

typedef struct ForkdProcess {
        pid_t pid;   /* 0: none */
        int pidfd;   /* -1: none */
        int channel; /* SEQPACKET; -1: none */
} ForkdProcess;

#define FORKD_PROCESS_NULL ((ForkdProcess){ 0, -1, -1 })

/* Starts argv with $FORKD_KEEPER and nothing of the service manager's in its environment, in a
 * process group of its own, so that a terminal's signals come to it only through the keeper. A
 * program that cannot be executed exits with 126 or 127, having said why. */
int forkd_process_start(ForkdProcess *ret, char *const *argv);
/* -ESRCH when it is gone. */
int forkd_process_signal(const ForkdProcess *p, int signal);
/* True when it has ended: it is reaped, its descriptors are closed, *p is FORKD_PROCESS_NULL but
 * for the channel, which may still have records. ret_code is CLD_EXITED, CLD_KILLED or CLD_DUMPED.
 */
bool forkd_process_reap(ForkdProcess *p, int *ret_code, int *ret_status);
void forkd_process_close(ForkdProcess *p);
