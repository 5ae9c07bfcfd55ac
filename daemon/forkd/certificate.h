/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of the end of a job. The fields are those of `Certificate` in org.forkd.jobs. */

#include "basic.h"
#include "json-text.h"

#include <sys/types.h>

typedef enum Result {
        RESULT_SUCCESS,
        RESULT_EXIT,
        RESULT_SIGNAL,
        RESULT_CORE_DUMP,
        RESULT_ERROR,
        RESULT_TIMEOUT,
        RESULT_QUEUE_TIMEOUT,
        RESULT_OOM,
        RESULT_CANCELLED,
        RESULT_DEPENDENCY,
        RESULT_SETUP_FAILED,
        RESULT_SERVER_FAILED,
        RESULT_LOST,
        _RESULT_MAX,
} Result;

const char *result_to_string(Result result);

typedef struct Certificate {
        uint64_t id;
        unsigned attempt;
        Result result;
        int status;     /* exit status, -1: none */
        int signal;     /* 0: none */
        char *stage;    /* setup-failed: during what; "exec" … */
        int error;      /* setup-failed: errno */
        char *text;     /* of stage: the object; of an entry's error: its sentence; else a note */
        char *code;     /* an entry's error */
        bool answered;  /* the entry answered (with value or error) */
        bool entry;     /* it was one */
        bool ran;       /* though perhaps nobody saw its end */
        bool cancelled; /* somebody did, and by_uid and by_pid say who */
        uid_t by_uid;
        pid_t by_pid;
        uint64_t queue_usec, run_usec;
        bool has_usage;
        uint64_t user_usec, system_usec;
        uint64_t memory_peak; /* bytes, 0: unknown */
        bool has_stdout, has_stderr;
        uint64_t stdout_bytes, stdout_lost, stderr_bytes, stderr_lost;
        char *stderr_tail;
        unsigned left_behind;
        char *value; /* JSON object, as it came */
        size_t value_length;
        char *server;        /* which named forkserver it was of */
        unsigned generation; /* which life of that, 0: none of them forked the worker */
} Certificate;

#define CERTIFICATE_VALUE_MAX ((size_t)512 * 1024) /* above this a value goes by descriptor */

Certificate *certificate_new(uint64_t id, unsigned attempt);
Certificate *certificate_free(Certificate *c);
static inline void certificate_freep(Certificate **c) {
        certificate_free(*c);
}

/* "killed by SIGSEGV after 3 ms", without a full stop. At most size - 1 bytes. */
void certificate_sentence(const Certificate *c, char *ret, size_t size);
/* Writes it as an object; value_descriptor is an index or -1. */
void certificate_write(const Certificate *c, JsonText *t, const char *key, int value_descriptor);
/* "SIGSEGV", "SIGRTMIN+3", "signal 99". */
const char *signal_name(int signal, char buffer[static 16]);
/* "3 ms", "2.5 s", "1 min 20 s". */
const char *duration_text(uint64_t usec, char buffer[static 32]);
