/* SPDX-License-Identifier: Apache-2.0 */

/* The queue to forkd. Belongs to the forkserver's Server; owns its packets with duplicates of their
 * descriptors. A forkd that does not read must not hold up a forkserver, which still has children
 * to look after. */

#include "outbox.h"

#include "packet.h"

#include <utlist.h>

typedef struct Waiting {
        const char *method; /* a literal */
        json_t *parameters;
        int fd;
        struct Waiting *prev, *next;
} Waiting;

struct Outbox {
        int channel;
        Waiting *first;
        size_t length;
};

int outbox_new(Outbox **ret, int channel) {
        Outbox *o = calloc(1, sizeof(Outbox));

        if (!o)
                return -ENOMEM;
        o->channel = channel;
        *ret = o;
        return 0;
}

static void waiting_free(Waiting *w) {
        json_decref(w->parameters);
        close_fd(w->fd);
        free(w);
}

Outbox *outbox_free(Outbox *o) {
        Waiting *w, *next;

        if (!o)
                return NULL;
        DL_FOREACH_SAFE (o->first, w, next)
                waiting_free(w);
        free(o);
        return NULL;
}

static int outbox_send_now(Outbox *o, const char *method, json_t *parameters, int fd) {
        int r = packet_send(o->channel, method, parameters, &fd, fd >= 0);

        if (r == PACKET_E_CLOSED)
                return OUTBOX_E_CLOSED;
        /* too many descriptors under way to readers that are slow: as good as no room */
        return r == -ETOOMANYREFS || r == -ENOBUFS ? PACKET_E_AGAIN : r;
}

static int outbox_append(Outbox *o, const char *method, json_t *parameters, int fd) {
        Waiting *w = malloc(sizeof(Waiting));

        if (!w)
                return -ENOMEM;
        *w = (Waiting){ .method = method, .parameters = json_incref(parameters), .fd = -1 };
        if (fd >= 0) {
                w->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (w->fd < 0) {
                        int error = errno;

                        waiting_free(w);
                        return -error;
                }
        }
        DL_APPEND(o->first, w);
        o->length++;
        return 0;
}

int outbox_send(Outbox *o, const char *method, json_t *parameters, int fd) {
        int r = PACKET_E_AGAIN;

        if (!parameters)
                return -ENOMEM;
        if (!o->first)
                r = outbox_send_now(o, method, parameters, fd);
        if (r == PACKET_E_AGAIN)
                r = outbox_append(o, method, parameters, fd);
        json_decref(parameters);
        return r;
}

int outbox_flush(Outbox *o) {
        while (o->first) {
                Waiting *w = o->first;
                int r = outbox_send_now(o, w->method, w->parameters, w->fd);

                if (r == PACKET_E_AGAIN)
                        return 0;
                if (r != 0)
                        return r;
                DL_DELETE(o->first, w);
                o->length--;
                waiting_free(w);
        }
        return 0;
}

size_t outbox_length(const Outbox *o) {
        return o->length;
}
