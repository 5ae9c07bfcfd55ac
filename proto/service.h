/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The server's side of Varlink: interfaces with their methods, connections on an sd-event loop, and
 * calls in flight. org.varlink.service is answered here. forkd and the certification server of the
 * tests use the same code. Follows the Varlink specification (UAPI.20 v0.1). */

#include "basic.h"
#include "scan.h"

#include <jansson.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Service Service;
typedef struct Connection Connection;
typedef struct Call Call;

/* ---- what is offered: constant tables */

enum {
        METHOD_MORE_REQUIRED = 1 << 0, /* without `more`: ExpectedMore */
        METHOD_DESCRIPTORS = 1 << 1,   /* takes descriptors with the call; others refuse them */
};

/* Handles one call: replies now, or keeps the call and replies later. Returns 0, or a negative
 * errno, which ends the connection (only for faults: out of memory and the like). */
typedef int (*MethodFunction)(Call *call, json_t *parameters, void *userdata);

typedef struct Method {
        const char *name; /* "Submit" */
        MethodFunction function;
        unsigned flags;
        const char *const *captures; /* paths below the message for scan_text(), or NULL */
} Method;

typedef struct Interface {
        const char *name;        /* "org.forkd.jobs" */
        const char *description; /* the .varlink text */
        const Method *methods;   /* ends with a NULL name; methods of the text that are not listed
                                  * are answered with MethodNotImplemented */
} Interface;

typedef struct ServiceInfo {
        const char *vendor, *product, *version, *url;
} ServiceInfo;

typedef struct ServiceLimits {
        size_t connections_max;         /* all together; above it accept waits */
        size_t connections_per_uid_max; /* above it a connection is closed at once */
        size_t output_max;              /* bytes unsent per connection before it is cut off */
        size_t buffered_per_uid_max;    /* bytes of input and output of all connections of a user */
        uint64_t half_message_usec;     /* an unfinished message older than this ends it */
        uint64_t stalled_output_usec;   /* output that makes no progress for this long ends it */
} ServiceLimits;

#define SERVICE_LIMITS_DEFAULT                                                                     \
        ((ServiceLimits){                                                                          \
                .connections_max = 4096,                                                           \
                .connections_per_uid_max = 1024,                                                   \
                .output_max = (size_t)16 * 1024 * 1024,                                            \
                .buffered_per_uid_max = (size_t)64 * 1024 * 1024,                                  \
                .half_message_usec = 5 * USEC_PER_SEC,                                             \
                .stalled_output_usec = 30 * USEC_PER_SEC,                                          \
        })

/* interfaces ends with NULL; tables, info and userdata are borrowed and must outlive the service.
 */
int service_new(Service **ret, sd_event *event, const ServiceInfo *info,
                const Interface *const *interfaces, const ServiceLimits *limits, void *userdata);
Service *service_free(Service *service); /* closes listeners and connections; not from a method */
static inline void service_freep(Service **s) {
        service_free(*s);
}

/* Takes over a listening socket: accepts on it until freed, with a reserve descriptor against
 * EMFILE. */
int service_listen(Service *service, int fd);
/* Takes over a connected socket, closes it on failure: -EUSERS above a limit of connections. */
int service_add_connection(Service *service, int fd, Connection **ret);
/* No longer accepts; connections go on. */
void service_stop_listening(Service *service);
size_t service_n_connections(const Service *service);
/* Called once after a connection is gone (calls of it have been told before). May be NULL. */
typedef void (*ConnectionGone)(Connection *connection, void *userdata);
void service_set_connection_gone(Service *service, ConnectionGone gone);

/* ---- connections */

/* The peer as SO_PEERCRED and SO_PEERGROUPS gave it at connect(). groups is the connection's. */
typedef struct Peer {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        const gid_t *groups;
        size_t n_groups;
} Peer;

const Peer *connection_peer(const Connection *connection);
void *connection_userdata(const Connection *connection);
void connection_set_userdata(Connection *connection, void *userdata);

/* ---- calls. A call is valid from its method function until its final reply (call_reply() with
 * continues false, call_error()) or until its `gone` callback returns; at the final reply it is
 * freed. For oneway calls replies are dropped, and everything else is the same. */

Connection *call_connection(const Call *call);
const char *call_method(const Call *call); /* full name */
bool call_wants_more(const Call *call);
bool call_is_oneway(const Call *call);

/* The bytes of the i-th captured value (see Method.captures), or NULL. In `parameters` each
 * captured value stands as the integer 0. The bytes belong to the call. */
const char *call_captured(const Call *call, size_t i, size_t *ret_length);
size_t call_n_captured(const Call *call);

/* A descriptor that came with the call, by its index: -EBADF when there is none. The call keeps it
 * unless call_take_fd() is used; taken twice is -EBADF. */
int call_fd(const Call *call, size_t i);
int call_take_fd(Call *call, size_t i);
/* Closes those that it still keeps. */
void call_close_fds(Call *call);
size_t call_n_fds(const Call *call);

/* Tells when the connection goes away while the call is unanswered. */
typedef void (*CallGone)(Call *call, void *userdata);
void call_set_gone(Call *call, CallGone gone, void *userdata);

/* Bytes that wait unsent on its connection: a long stream of replies pauses while there are more
 * than CALL_PENDING_MAX, and looks again after CALL_PENDING_USEC. */
#define CALL_PENDING_MAX  ((size_t)512 * 1024)
#define CALL_PENDING_USEC (2 * USEC_PER_MSEC)
size_t call_pending_output(const Call *call);

/* Replies. parameters is borrowed (NULL: {}); the text form takes a finished JSON object. continues
 * is only allowed under more (asserted). fds are duplicated as needed and stay the caller's. A peer
 * that is gone or does not read is no error here: the connection ends by itself, later, from the
 * loop. Returns 0, -ENOMEM, or -EMSGSIZE for a reply above STREAM_MESSAGE_MAX; after a failure the
 * call still stands. */
int call_reply(Call *call, json_t *parameters, bool continues);
int call_reply_text(Call *call, const char *parameters, size_t length, bool continues);
int call_reply_fds(Call *call, json_t *parameters, const int *fds, size_t n_fds);
/* error is the full name, "org.forkd.jobs.NoSuchJob". */
int call_error(Call *call, const char *error, json_t *parameters);
/* org.varlink.service.InvalidParameter with parameter and a sentence beside it; likewise the next.
 */
int call_invalid_parameter(Call *call, const char *parameter, const char *sentence, ...)
        _printf_(3, 4);
int call_permission_denied(Call *call, const char *sentence, ...) _printf_(2, 3);
