/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The order to fork: a job's specification as the plan of forkd-server(7), with its descriptors. */

#include "basic.h"
#include "job.h"
#include "json-text.h"

#define ORDER_DESCRIPTORS_MAX 8

typedef struct Order {
        JsonText text;
        int fds[ORDER_DESCRIPTORS_MAX]; /* borrowed */
        size_t n_fds;
} Order;

#define ORDER_NULL ((Order){ 0 })

/* channel: the worker's end of an entry's channel, or -1. */
int order_write(Order *order, const Job *job, const Attempt *attempt, int channel);
void order_done(Order *order);
/* The Call that an entry's worker gets. */
int order_write_call(JsonText *t, const Job *job);
