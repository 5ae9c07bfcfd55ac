/* SPDX-License-Identifier: Apache-2.0 */

/* A connection to the daemon: its socket, and the calls in flight on it, which are answered in the
 * order of sending. It owns both; the caller owns it. Lives in clients. */

#include "connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static int socket_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const struct timeval patience = { .tv_sec = SILENCE_USEC / USEC_PER_SEC };
        const struct timeval none = { 0 };
        _cleanup_(close_fdp) int fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -EINVAL;
        strcpy(address.sun_path, path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        /* connect() waits while the backlog is full, which is what happens while forkd is
         * restarted. */
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                if (errno != EINTR)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
        return steal_fd(&fd);
}

static int connection_attach(Forkd *f, int fd) {
        int r;

        if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
                r = -errno;
                close(fd);
                return r;
        }
        r = stream_new(&f->stream, fd, OUTPUT_UNSENT_MAX, true);
        if (r == 0)
                stream_expect_whole_sends(f->stream);
        return r;
}

int forkd_connect_fd(Forkd **ret, int fd) {
        _cleanup_(forkd_freep) Forkd *f = NULL;
        int r;

        f = calloc(1, sizeof(*f));
        if (!f) {
                close_fd(fd);
                return -ENOMEM;
        }
        f->timeout_usec = SILENCE_USEC;
        f->sentence = strdup("nothing has failed yet");

        r = connection_attach(f, fd);
        if (r < 0)
                return r;

        *ret = steal(f);
        return 0;
}

int forkd_connect(Forkd **ret, const char *address) {
        _cleanup_(freep) char *path = NULL;
        Forkd *f;
        int fd, r;

        r = address ? address_parse(address, &path) : forkd_find_address(FORKD_MODE_AUTO, &path);
        if (r < 0)
                return r;

        fd = socket_connect(path);
        if (fd < 0)
                return fd;

        r = forkd_connect_fd(&f, fd);
        if (r < 0)
                return r;

        f->path = steal(path);
        *ret = f;
        return 0;
}

int forkd_reconnect(Forkd *f) {
        int fd, r;

        if (!f->path)
                return connection_fault(
                        f, -EOPNOTSUPP,
                        "a connection that was made from a descriptor cannot be made again");
        if (f->processing)
                return connection_fault(f, -EBUSY, "a callback cannot reconnect");

        connection_break(f, -ECANCELED);
        fd = socket_connect(f->path);
        r = fd < 0 ? fd : connection_attach(f, fd);
        if (r < 0)
                return connection_fault(f, r, "cannot connect to %s: %s", f->path, strerror(-r));
        return 0;
}

static Pending *connection_take_pending(Forkd *f) {
        Pending *p = f->first;

        f->first = p->next;
        if (!f->first)
                f->last = NULL;
        f->n_pending--;
        return p;
}

int connection_break(Forkd *f, int error) {
        bool processing = f->processing;
        size_t n = f->n_pending; /* not those that a callback tries to add: there is no stream by
                                    then */

        f->stream = stream_free(f->stream);
        f->oneway_unread = false;
        f->processing = true;
        while (n-- > 0) {
                _cleanup_(freep) Pending *p = connection_take_pending(f);
                ForkdReply reply = { .outcome = error };

                if (p->answer)
                        p->answer(f, &reply, p->userdata);
        }
        f->processing = processing;
        return error;
}

Forkd *forkd_free(Forkd *f) {
        if (!f)
                return NULL;

        while (f->first) {
                Pending *p = connection_take_pending(f);

                if (p->owned)
                        free(p->userdata);
                free(p);
        }
        stream_free(f->stream);
        text_done(&f->request);
        free(f->path);
        free(f->sentence);
        free(f->error_name);
        json_decref(f->error_parameters);
        free(f);
        return NULL;
}

const char *forkd_path(const Forkd *f) {
        return f->path;
}

void forkd_set_timeout(Forkd *f, uint64_t usec) {
        f->timeout_usec = usec;
}

int forkd_fd(const Forkd *f) {
        return f->stream ? stream_fd(f->stream) : -1;
}

short forkd_events(const Forkd *f) {
        if (!f->stream)
                return 0;
        return stream_pending_output(f->stream) > 0 ? POLLIN | POLLOUT : POLLIN;
}

size_t forkd_in_flight(const Forkd *f) {
        return f->n_pending;
}

