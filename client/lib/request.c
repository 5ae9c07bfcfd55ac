/* SPDX-License-Identifier: Apache-2.0 */

/* Requests: their text is written straight into a buffer that the connection keeps, so that a call
 * costs one dump of its parameters and one send. Lives in clients. */

#include "connection.h"

static int text_reserve(Text *t, size_t more) {
        size_t wanted = t->length + more;
        char *text;

        if (wanted <= t->allocated)
                return 0;
        wanted = wanted < 2048 ? 4096 : wanted * 2;
        text = realloc(t->text, wanted);
        if (!text)
                return -ENOMEM;
        t->text = text;
        t->allocated = wanted;
        return 0;
}

int text_add(Text *t, const char *bytes, size_t length) {
        if (text_reserve(t, length) < 0)
                return -ENOMEM;
        memcpy(t->text + t->length, bytes, length);
        t->length += length;
        return 0;
}

int text_add_string(Text *t, const char *s) {
        return text_add(t, s, strlen(s));
}

int text_add_json(Text *t, json_t *json) {
        const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
        size_t n;

        if (text_reserve(t, 1024) < 0)
                return -ENOMEM;
        n = json_dumpb(json, t->text + t->length, t->allocated - t->length, flags);
        if (n == 0)
                return -ENOMEM; /* nothing is ever dumped as nothing */
        if (n > t->allocated - t->length) {
                if (text_reserve(t, n) < 0)
                        return -ENOMEM;
                if (json_dumpb(json, t->text + t->length, t->allocated - t->length, flags) != n)
                        return -ENOMEM;
        }
        t->length += n;
        return 0;
}

void text_done(Text *t) {
        free(t->text);
        *t = (Text){ 0 };
}

/* Names are never escaped, so nothing may be in them that would have to be. */
static bool method_valid(const char *s) {
        bool dot = false;

        for (; *s; s++) {
                if (*s == '.')
                        dot = true;
                else if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_",
                                 *s))
                        return false;
        }
        return dot;
}

int request_begin(Forkd *f, const char *method) {
        Text *t = &f->request;

        if (!method_valid(method))
                return connection_fault(f, -EINVAL, "'%s' is no name of a method", method);

        t->length = 0;
        if (text_add_string(t, "{\"method\":\"") < 0 || text_add_string(t, method) < 0 ||
            text_add_string(t, "\",\"parameters\":") < 0)
                return connection_fault(f, -ENOMEM, "out of memory");
        return 0;
}

int request_end(Forkd *f, unsigned flags) {
        Text *t = &f->request;
        const char *end = "}";

        if (flags & FORKD_CALL_MORE)
                end = ",\"more\":true}";
        else if (flags & FORKD_CALL_ONEWAY)
                end = ",\"oneway\":true}";

        if (text_add_string(t, end) < 0)
                return connection_fault(f, -ENOMEM, "out of memory");
        if (t->length > STREAM_MESSAGE_MAX)
                return connection_fault(f, -EMSGSIZE,
                                        "the request has %zu bytes, and at most %zu are possible; "
                                        "send less at once, or large arguments by a descriptor",
                                        t->length, STREAM_MESSAGE_MAX);
        return 0;
}

static int request_check(Forkd *f, const ForkdRequest *request) {
        bool descriptors = request->n_fds > 0 || (request->flags & FORKD_CALL_DESCRIPTORS);

        if (!f->stream)
                return connection_fault(f, -ENOTCONN, "the connection to forkd is gone");
        if (request->n_fds > FORKD_DESCRIPTORS_MAX)
                return connection_fault(f, -E2BIG, "%zu descriptors, and at most %d can be sent",
                                        request->n_fds, FORKD_DESCRIPTORS_MAX);
        if (descriptors && (f->first || f->oneway_unread))
                return connection_fault(
                        f, -EBUSY,
                        "a call with descriptors needs a connection with nothing in flight");
        if (f->last && f->last->descriptors)
                return connection_fault(
                        f, -EBUSY,
                        "the call in flight gets descriptors, so nothing may follow it yet");
        return 0;
}

static int send_fault(Forkd *f, int r) {
        if (r == STREAM_E_FULL)
                return connection_fault(f, -ENOBUFS,
                                        "forkd does not read, and %zu bytes wait already",
                                        stream_pending_output(f->stream));
        if (r > 0)
                r = -EMSGSIZE;
        else if (r == -EPIPE)
                r = -ECONNRESET;
        return connection_fault(f, r, "the connection to forkd broke while sending: %s",
                                strerror(-r));
}

int request_send(Forkd *f, const ForkdRequest *request, ForkdAnswer answer, void *userdata) {
        Pending *p = NULL;
        int r;

        r = request_check(f, request);
        if (r < 0)
                return r;

        if (!(request->flags & FORKD_CALL_ONEWAY)) {
                p = malloc(sizeof(*p));
                if (!p)
                        return connection_fault(f, -ENOMEM, "out of memory");
                *p = (Pending){
                        .answer = answer,
                        .userdata = userdata,
                        .more = request->flags & FORKD_CALL_MORE,
                        .descriptors = request->flags & FORKD_CALL_DESCRIPTORS,
                };
        }

        r = stream_write(f->stream, f->request.text, f->request.length, request->fds,
                         request->n_fds);
        if (r != 0) {
                free(p);
                return connection_break(f, send_fault(f, r));
        }

        f->oneway_unread = !p;
        if (p) {
                if (f->last)
                        f->last->next = p;
                else
                        f->first = p;
                f->last = p;
                f->n_pending++;
        }
        return 0;
}
