/* SPDX-License-Identifier: Apache-2.0 */

/* A connection: one client's stream, and the one call of it that is not answered yet. The service
 * owns it; whoever runs one of its functions holds a reference, so that it may come to its end
 * under any of them. It ends in two steps: connection_end() says so and silences it,
 * connection_close() tells its call and its owner, from the loop, where nobody is in the middle of
 * anything.
 *
 * While a call waits for its answer, nothing is read: what the client sends meanwhile stays in the
 * kernel, which makes it wait. EPOLLHUP still tells of a client that went. */

#include "service-private.h"

#include "log.h"

#include <assert.h>

Connection *connection_ref(Connection *connection) {
        connection->n_ref++;
        return connection;
}

Connection *connection_unref(Connection *connection) {
        assert(connection->n_ref > 0);
        if (--connection->n_ref > 0)
                return NULL;

        assert(!connection->service && !connection->call);
        free((gid_t *)connection->peer.groups);
        free(connection);
        return NULL;
}

const Peer *connection_peer(const Connection *connection) {
        return &connection->peer;
}

void *connection_userdata(const Connection *connection) {
        return connection->userdata;
}

void connection_set_userdata(Connection *connection, void *userdata) {
        connection->userdata = userdata;
}

/* ---- bounds */

/* Settles with the user's account what is held for the connection now. */
static void connection_count(Connection *c) {
        size_t n = stream_buffered_input(c->stream) + stream_pending_output(c->stream) +
                   (c->call ? c->call->message.length : 0);
        bool grown = n > c->counted;

        c->user->n_bytes = c->user->n_bytes - c->counted + n;
        c->counted = n;
        if (grown && c->user->n_bytes > c->service->limits.buffered_per_uid_max)
                connection_end(c, "too many bytes are buffered for its user");
}

uint64_t connection_deadline(const Connection *c, const char **ret_why) {
        const ServiceLimits *limits = &c->service->limits;
        uint64_t since, input = USEC_INFINITY, output = USEC_INFINITY;

        if (c->ended)
                return USEC_INFINITY;
        if (c->events & EPOLLIN && stream_pending_input(c->stream, &since) > 0)
                input = (since > c->reading_since ? since : c->reading_since) +
                        limits->half_message_usec;
        if (stream_pending_output(c->stream) > 0)
                output = c->output_since + limits->stalled_output_usec;

        *ret_why =
                input < output ? "half a message came, and the rest did not" : "it does not read";
        return input < output ? input : output;
}

/* Half of what is allowed to wait: no more calls are answered until it is less. */
static bool connection_is_backed_up(const Connection *c) {
        return stream_pending_output(c->stream) > c->service->limits.output_max / 2;
}

static bool connection_may_read(const Connection *c) {
        return !c->call && !c->input_closed && !connection_is_backed_up(c);
}

/* Turns on what is waited for, and sees to the time that it may take. As most calls are answered
 * soon, reading is only turned off when something comes that has to be left unread. */
static void connection_update(Connection *c) {
        uint32_t events = 0;
        const char *why;

        connection_count(c);
        if (c->ended)
                return;

        if (connection_may_read(c))
                c->input_waits = false;
        if (connection_may_read(c) || (c->call && !c->input_closed && !c->input_waits))
                events |= EPOLLIN;
        if (stream_pending_output(c->stream) > 0)
                events |= EPOLLOUT;

        if (events != c->events) {
                if (events & ~c->events & EPOLLIN)
                        c->reading_since = now_usec(CLOCK_MONOTONIC);
                if (sd_event_source_set_io_events(c->source, events) < 0) {
                        connection_end(c, "its events cannot be changed");
                        return;
                }
                c->events = events;
        }
        service_watch_deadline(c->service, connection_deadline(c, &why));
}

/* ---- out */

static void connection_flush(Connection *c) {
        size_t before = stream_pending_output(c->stream);
        int r;

        r = stream_flush(c->stream);
        if (r < 0) {
                connection_end(c, r == -EPIPE ? "the peer is gone" : strerror(-r));
                return;
        }
        if (stream_pending_output(c->stream) < before)
                c->output_since = now_usec(CLOCK_MONOTONIC);
}

int connection_write(Connection *c, const char *text, size_t length, const int *fds, size_t n_fds) {
        bool waited = stream_pending_output(c->stream) > 0;
        int r;

        if (c->ended)
                return 0;
        r = stream_write(c->stream, text, length, fds, n_fds);
        if (r == STREAM_E_TOO_LONG)
                return -EMSGSIZE;
        if (r != 0) {
                connection_end(c, r == STREAM_E_FULL ? "it does not read what it is sent"
                                  : r == -EPIPE      ? "the peer is gone"
                                                     : strerror(-r));
                return 0;
        }

        if (stream_pending_output(c->stream) > 0) {
                if (!waited)
                        c->output_since = now_usec(CLOCK_MONOTONIC);
                connection_update(c);
        }
        return 0;
}

/* ---- in */

void connection_call_done(Connection *c) {
        c->call = NULL;
        if (c->ended || c->processing)
                return;
        if (stream_buffered_input(c->stream) > 0 || c->input_waits)
                service_queue(c->service, c);
        else
                connection_count(c);
}

