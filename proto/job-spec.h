/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The specification of a job: JSON on the wire and in files, this struct inside. Both directions
 * stand in one table in job-spec.c. Fields are described in forkd-protocol(7). */

#include "basic.h"

#include <jansson.h>

typedef enum StartMethod {
        START_METHOD_FORK,
        START_METHOD_SPAWN,
        START_METHOD_FORKSERVER,
        _START_METHOD_MAX,
        _START_METHOD_INVALID = -EINVAL,
} StartMethod;

const char *start_method_to_string(StartMethod m);
StartMethod start_method_from_string(const char *s);

typedef enum StdioKind {
        STDIO_DEFAULT, /* nothing was said */
        STDIO_NULL,
        STDIO_FILE,       /* the daemon's output file */
        STDIO_PATH,       /* path, append */
        STDIO_DESCRIPTOR, /* descriptor: index among those that came with the message */
        STDIO_STDOUT,     /* stderr only: where stdout goes */
} StdioKind;

typedef struct JobStdio {
        StdioKind kind;
        char *path;
        bool append;
        int descriptor;
} JobStdio;

/* Resource limits by their systemd names, LimitNOFILE= and so on; the number is RLIMIT_*. */
typedef struct JobLimit {
        int resource;
        uint64_t soft, hard; /* UINT64_MAX: infinity */
} JobLimit;

#define JOB_AFTER_MAX  64
#define JOB_NICE_UNSET INT32_MAX

typedef enum AfterOn {
        AFTER_SUCCESS, /* default */
        AFTER_FINISHED,
} AfterOn;

typedef struct JobAfter {
        uint64_t id;
        AfterOn on;
} JobAfter;

/* Bits of retries.on, in the order of the design. */
enum {
        RETRY_EXIT = 1 << 0,
        RETRY_SIGNAL = 1 << 1,
        RETRY_TIMEOUT = 1 << 2,
        RETRY_OOM = 1 << 3,
        RETRY_SERVER_FAILED = 1 << 4,
        RETRY_LOST = 1 << 5,
};

typedef struct JobSpec {
        StartMethod start_method; /* after job_spec_parse() always set */
        char **command;           /* NULL-terminated, or NULL */
        char *entry;
        char *server;
        char *arguments; /* JSON object as it came, or NULL */
        size_t arguments_length;
        int arguments_descriptor; /* -1: none */
        char *key, *name, *queue, *user;
        int priority;    /* -20 … 19 */
        JobAfter *after; /* owned, at most JOB_AFTER_MAX */
        size_t n_after;
        uint64_t start_at_usec; /* CLOCK_REALTIME; 0: now */
        char **environment;     /* "NAME=value", NULL-terminated; NULL: was absent */
        char *directory;        /* NULL: "/" */
        int umask;              /* -1: 0022 */
        JobStdio stdio[3];
        JobLimit *limits; /* owned, each resource at most once */
        size_t n_limits;
        int nice;      /* JOB_NICE_UNSET */
        int *affinity; /* CPU numbers */
        size_t n_affinity;
        uint64_t timeout_usec, queue_timeout_usec; /* USEC_INFINITY: none */
        uint64_t grace_usec;                       /* default 10 s */
        unsigned retries_max, retries_on;
        uint64_t retries_delay_usec;
} JobSpec;

/* What was wrong: the field ("stdin.path") and a sentence that says what would work. */
typedef struct JobSpecError {
        char field[64];
        char sentence[256];
} JobSpecError;

enum {
        JOB_SPEC_E_INVALID = 1, /* see JobSpecError */
};

/* Reads one job. arguments: when the scanner has captured the bytes of "arguments", they are given
 * here and the member stands as an integer in object; else NULL, and a member that is an object is
 * dumped. n_fds bounds every descriptor index. Returns 0, JOB_SPEC_E_INVALID or -ENOMEM. */
int job_spec_parse(const json_t *object, const char *arguments, size_t arguments_length,
                   size_t n_fds, JobSpec **ret, JobSpecError *ret_error);
/* The JSON of it, all that was said and nothing that was not; environment only when asked for.
 * "arguments" is parsed back. NULL when out of memory. */
json_t *job_spec_dump(const JobSpec *spec, bool environment);
JobSpec *job_spec_free(JobSpec *spec);
static inline void job_spec_freep(JobSpec **s) {
        job_spec_free(*s);
}
/* Same work? Compares everything but the key. What comes by descriptor is for the caller to
 * compare: any index is like any other. */
bool job_spec_equal(const JobSpec *a, const JobSpec *b);
/* "LimitNOFILE" → RLIMIT_NOFILE, or -EINVAL; and back (NULL). */
int job_limit_from_string(const char *s);
const char *job_limit_to_string(int resource);
