/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Packets between forkd's own processes and between callers and workers, as forkd-server(7)
 * describes them: one JSON object {"method": …, "parameters": …} a packet over a SEQPACKET Unix
 * socket, with the descriptors that belong to it. An object above PACKET_INLINE_MAX travels in a
 * sealed memfd, which is then the packet's last descriptor, and the packet itself is {"memfd":
 * true}. */

#include "basic.h"

#include <jansson.h>

#define PACKET_INLINE_MAX      ((size_t)128 * 1024)
#define PACKET_MAX             ((size_t)64 * 1024 * 1024)
#define PACKET_DESCRIPTORS_MAX 16

enum {
        PACKET_E_AGAIN = 1, /* nothing to read, or no room to send, now */
        PACKET_E_CLOSED,    /* the other end has closed */
        PACKET_E_INVALID,   /* no packet of ours: its descriptors are closed, it is dropped */
};

typedef struct Packet {
        char *text; /* the whole object, NUL-terminated; owned */
        size_t length;
        json_t *object;     /* parsed; owned */
        const char *method; /* borrowed from object */
        json_t *parameters; /* borrowed from object; never NULL, maybe {} */
        const char *
                captured; /* bytes in text of parameters.arguments or parameters.value when it is */
        size_t captured_length; /* an object (it stands as the integer 0 in parameters), or NULL */
        int fds[PACKET_DESCRIPTORS_MAX]; /* owned, CLOEXEC; -1 once taken */
        size_t n_fds;
} Packet;

#define PACKET_NULL ((Packet){ 0 })

/* Nonblocking sockets only get E_AGAIN. Returns 0, PACKET_E_* or -errno. */
int packet_receive(int fd, Packet *ret);
/* The same; an object above max (PACKET_INLINE_MAX … PACKET_MAX) is PACKET_E_INVALID, too: parsing
 * takes many times its size. */
int packet_receive_bounded(int fd, size_t max, Packet *ret);
void packet_done(Packet *packet);
/* The descriptor at parameters[name], taken out of the packet; -ENOENT when the member is absent or
 * null, -EBADF when it is no valid index. */
int packet_take_fd(Packet *packet, const char *name);
/* The descriptor that index, a JSON integer somewhere in the packet, names; it stays the packet's.
 * -EBADF when there is none. */
int packet_fd(const Packet *packet, const json_t *index);

/* A new connection: our end is nonblocking; both are CLOEXEC and the caller's. */
int packet_pair(int *ret_ours, int *ret_theirs);

/* Sends a finished object. 0, PACKET_E_AGAIN (nothing was sent), PACKET_E_CLOSED, -EMSGSIZE (above
 * PACKET_MAX) or -errno. fds stay the caller's. */
int packet_send_text(int fd, const char *text, size_t length, const int *fds, size_t n_fds);
/* The same from its parts; parameters is borrowed. */
int packet_send(int fd, const char *method, json_t *parameters, const int *fds, size_t n_fds);
