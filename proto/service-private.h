/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What service.c, connection.c, call.c and introspection.c share. */

#include "envelope.h"
#include "service.h"
#include "stream.h"

/* What all connections of one uid hold together. */
typedef struct ServiceUser {
        struct ServiceUser *next;
        uid_t uid;
        size_t n_connections;
        size_t n_bytes;
} ServiceUser;

typedef struct Listener {
        struct Listener *next;
        Service *service;
        int fd;
        sd_event_source *source;
} Listener;

struct Service {
        sd_event *event;
        const ServiceInfo *info;
        const Interface *const *interfaces;
        ServiceLimits limits;
        void *userdata;
        ConnectionGone gone;
        bool takes_descriptors; /* some method does */

        Listener *listeners;
        int reserve_fd; /* given up for a moment when there is no other left to accept with */
        bool accept_paused;
        bool accept_failed; /* and has been logged */
        sd_event_source *accept_timer;

        Connection *connections;
        size_t n_connections;
        ServiceUser *users;

        Connection *queue, *queue_last; /* to be run by queue_source, each with a reference */
        sd_event_source *queue_source;

        sd_event_source
                *deadline_timer; /* one for all that half a message or stalled output may end */
        uint64_t deadline_armed; /* USEC_INFINITY: off */
};

struct Connection {
        Connection *next, *previous; /* in the service */
        Connection *queue_next;
        unsigned n_ref;
        Service *service; /* NULL once it is gone */
        ServiceUser *user;
        Stream *stream;
        sd_event_source *source;
        uint32_t events;
        Peer peer;
        void *userdata;

        Call *call;     /* the one that is not answered yet */
        size_t counted; /* bytes that stand in user->n_bytes */
        bool queued;
        bool processing;   /* the loop over its messages is on the stack */
        bool input_closed; /* nothing more will come */
        bool input_waits;  /* in the kernel, unread */
        bool ended;        /* waits to be taken down */

        uint64_t reading_since; /* when it was last turned on: time that we did not read is not the
                                   peer's */
        uint64_t output_since;  /* of the last progress, while something waits */
};

/* Everything of a call, in one allocation but its text and its JSON. */
struct Call {
        unsigned n_ref;
        Connection *connection; /* borrowed: the connection owns its call; NULL once answered */
        StreamMessage message;
        Envelope envelope;
        bool answered;
        CallGone gone;
        void *gone_userdata;
};

extern const Interface service_interface;

const Interface *service_find_interface(const Service *service, const char *name, size_t length);
const Method *interface_find_method(const Interface *interface, const char *name);
/* Does the text describe a method of this name? */
bool interface_describes_method(const Interface *interface, const char *name);
/* Has the connection run from the loop: its next message, or its end. */
void service_queue(Service *service, Connection *connection);
void service_watch_deadline(Service *service, uint64_t deadline);
/* After one went: accept again if that was what it waited for. */
void service_connection_left(Service *service);
int service_user_get(Service *service, uid_t uid, ServiceUser **ret);
void service_user_put(Service *service, ServiceUser *user);

/* Takes fd over, success or not. */
int connection_new(Connection **ret, Service *service, int fd);
Connection *connection_ref(Connection *connection);
Connection *connection_unref(Connection *connection);
static inline void connection_unrefp(Connection **c) {
        if (*c)
                connection_unref(*c);
}
/* Takes it down at once: its call and its owner are told. Only from the loop or service_free(). */
void connection_close(Connection *connection);
/* Has it taken down soon; nothing is read or written any more. Idempotent. */
void connection_end(Connection *connection, const char *why);
/* Hands out its messages until one waits for its answer. */
void connection_process(Connection *connection);
/* 0, or -EMSGSIZE (nothing was sent); other trouble ends the connection and is 0. */
int connection_write(Connection *connection, const char *text, size_t length, const int *fds,
                     size_t n_fds);
/* Its call is answered: the next one may come. */
void connection_call_done(Connection *connection);
/* The earliest time at which it has to be ended, or USEC_INFINITY. */
uint64_t connection_deadline(const Connection *connection, const char **ret_why);

/* Takes the message, answers what cannot be handed on, hands on the rest. 0, ENVELOPE_E_INVALID
 * (end the connection, *ret_why says why) or a negative errno (likewise). */
int call_dispatch(Connection *connection, StreamMessage *message, const char **ret_why);
void call_unref(Call *call);
/* Tells its owner that there is nobody to answer, and frees it. */
void call_lost(Call *call);