void connection_process(Connection *c) {
        _cleanup_(connection_unrefp) Connection *reference = connection_ref(c);

        (void)reference;
        if (c->processing)
                return;
        c->processing = true;

        while (!c->ended && !c->call && !connection_is_backed_up(c)) {
                StreamMessage message;
                const char *why = NULL;
                int r;

                r = stream_next(c->stream, &message);
                if (r == STREAM_E_AGAIN)
                        break;
                if (r == 0)
                        r = call_dispatch(c, &message, &why);
                else if (r == STREAM_E_TOO_LONG)
                        why = "a message is longer than 1 MiB";
                if (r != 0)
                        connection_end(c, why ? why : strerror(r < 0 ? -r : EBADMSG));
        }

        c->processing = false;
        /* the other half may still be open: everything is answered first */
        if (!c->ended && c->input_closed && !c->call && !connection_is_backed_up(c) &&
            stream_pending_output(c->stream) == 0)
                connection_end(c, "it has asked for nothing more");
        if (!c->ended)
                connection_update(c);
}

static void connection_read(Connection *c) {
        int r;

        r = stream_read(c->stream);
        if (r == STREAM_E_AGAIN)
                return;
        if (r == STREAM_E_CLOSED)
                c->input_closed = true;
        else if (r == STREAM_E_DESCRIPTORS)
                connection_end(c, "descriptors came that belong to no single message, or too many");
        else if (r < 0)
                connection_end(c, strerror(-r));
}

static int on_connection_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        _cleanup_(connection_unrefp) Connection *c = connection_ref(userdata);

        (void)source;
        (void)fd;
        if (c->ended)
                return 0;
        if (revents & EPOLLOUT)
                connection_flush(c);

        if (!c->ended && revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (connection_may_read(c))
                        connection_read(c);
                else if (revents & (EPOLLHUP | EPOLLERR))
                        connection_end(c, "the peer is gone");
                else
                        c->input_waits = true;
        }
        if (!c->ended)
                connection_process(c);
        return 0;
}

/* ---- its life */

void connection_end(Connection *c, const char *why) {
        if (c->ended)
                return;
        c->ended = true;
        log_debug("connection of uid %u, pid %d ends: %s", c->peer.uid, c->peer.pid, why);
        (void)sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
        service_queue(c->service, c);
}

void connection_close(Connection *c) {
        _cleanup_(connection_unrefp) Connection *reference = NULL;
        Service *service = c->service;

        if (!service)
                return;
        reference = c; /* the service's own */
        c->ended = true;
        if (c->call)
                call_lost(c->call);

        if (c->previous)
                c->previous->next = c->next;
        else
                service->connections = c->next;
        if (c->next)
                c->next->previous = c->previous;
        service->n_connections--;

        c->user->n_bytes -= c->counted;
        service_user_put(service, c->user);
        c->user = NULL;
        c->service = NULL;
        c->source = sd_event_source_disable_unref(c->source);
        c->stream = stream_free(c->stream);
        service_connection_left(service);
        if (service->gone)
                service->gone(c, service->userdata);
}

static int peer_read_groups(int fd, Peer *peer) {
        socklen_t size = 16 * sizeof(gid_t);

        for (;;) {
                _cleanup_(freep) gid_t *groups = malloc(size);

                if (!groups)
                        return -ENOMEM;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
                        peer->n_groups = size / sizeof(gid_t);
                        peer->groups = steal(groups);
                        return 0;
                }
                if (errno != ERANGE) /* which says how much it takes */
                        return -errno;
        }
}

static int peer_read(int fd, Peer *peer) {
        struct ucred credentials;
        socklen_t size = sizeof(credentials);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                return -errno;
        if (credentials.uid == (uid_t)-1)
                return -EPROTONOSUPPORT;

        peer->uid = credentials.uid;
        peer->gid = credentials.gid;
        peer->pid = credentials.pid;
        return peer_read_groups(fd, peer);
}

/* Undoes connection_new(), however far it came. */
static void connection_discard(Connection **p) {
        Connection *c = *p;

        if (!c)
                return;
        if (c->user)
                service_user_put(c->service, c->user);
        sd_event_source_disable_unref(c->source);
        stream_free(c->stream);
        c->service = NULL;
        connection_unref(c);
}

int connection_new(Connection **ret, Service *service, int fd) {
        _cleanup_(connection_discard) Connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                close_fd(fd);
                return -ENOMEM;
        }
        c->n_ref = 1;
        c->service = service;
        c->events = EPOLLIN;
        r = stream_new(&c->stream, fd, service->limits.output_max, service->takes_descriptors);
        if (r < 0)
                return r;

        r = peer_read(fd, &c->peer);
        if (r < 0)
                return r;
        r = service_user_get(service, c->peer.uid, &c->user);
        if (r < 0)
                return r;
        if (c->user->n_connections > service->limits.connections_per_uid_max)
                return -EUSERS;

        r = sd_event_add_io(service->event, &c->source, fd, c->events, on_connection_io, c);
        if (r < 0)
                return r;
        *ret = steal(c);
        return 0;
}
