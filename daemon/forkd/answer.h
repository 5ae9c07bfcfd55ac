/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The channel of the worker of an entry; see "The channel of a worker" in forkd-server(7). */

#include "attempt.h"
#include "server-settings.h"

enum {
        ANSWER_E_GONE = 1, /* there is no worker at the other end any more */
};

/* Opens the channel. *ret_worker_end is the caller's. */
int answer_open(Attempt *a, int *ret_worker_end);
/* Puts Adopt and the Call into it, which may be before there is a worker. 0, ANSWER_E_GONE or
 * -errno. */
int answer_send(Attempt *a, const Job *job, const Server *server);
/* The same for a one-shot host of these settings, or of Module= (NULL). */
int answer_send_one_shot(Attempt *a, const Job *job, const ServerSettings *settings);
/* Takes at most max packets: the first answer is kept in the attempt, progress is passed on. True
 * when there may be more. */
bool answer_read(Attempt *a, unsigned max);
