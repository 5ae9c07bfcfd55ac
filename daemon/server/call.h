/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One running call of an entry, from the worker's side; what modules see of it is forkd-module.h.
 */

#include "basic.h"
#include "forkd-module.h"
#include "packet.h"

#include <sys/types.h>

/* The worker's end of its channel. Entries may close or replace the descriptor: it is looked at
 * before each use. */
typedef struct WorkerChannel {
        int fd;
        dev_t dev;
        ino_t ino;
        pid_t pid; /* children of entries must not answer for them */
} WorkerChannel;

int worker_channel_init(WorkerChannel *ret, int fd);
/* Waits for a packet, and for room, respectively: 0, PACKET_E_CLOSED, PACKET_E_INVALID or -errno
 * (-EBADF: it is no longer our channel). */
int worker_channel_receive(const WorkerChannel *channel, Packet *ret);
int worker_channel_send(const WorkerChannel *channel, const char *method, json_t *parameters);
/* A whole object, at most PACKET_INLINE_MAX, without allocating. */
int worker_channel_send_text(const WorkerChannel *channel, const char *text, size_t length);

struct ForkdCall {
        const WorkerChannel *channel;
        uint64_t deadline; /* CLOCK_BOOTTIME; USEC_INFINITY: none */
        uint64_t looked;   /* when the channel was last looked at */
        bool cancelled;
        char *code, *text; /* of forkd_call_fail() */
};

void call_init(ForkdCall *call, const WorkerChannel *channel, uint64_t deadline);
void call_done(ForkdCall *call);
/* What an entry returned, as an answer. True when that was Returned. 0/1 or -errno of sending. */
int call_answer(ForkdCall *call, int result, json_t *value);
int call_raise(ForkdCall *call, const char *code, const char *text);
