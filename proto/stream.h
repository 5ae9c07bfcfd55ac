/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A Varlink byte stream over a Unix stream socket: NUL-terminated messages with their descriptors,
 * in and out, with bounds. Knows framing, not meaning. Used by the daemon's connections
 * (nonblocking) and by libforkd. Owns its socket and every descriptor that it has received and not
 * handed out. */

#include "basic.h"

#define STREAM_MESSAGE_MAX     ((size_t)1024 * 1024) /* bytes, without the NUL */
#define STREAM_DESCRIPTORS_MAX 16                    /* a message */

enum {
        STREAM_E_AGAIN = 1,   /* nothing (more) to do now */
        STREAM_E_CLOSED,      /* the peer has closed; what came before was handed out */
        STREAM_E_TOO_LONG,    /* a message above STREAM_MESSAGE_MAX */
        STREAM_E_DESCRIPTORS, /* truncated, too many, or attached to no single message's first byte
                               */
        STREAM_E_FULL,        /* the peer does not read: above the output bound */
};

typedef struct Stream Stream;

/* One incoming message. text is NUL-terminated, length excludes the NUL. Owned by the receiver. */
typedef struct StreamMessage {
        char *text;
        size_t length;
        int fds[STREAM_DESCRIPTORS_MAX];
        size_t n_fds;
} StreamMessage;

#define STREAM_MESSAGE_NULL ((StreamMessage){ 0 })

void stream_message_done(StreamMessage *message); /* frees, closes */

/* Takes fd over, success or not. output_max: bytes that may wait unsent before STREAM_E_FULL;
 * SIZE_MAX for none. descriptors: whether the peer may send any at all. */
int stream_new(Stream **ret, int fd, size_t output_max, bool descriptors);
Stream *stream_free(Stream *s);
static inline void stream_freep(Stream **s) {
        stream_free(*s);
}

/* For clients: the peer is a Stream too, which sends each message by itself. Then descriptors may
 * come with a chunk that has other messages in front, as with the last reply under more. */
void stream_expect_whole_sends(Stream *s);
int stream_fd(const Stream *s);
/* Reads once what is there. 0: something came; else STREAM_E_AGAIN, _CLOSED, _DESCRIPTORS, or
 * -errno
 * (-ENOBUFS: messages wait to be taken). Takes what came out by stream_next() before reading again.
 */
int stream_read(Stream *s);
/* The next whole message: 0, STREAM_E_AGAIN, STREAM_E_TOO_LONG, STREAM_E_DESCRIPTORS or -errno. */
int stream_next(Stream *s, StreamMessage *ret);
/* Bytes of an unfinished message that wait, and CLOCK_MONOTONIC microseconds of its first byte. */
size_t stream_pending_input(const Stream *s, uint64_t *ret_since);
/* All bytes that have been read and not handed out, of whole messages too. */
size_t stream_buffered_input(const Stream *s);
/* Queues text (length bytes, without NUL; the NUL is added) with duplicates of fds, which stay the
 * caller's. Sends at once what the socket takes. 0, STREAM_E_TOO_LONG (nothing was sent),
 * STREAM_E_FULL (the stream is good for nothing more) or -errno (-EPIPE: peer gone). */
int stream_write(Stream *s, const char *text, size_t length, const int *fds, size_t n_fds);
/* Sends what waits: 0 when all is out, STREAM_E_AGAIN, or -errno. */
int stream_flush(Stream *s);
size_t stream_pending_output(const Stream *s);
