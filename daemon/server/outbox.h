/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Packets to forkd that wait until the channel has room, in order. */

#include "basic.h"

#include <jansson.h>

/* Above this the forkserver takes no more orders. What it has begun still gets in, so that the
 * length is bounded by this and twice the workers. */
#define OUTBOX_FULL 1024

typedef struct Outbox Outbox;

enum {
        OUTBOX_E_CLOSED = 2, /* nobody reads any more */
};

int outbox_new(Outbox **ret, int channel); /* borrowed */
Outbox *outbox_free(Outbox *o);
static inline void outbox_freep(Outbox **o) {
        outbox_free(*o);
}

/* Sends, or queues behind what waits. Takes the reference to parameters (NULL is -ENOMEM); fd (or
 * -1) stays the caller's. 0, OUTBOX_E_CLOSED or -errno. */
int outbox_send(Outbox *o, const char *method, json_t *parameters, int fd);
/* Sends what the channel takes. 0, OUTBOX_E_CLOSED or -errno. */
int outbox_flush(Outbox *o);
size_t outbox_length(const Outbox *o);
