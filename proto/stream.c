/* SPDX-License-Identifier: Apache-2.0 */

/* A stream: one socket, one buffer of what came, a list of descriptors that came with it, and a
 * list of what could not be sent yet. Owned by a connection of the daemon or by one of libforkd;
 * lives in the process of its owner and never blocks it: every system call is made with
 * MSG_DONTWAIT. */

#include "stream.h"

#include <assert.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define INPUT_INITIAL ((size_t)8 * 1024)
#define INPUT_MAX     (STREAM_MESSAGE_MAX + INPUT_INITIAL)
#define OUTPUT_BATCH  16

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Descriptors that came with the byte at this position of the whole input. */
typedef struct Attached {
        struct Attached *next;
        uint64_t position;
        int fds[STREAM_DESCRIPTORS_MAX];
        size_t n_fds;
} Attached;

/* One message that waits, whole or in part. Its descriptors are gone with its first byte. */
typedef struct Output {
        struct Output *next;
        int *fds;
        size_t n_fds;
        size_t length, sent;
        char text[];
} Output;

struct Stream {
        int fd;
        bool descriptors;

        char *input;
        size_t allocated, start, end;
        size_t searched; /* bytes after start that hold no NUL */
        uint64_t taken;  /* bytes handed out since the beginning */
        uint64_t since;  /* of the unfinished message's first byte */
        Attached *attached, *attached_last;
        bool whole_sends; /* each message of the peer is a send of its own */

        Output *output, *output_last;
        size_t n_output, output_max;
};

static void close_fds(const int *fds, size_t n_fds) {
        for (size_t i = 0; i < n_fds; i++)
                close_fd(fds[i]);
}

void stream_message_done(StreamMessage *message) {
        free(message->text);
        close_fds(message->fds, message->n_fds);
        *message = STREAM_MESSAGE_NULL;
}

int stream_new(Stream **ret, int fd, size_t output_max, bool descriptors) {
        Stream *s = calloc(1, sizeof(*s));

        if (!s) {
                close_fd(fd);
                return -ENOMEM;
        }
        s->fd = fd;
        s->output_max = output_max;
        s->descriptors = descriptors;

        /* Since Linux 6.16 the sender can be told at once. Without it, stream_read() refuses them.
         */
        if (!descriptors)
                (void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &(int){ 0 }, sizeof(int));

        *ret = s;
        return 0;
}

static Output *output_free(Output *o) {
        if (o) {
                close_fds(o->fds, o->n_fds);
                free(o->fds);
                free(o);
        }
        return NULL;
}

static void output_freep(Output **o) {
        output_free(*o);
}

Stream *stream_free(Stream *s) {
        if (!s)
                return NULL;

        while (s->attached) {
                Attached *a = s->attached;

                s->attached = a->next;
                close_fds(a->fds, a->n_fds);
                free(a);
        }
        while (s->output) {
                Output *o = s->output;

                s->output = o->next;
                output_free(o);
        }
        free(s->input);
        close_fd(s->fd);
        free(s);
        return NULL;
}

void stream_expect_whole_sends(Stream *s) {
        s->whole_sends = true;
}

int stream_fd(const Stream *s) {
        return s->fd;
}

/* ---- in */

/* Room for at least a quarter of the buffer, that a large message may come in few reads. */
static int stream_make_room(Stream *s) {
        size_t held = s->end - s->start, size;
        char *input;

        if (s->start > 0 && (held == 0 || s->allocated - s->end < s->allocated / 4)) {
                if (held > 0)
                        memmove(s->input, s->input + s->start, held);
                s->start = 0;
                s->end = held;
        }
        if (s->allocated > 0 && s->allocated - s->end >= s->allocated / 4)
                return 0;

        size = s->allocated ? s->allocated * 2 : INPUT_INITIAL;
        if (size > INPUT_MAX)
                size = INPUT_MAX;
        if (size > s->allocated) {
                input = realloc(s->input, size);
                if (!input)
                        return -ENOMEM;
                s->input = input;
                s->allocated = size;
        }
        return s->end < s->allocated ? 0 : -ENOBUFS;
}

static size_t message_take_fds(struct msghdr *m, int *fds) {
        size_t n = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                size_t k;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                assert(n + k <= STREAM_DESCRIPTORS_MAX);
                memcpy(fds + n, CMSG_DATA(c), k * sizeof(int));
                n += k;
        }
        return n;
}