void forkd_reply_done(ForkdReply *reply) {
        json_decref(steal(reply->parameters));
        for (size_t i = 0; i < reply->n_fds; i++)
                close_fdp(&reply->fds[i]);
        reply->n_fds = 0;
}

static int protocol_error(Forkd *f, const char *what) {
        return connection_fault(f, -EBADMSG, "what answers at %s is no forkd: %s",
                                f->path ?: "the socket", what);
}

/* Fills in the reply from the message's text; takes its descriptors over. */
static int reply_read(Forkd *f, StreamMessage *message, ForkdReply *ret) {
        json_t *object, *error, *parameters, *continues;
        int r = 0;

        object = json_loadb(message->text, message->length, 0, NULL);
        if (!json_is_object(object)) {
                json_decref(object);
                return protocol_error(f, "its reply is no JSON object");
        }

        error = json_object_get(object, "error");
        parameters = json_object_get(object, "parameters");
        continues = json_object_get(object, "continues");

        if (!parameters || json_is_null(parameters))
                parameters = ret->parameters = json_object();
        else if (json_is_object(parameters))
                ret->parameters = json_incref(parameters);
        if (!ret->parameters)
                r = protocol_error(f, "the parameters of its reply are no object");
        else if (error && !json_is_string(error))
                r = protocol_error(f, "the error of its reply is no name");
        else if (continues && !json_is_boolean(continues))
                r = protocol_error(f, "its reply continues neither truly nor falsely");
        else {
                ret->continues = json_is_true(continues) && !error;
                ret->outcome = connection_error(f, json_string_value(error), parameters);
                ret->n_fds = message->n_fds;
                memcpy(ret->fds, message->fds, message->n_fds * sizeof(int));
                message->n_fds = 0;
        }
        if (r < 0)
                json_decref(steal(ret->parameters));
        json_decref(object);
        return r;
}

static int connection_dispatch(Forkd *f, StreamMessage *message) {
        ForkdReply reply = { 0 };
        ForkdAnswer answer;
        void *userdata;
        int r;

        if (!f->first)
                return protocol_error(f, "it replies to what nobody asked");

        r = reply_read(f, message, &reply);
        if (r < 0)
                return r;
        if (reply.continues && !f->first->more) {
                forkd_reply_done(&reply);
                return protocol_error(f, "it sends several replies where one was asked for");
        }

        answer = f->first->answer;
        userdata = f->first->userdata;
        if (!reply.continues)
                free(connection_take_pending(f));
        f->oneway_unread = f->oneway_unread && f->first;

        if (answer)
                answer(f, &reply, userdata);
        forkd_reply_done(&reply);
        return 0;
}

static int connection_dispatch_all(Forkd *f) {
        int r;

        for (;;) {
                StreamMessage message = STREAM_MESSAGE_NULL;

                if (!f->stream)
                        return -ENOTCONN; /* a callback has ended it */
                r = stream_next(f->stream, &message);
                if (r == STREAM_E_AGAIN)
                        return 0;
                if (r == STREAM_E_TOO_LONG)
                        return protocol_error(f, "its reply is longer than a message may be");
                if (r == STREAM_E_DESCRIPTORS)
                        return protocol_error(f, "its descriptors belong to no single message");
                if (r != 0)
                        return connection_fault(f, r, "cannot read a reply: %s", strerror(-r));

                r = connection_dispatch(f, &message);
                stream_message_done(&message);
                if (r < 0)
                        return r;
        }
}

int forkd_process(Forkd *f) {
        int r, q;

        if (f->processing)
                return connection_fault(f, -EBUSY, "a callback cannot wait for replies");
        if (!f->stream)
                return connection_fault(f, -ENOTCONN, "the connection to forkd is gone");

        if (stream_pending_output(f->stream) > 0)
                (void)stream_flush(f->stream); /* what comes back says more than a broken pipe */
        r = stream_read(f->stream);

        f->processing = true;
        q = connection_dispatch_all(f);
        f->processing = false;

        if (q < 0)
                return f->stream ? connection_break(f, q) : q;
        if (r == STREAM_E_CLOSED || r == -EPIPE)
                r = -ECONNRESET;
        if (r == STREAM_E_DESCRIPTORS) {
                r = protocol_error(f, "its descriptors belong to no single message");
                return connection_break(f, r);
        }
        if (r < 0) {
                connection_fault(f, r, "the connection to forkd broke%s: %s",
                                 f->first ? " before it answered" : "", strerror(-r));
                return connection_break(f, r);
        }
        return 0;
}
