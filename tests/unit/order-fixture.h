/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Orders of a job that is only made up: no daemon, no process, and descriptors that are only
 * numbers. Every step asserts. */

#include "order.h"

#include "attempt.h"
#include "daemon.h"
#include "server-private.h"

#include <jansson.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

/* Descriptors that are only numbers here. */
enum {
        FD_TOKEN = 1001,
        FD_STDIN,
        FD_STDOUT,
        FD_STDERR,
        FD_OUT,
        FD_ERR,
        FD_CHANNEL,
        FD_ARGUMENTS,
};

typedef struct Made {
        Daemon daemon;
        Job job;
        Attempt attempt;
        Order order;
        json_t *parameters; /* of the Fork, owned */
        json_t *plan;       /* borrowed from it */
} Made;

/* Job 17 as it is specified, in JSON with ' for ", and its attempt 3. */
void make_job(Made *m, const char *text);
/* Takes in what has been written, a packet of this method. */
void parse_order(Made *m, const char *method);
/* Writes a Fork and takes it in. */
void make_order(Made *m);
/* Both. */
void make(Made *m, const char *text);
void made_done(Made *m);
/* The descriptor that an index means. */
int fd_of(const Made *m, const json_t *index);
/* value is this JSON, with ' for ". */
void check(const json_t *value, const char *expected);
json_int_t integer(const json_t *object, const char *name);
bool environment_has(const json_t *plan, const char *variable);