/* Linux delivers descriptors with the last bytes of a chunk: what was sent plain before them may be
 * in front. So they have an owner only when the chunk is no more than the head of one message; or
 * when the sender is known to send each message by itself: then it is the last one that starts in
 * the chunk. */
static int stream_attach(Stream *s, size_t n, const int *fds, size_t n_fds) {
        const char *chunk = s->input + s->end, *nul = memrchr(chunk, 0, n - 1);
        const char *head = nul ? nul + 1 : chunk;
        bool boundary = s->start == s->end || chunk[-1] == 0;
        Attached *a;

        if ((!nul && !boundary) || (nul && !s->whole_sends))
                return STREAM_E_DESCRIPTORS;

        a = malloc(sizeof(*a));
        if (!a)
                return -ENOMEM;
        *a = (Attached){ .position = s->taken + (size_t)(head - (s->input + s->start)),
                         .n_fds = n_fds };
        memcpy(a->fds, fds, n_fds * sizeof(int));

        if (s->attached)
                s->attached_last->next = a;
        else
                s->attached = a;
        s->attached_last = a;
        return 0;
}

int stream_read(Stream *s) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * STREAM_DESCRIPTORS_MAX)];
        } control;
        int fds[STREAM_DESCRIPTORS_MAX];
        struct iovec iov;
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        size_t n_fds = 0;
        const char *chunk;
        ssize_t n;
        int r;

        r = stream_make_room(s);
        if (r < 0)
                return r;

        chunk = s->input + s->end;
        iov = (struct iovec){ s->input + s->end, s->allocated - s->end };
        /* without room for them the kernel installs none, and says MSG_CTRUNC */
        if (s->descriptors) {
                m.msg_control = &control;
                m.msg_controllen = sizeof(control);
        }

        n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? STREAM_E_AGAIN
                       : errno == ECONNRESET             ? STREAM_E_CLOSED
                                                         : -errno;

        if (s->descriptors)
                n_fds = message_take_fds(&m, fds);
        r = 0;
        if (m.msg_flags & MSG_CTRUNC)
                r = STREAM_E_DESCRIPTORS;
        else if (n == 0)
                r = STREAM_E_CLOSED;
        else if (n_fds > 0)
                r = stream_attach(s, (size_t)n, fds, n_fds);
        if (r != 0) {
                close_fds(fds, n_fds);
                return r;
        }

        if (chunk[n - 1] != 0 &&
            (s->start == s->end || chunk[-1] == 0 || memchr(chunk, 0, (size_t)n)))
                s->since = now_usec(CLOCK_MONOTONIC);
        s->end += (size_t)n;
        return 0;
}

static void stream_take_attached(Stream *s, StreamMessage *message) {
        Attached *a = s->attached;

        if (!a || a->position != s->taken)
                return;
        memcpy(message->fds, a->fds, a->n_fds * sizeof(int));
        message->n_fds = a->n_fds;
        s->attached = a->next;
        free(a);
}

static void stream_drop_input(Stream *s) {
        s->input = NULL;
        s->allocated = s->start = s->end = 0;
}

int stream_next(Stream *s, StreamMessage *ret) {
        StreamMessage message = STREAM_MESSAGE_NULL;
        const char *text, *nul;
        size_t held = s->end - s->start;

        if (held == 0)
                return STREAM_E_AGAIN;
        text = s->input + s->start;
        nul = memchr(text + s->searched, 0, held - s->searched);
        message.length = nul ? (size_t)(nul - text) : held;
        if (message.length > STREAM_MESSAGE_MAX)
                return STREAM_E_TOO_LONG;
        if (!nul) {
                s->searched = held;
                return STREAM_E_AGAIN;
        }

        if (s->start == 0 && message.length + 1 == held && s->allocated > INPUT_INITIAL) {
                message.text = s->input; /* the large buffer goes with the large message */
                stream_drop_input(s);
        } else {
                message.text = malloc(message.length + 1);
                if (!message.text)
                        return -ENOMEM;
                memcpy(message.text, text, message.length + 1);
                s->start += message.length + 1;
        }
        stream_take_attached(s, &message);
        s->taken += message.length + 1;
        s->searched = 0;

        if (s->start == s->end && s->allocated > INPUT_INITIAL) {
                free(s->input);
                stream_drop_input(s);
        }
        *ret = message;
        return 0;
}

