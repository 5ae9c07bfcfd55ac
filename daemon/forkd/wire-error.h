/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one table of forkd's errors on the wire. Each carries a sentence. */

#include "basic.h"
#include "job.h"
#include "service.h"

typedef enum WireError {
        WIRE_NO_SUCH_JOB,
        WIRE_NO_SUCH_SERVER,
        WIRE_NO_SUCH_ENTRY,
        WIRE_WRONG_STATE,
        WIRE_QUEUE_FULL,
        WIRE_LIMIT_REACHED,
        WIRE_STORAGE_FULL,
        WIRE_KEY_CONFLICT,
        WIRE_SERVER_FAILED,
        WIRE_JOB_FAILED,
        WIRE_TIMED_OUT,
        WIRE_DRAINING,
        WIRE_MANAGER_DRAINING,
        WIRE_RELOAD_FAILED,
        WIRE_SERVERS_NO_SUCH_SERVER,
        WIRE_SERVERS_NAME_TAKEN,
        WIRE_SERVERS_SERVER_FAILED,
        WIRE_SERVERS_LIMIT_REACHED,
        WIRE_SERVERS_WRONG_STATE,
        WIRE_SERVERS_DRAINING,
        _WIRE_ERROR_MAX,
} WireError;

const char *wire_error_name(WireError error);

/* Replies with the error; details is a new reference (taken over) to an object, or NULL; the
 * sentence is added to it. */
int wire_error(Call *call, WireError error, json_t *details, const char *sentence, ...)
        _printf_(4, 5);
/* The same with all parameters as text. */
int wire_error_text(Call *call, WireError error, const char *parameters);

int wire_no_such_job(Call *call, uint64_t id);
int wire_wrong_state(Call *call, const Job *job, const char *what);
/* The final reply of a Run whose value is too large for a message: it goes as a descriptor. */
int wire_reply_with_value(Call *call, const Job *job);
/* A sealed memfd with these bytes, or -errno. */
int wire_value_fd(const char *value, size_t length);
