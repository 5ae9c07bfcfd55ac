/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What forkd sends to forkservers and workers for one attempt: a job's specification as the plan of
 * forkd-server(7), with its descriptors. */

#include "attempt.h"
#include "basic.h"
#include "job.h"
#include "json-text.h"
#include "server-settings.h"

#define ORDER_DESCRIPTORS_MAX 8

struct Order {
        JsonText text;
        int fds[ORDER_DESCRIPTORS_MAX]; /* borrowed */
        size_t n_fds;
};

#define ORDER_NULL ((Order){ 0 })

void order_done(Order *order);
static inline void order_donep(Order *o) {
        order_done(o);
}

/* ---- whole packets */

/* Fork of a command, for the spawner. */
int order_write(Order *order, const Job *job, const Attempt *attempt);
/* Fork of an entry's worker. channel: the worker's end. job NULL: of a spare. */
int order_write_fork(Order *order, const Attempt *attempt, const Server *server, const Job *job,
                     int channel);
/* Adopt: makes it the job's. */
int order_write_adopt(Order *order, const Job *job, const Attempt *attempt, const Server *server);
/* Adopt for a one-shot host: what of the job its preload is not to see. */
int order_write_adopt_one_shot(Order *order, const Job *job, const Attempt *attempt,
                               const ServerSettings *settings);
/* Fork of a one-shot host, for the spawner: command preloads what these settings say, or Module=
 * (NULL), and serves the channel. */
int order_write_one_shot(Order *order, const Job *job, const Attempt *attempt,
                         const ServerSettings *settings, char *const *command, int channel);
/* Fork of a host: plan has the object of the plan and its descriptors. */
int order_write_host(Order *order, const Attempt *attempt, const Order *plan);
/* The Call that an entry's worker gets. */
int order_write_call(JsonText *t, const Job *job);

/* ---- parts of a plan, also for those who write their own */

/* The index of a descriptor in the packet. */
int order_add_fd(Order *order, int fd);
/* uid, gid and groups to become; nothing when that is who we are, or we cannot change. */
void order_write_owner(JsonText *t, const Owner *owner);
void order_write_limits(JsonText *t, const JobLimit *limits, size_t n_limits);
