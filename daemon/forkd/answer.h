/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the worker of an entry answers; see "The channel of a worker" in forkd-server(7). */

#include "attempt.h"

/* Opens the channel and puts the Call into it. *ret_worker_end is the caller's. */
int answer_open(Attempt *a, const Job *job, int *ret_worker_end);
/* Takes at most max packets: the first answer is kept in the attempt, progress is passed on. */
void answer_read(Attempt *a, unsigned max);