size_t stream_pending_input(const Stream *s, uint64_t *ret_since) {
        size_t held = s->end - s->start;
        const char *nul = held > s->searched ? memrchr(s->input + s->start, 0, held) : NULL;
        size_t n = nul ? (size_t)(s->input + s->end - nul) - 1 : held;

        if (n > 0 && ret_since)
                *ret_since = s->since;
        return n;
}

size_t stream_buffered_input(const Stream *s) {
        return s->end - s->start;
}

/* ---- out */

static int send_some(int fd, struct iovec *iov, size_t n_iov, const int *fds, size_t n_fds,
                     size_t *ret_sent) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * STREAM_DESCRIPTORS_MAX)];
        } control;
        struct msghdr m = { .msg_iov = iov, .msg_iovlen = n_iov };
        ssize_t n;

        if (n_fds > 0) {
                memset(&control, 0, sizeof(control));
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }

        do
                n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return errno == EAGAIN ? STREAM_E_AGAIN : errno == ECONNRESET ? -EPIPE : -errno;

        *ret_sent = (size_t)n;
        return 0;
}

static int stream_queue(Stream *s, const char *text, size_t length, size_t sent, const int *fds,
                        size_t n_fds) {
        size_t rest = length + 1 - sent;
        _cleanup_(output_freep) Output *o = malloc(sizeof(*o) + rest);

        if (!o)
                return -ENOMEM;
        *o = (Output){ .length = rest };
        memcpy(o->text, text + sent, rest - 1);
        o->text[rest - 1] = 0;

        if (n_fds > 0) {
                o->fds = malloc(n_fds * sizeof(int));
                if (!o->fds)
                        return -ENOMEM;
                for (; o->n_fds < n_fds; o->n_fds++) {
                        o->fds[o->n_fds] = fcntl(fds[o->n_fds], F_DUPFD_CLOEXEC, 3);
                        if (o->fds[o->n_fds] < 0)
                                return -errno;
                }
        }

        if (s->output)
                s->output_last->next = o;
        else
                s->output = o;
        s->output_last = steal(o);
        s->n_output += rest;
        return 0;
}

int stream_write(Stream *s, const char *text, size_t length, const int *fds, size_t n_fds) {
        size_t sent = 0;
        int r;

        assert(n_fds <= STREAM_DESCRIPTORS_MAX);
        if (length > STREAM_MESSAGE_MAX)
                return STREAM_E_TOO_LONG;

        if (!s->output) {
                struct iovec iov[] = { { (char *)text, length }, { (char[]){ 0 }, 1 } };

                r = send_some(s->fd, iov, ELEMENTSOF(iov), fds, n_fds, &sent);
                if (r < 0 || (r == 0 && sent == length + 1))
                        return r;
                if (sent > 0)
                        n_fds = 0; /* they went with the first byte */
        }

        if (length + 1 - sent > s->output_max || s->n_output > s->output_max - (length + 1 - sent))
                return STREAM_E_FULL;
        return stream_queue(s, text, length, sent, fds, n_fds);
}

/* Descriptors go with the bytes of their own message and nothing else. */
static int stream_send_batch(Stream *s, size_t *ret_sent) {
        struct iovec iov[OUTPUT_BATCH];
        Output *o = s->output;
        size_t n = 0;

        do {
                iov[n++] = (struct iovec){ o->text + o->sent, o->length - o->sent };
                if (o->n_fds > 0)
                        break;
                o = o->next;
        } while (o && o->n_fds == 0 && n < OUTPUT_BATCH);

        return send_some(s->fd, iov, n, s->output->fds, s->output->n_fds, ret_sent);
}

int stream_flush(Stream *s) {
        while (s->output) {
                size_t sent;
                int r;

                r = stream_send_batch(s, &sent);
                if (r != 0)
                        return r;

                s->n_output -= sent;
                close_fds(s->output->fds, s->output->n_fds);
                s->output->n_fds = 0;
                while (s->output && sent >= s->output->length - s->output->sent) {
                        Output *o = s->output;

                        sent -= o->length - o->sent;
                        s->output = o->next;
                        output_free(o);
                }
                if (s->output)
                        s->output->sent += sent;
        }
        return 0;
}

size_t stream_pending_output(const Stream *s) {
        return s->n_output;
}
