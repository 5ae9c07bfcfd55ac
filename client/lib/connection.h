/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the files of libforkd know of a connection. */

#include "basic.h"
#include "forkd.h"
#include "stream.h"

#define SILENCE_USEC      (45 * USEC_PER_SEC)
#define ARGUMENTS_INLINE  ((size_t)512 * 1024) /* longer ones go by memfd */
#define ARGUMENTS_MAX     ((size_t)64 * 1024 * 1024)
#define OUTPUT_UNSENT_MAX ((size_t)64 * 1024 * 1024)

/* A call that has been sent and not fully answered. */
typedef struct Pending {
        struct Pending *next;
        ForkdAnswer answer;
        void *userdata;
        bool more;
        bool descriptors;
        bool owned; /* userdata is freed with it, if it is never answered */
} Pending;

/* A text under construction, kept from call to call. */
typedef struct Text {
        char *text;
        size_t length, allocated;
} Text;

struct Forkd {
        char *path;     /* NULL: made from a descriptor */
        Stream *stream; /* NULL: the connection is gone */
        uint64_t timeout_usec;
        Pending *first, *last; /* in the order of sending */
        size_t n_pending;
        bool processing;    /* inside forkd_process() */
        bool oneway_unread; /* a oneway call was the last thing sent */
        Text request;
        char *sentence; /* of the last failure; NULL: out of memory, or none yet */
        char *error_name;
        json_t *error_parameters;
};

/* address.c: "unix:PATH" or a path → the path; -EINVAL. */
int address_parse(const char *address, char **ret_path);

/* error.c */
int error_from_name(const char *name);
/* Remembers a failure, returns r. */
int connection_fault(Forkd *f, int r, const char *format, ...) _printf_(3, 4);
/* Remembers the error of a reply; name NULL: none. Returns the outcome. */
int connection_error(Forkd *f, const char *name, json_t *parameters);

/* connection.c: the connection ends; calls in flight are told error. Returns error. */
int connection_break(Forkd *f, int error);

/* request.c: the parts of a request. text_* return 0 or -ENOMEM. */
int text_add(Text *t, const char *bytes, size_t length);
int text_add_string(Text *t, const char *s);
int text_add_json(Text *t, json_t *json);
void text_done(Text *t);
/* {"method": …, "parameters": … and, at the end, the flags}. Between them the parameters are added.
 */
int request_begin(Forkd *f, const char *method);
int request_end(Forkd *f, unsigned flags);
/* Sends the finished request of f. */
int request_send(Forkd *f, const ForkdRequest *request, ForkdAnswer answer, void *userdata);

/* call.c: one wait for the answer to one call. timeout_usec bounds silence, deadline_usec
 * (CLOCK_MONOTONIC, USEC_INFINITY for none) all of it: then FORKD_E_TIMED_OUT. */
typedef struct Waiting {
        ForkdEach each;
        void *userdata;
        uint64_t timeout_usec, deadline_usec;
        ForkdReply reply;
        uint64_t heard_usec;
        bool done;
        bool stopped;
        int stop_result;
} Waiting;

/* All of it: builds the request (method NULL: it stands finished in f->request), sends, waits.
 * w->reply is to be released in any case. 0 for timeout_usec and deadline_usec means the default
 * and none. */
int call_wait(Forkd *f, const ForkdRequest *request, Waiting *w);
/* Processes the connection, however long it takes, until a callback has set *done. */
int call_wait_until(Forkd *f, const bool *done);

/* arguments.c: a job whose arguments have more than `above` bytes becomes one with
 * argumentsDescriptor; *ret_fd is the memfd, to be sent as number index, or -1 when nothing had to
 * be done (and *ret_job is a new reference to the same job). */
int job_move_arguments(json_t *job, size_t index, size_t above, json_t **ret_job, int *ret_fd);
/* valueDescriptor → value, in place. */
int certificate_fetch_value(json_t *certificate, ForkdReply *reply);
