/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Workers of entries that are forked ahead of need. A spare is an Attempt without a job, known to
 * its forkserver by id 0 and a number. */

#include "attempt.h"
#include "server.h"

/* Has as many spares forked as server->spare_wanted says, soon, when nothing else is to do; ends
 * those that are too many. */
void spare_refill(Server *s);
/* A spare that is ready, the oldest, taken out of the spares; or NULL. */
Attempt *spare_take(Server *s);
/* Those that wait for a job; n_spares has also what was only ordered. */
unsigned spare_count_ready(const Server *s);
/* One that was taken has got its job: it is looked whether it has taken the token. */
void spare_adopted(Attempt *a);
/* Closes the channels of all: they end by themselves, or are killed in a while. */
void spare_end_all(Server *s);
/* The same of one. */
void spare_end(Attempt *a);
/* It is ready. */
void spare_started(Attempt *a);
/* It could not be forked, or has ended before it got a job. */
void spare_ended(Attempt *a);
/* It has closed its channel, or said what it should not: nobody takes it any more. */
void spare_spoiled(Attempt *a);
/* Its forkserver counts it no more among its spares; nothing to do for other attempts. */
void spare_forget(Attempt *a);
