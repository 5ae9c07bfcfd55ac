/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libforkd: forkd's clients in C. A Forkd is one connection to the daemon. Calls are made either
 * one by one (forkd_submit(), forkd_run(), …, each waits for its answer) or from an event loop
 * (forkd_start(), forkd_run_start(), with forkd_fd(), forkd_events() and forkd_process()).
 *
 * Return values. 0: done. Negative errno: a fault of this side or of the connection; the connection
 * is gone unless said otherwise (forkd_reconnect() makes another). Positive: one of FORKD_E_*, what
 * the daemon answered; the connection is fine. Both have a sentence: forkd_error_sentence().
 * Outputs (ret_…) are untouched unless 0 is returned or the function says otherwise; where one may
 * be NULL it says so.
 *
 * Ownership. json_t arguments are borrowed, json_t outputs are new references. Descriptors given
 * stay the caller's and are duplicated by the kernel; descriptors received are the caller's,
 * CLOEXEC. Times are microseconds. Ids are positive integers below 2^63.
 *
 * One connection belongs to one thread at a time. The daemon answers the calls of one connection in
 * order, one after the other, so two jobs that shall run at once need two connections. SIGPIPE is
 * never raised. Link with `pkg-config --libs libforkd`. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Forkd Forkd;

/* What the daemon may answer instead of a result, one for each error of the protocol. */
enum {
        FORKD_E_NO_SUCH_JOB = 1,
        FORKD_E_NO_SUCH_SERVER,
        FORKD_E_NO_SUCH_ENTRY,
        FORKD_E_NAME_TAKEN,
        FORKD_E_WRONG_STATE,   /* the job's state does not allow it */
        FORKD_E_QUEUE_FULL,    /* try again later */
        FORKD_E_LIMIT_REACHED, /* a bound of the daemon or of the system */
        FORKD_E_STORAGE_FULL,
        FORKD_E_KEY_CONFLICT, /* the key was used for another job */
        FORKD_E_SERVER_FAILED,
        FORKD_E_JOB_FAILED, /* the job ended, but not with success: there is a certificate */
        FORKD_E_CALL_FAILED,
        FORKD_E_TIMED_OUT, /* also: the caller's own timeout of forkd_wait() has passed */
        FORKD_E_DRAINING,  /* the daemon takes no more work */
        FORKD_E_RELOAD_FAILED,
        FORKD_E_INVALID_PARAMETER,
        FORKD_E_PERMISSION_DENIED,
        FORKD_E_INTERFACE_NOT_FOUND,
        FORKD_E_METHOD_NOT_FOUND,
        FORKD_E_METHOD_NOT_IMPLEMENTED,
        FORKD_E_EXPECTED_MORE,
        FORKD_E_OTHER, /* an error that this version of the library does not know */
};

/* ---- connections */

typedef enum ForkdMode {
        FORKD_MODE_AUTO,   /* $FORKD_ADDRESS, the user's socket if there, the system's */
        FORKD_MODE_SYSTEM, /* /run/forkd/org.forkd */
        FORKD_MODE_USER,   /* $XDG_RUNTIME_DIR/forkd/org.forkd */
} ForkdMode;

/* The path of the socket that a mode means, to be freed by the caller. -ENOENT for
 * FORKD_MODE_USER without XDG_RUNTIME_DIR, -EINVAL when $FORKD_ADDRESS is no address. */
int forkd_find_address(ForkdMode mode, char **ret);

/* address is a path or "unix:PATH"; NULL means FORKD_MODE_AUTO. -EINVAL: no such form, or a path
 * too long for a socket; else what connect() said (-ENOENT, -ECONNREFUSED: the daemon does not run;
 * -EACCES). */
int forkd_connect(Forkd **ret, const char *address);
/* The same over a connected stream socket, which is taken over, success or not. It cannot be
 * reconnected. */
int forkd_connect_fd(Forkd **ret, int fd);
/* Drops what there is of the connection (calls in flight are told -ECANCELED) and connects again.
 */
int forkd_reconnect(Forkd *f);
/* Calls in flight are not told. Not to be called from inside a callback. NULL is fine; returns
 * NULL. */
Forkd *forkd_free(Forkd *f);
static inline void forkd_freep(Forkd **f) {
        forkd_free(*f);
}

/* The path it is connected to; NULL for forkd_connect_fd(). Belongs to f. */
const char *forkd_path(const Forkd *f);

/* How long functions that wait bear silence before they give up with -ETIMEDOUT; UINT64_MAX: for
 * ever. 45 s unless set. forkd_run() and forkd_drain() wait as long as it takes. */
void forkd_set_timeout(Forkd *f, uint64_t usec);

/* Of the last function on f that failed; valid until the next one that does. */
const char *forkd_error_sentence(const Forkd *f); /* never NULL */
const char *forkd_error_name(const Forkd *f);   /* "org.forkd.jobs.NoSuchJob"; NULL after a fault */
json_t *forkd_error_parameters(const Forkd *f); /* borrowed; NULL after a fault */

/* ---- any call */

#define FORKD_DESCRIPTORS_MAX 16

enum {
        FORKD_CALL_MORE = 1 << 0,        /* several replies */
        FORKD_CALL_ONEWAY = 1 << 1,      /* none */
        FORKD_CALL_DESCRIPTORS = 1 << 2, /* the reply may carry descriptors */
};

typedef struct ForkdRequest {
        const char *method; /* full name, "org.forkd.manager.Status" */
        json_t *parameters; /* object, or NULL for {} */
        unsigned flags;     /* FORKD_CALL_* */
        const int *fds;     /* at most FORKD_DESCRIPTORS_MAX */
        size_t n_fds;
} ForkdRequest;

typedef struct ForkdReply {
        int outcome;        /* 0, FORKD_E_*, or the negative errno that ended the connection */
        bool continues;     /* more replies follow */
        json_t *parameters; /* never NULL but after a fault; those of the error if it is one */
        int fds[FORKD_DESCRIPTORS_MAX]; /* -1 once taken */
        size_t n_fds;
} ForkdReply;

/* Releases what a reply owns: parameters and descriptors not taken. */
void forkd_reply_done(ForkdReply *reply);

/* Told of a reply that continues. A negative return ends the call by dropping the connection, and
 * is what the function that waits returns; a positive one does the same and makes it return 0. */
typedef int (*ForkdEach)(json_t *parameters, void *userdata);

/* Makes one call and waits. each is needed with FORKD_CALL_MORE only, and may be NULL. *ret (may be
 * NULL) is the last reply, to be released by forkd_reply_done(); it is filled in for positive
 * outcomes too. A call that sends or asks for descriptors needs a connection with nothing else in
 * flight: -EBUSY (connection unharmed), also when the last call was oneway, as nothing tells that
 * it has been read. -EMSGSIZE: above 1 MiB (connection unharmed). */
int forkd_call(Forkd *f, const ForkdRequest *request, ForkdEach each, void *userdata,
               ForkdReply *ret);

/* ---- the same from an event loop */

/* Told of every reply, from inside forkd_process(). reply is released afterwards. May start calls
 * on f, but not wait for any, nor free f. */
typedef void (*ForkdAnswer)(Forkd *f, ForkdReply *reply, void *userdata);

/* Sends a call and returns; fails as forkd_call() does, and then answer is not told. */
int forkd_start(Forkd *f, const ForkdRequest *request, ForkdAnswer answer, void *userdata);
int forkd_fd(const Forkd *f);       /* to be polled; -1 when the connection is gone */
short forkd_events(const Forkd *f); /* POLLIN, with POLLOUT while something waits to be sent */
/* Sends and reads what can be without waiting, and tells answers. 0, or the negative errno that has
 * ended the connection, of which every call in flight has been told. */
int forkd_process(Forkd *f);
size_t forkd_in_flight(const Forkd *f); /* calls not yet answered */

/* ---- jobs. A job is a JSON object as forkd-protocol(7) describes it. */

/* Accepts all of the jobs (a JSON array) or none; ids has room for one each. Jobs without a `key`
 * get a random one, so that a submission whose answer was lost can be, and is, once, tried again
 * over a fresh connection without running twice. What would be longer than a message (1 MiB) has
 * its large arguments sent by a memfd; -EMSGSIZE if that is not enough (connection unharmed). */
int forkd_submit(Forkd *f, json_t *jobs, uint64_t *ret_ids);
/* One job. */
int forkd_submit_one(Forkd *f, json_t *job, uint64_t *ret_id);

/* A job that lives with this connection. Arguments above 64 KiB go by a memfd when the request has
 * more than 512 KiB. */
typedef struct ForkdRun {
        json_t *job;
        const int *fds; /* what {"descriptor": i} in the job refers to */
        size_t n_fds;
        /* Told of each state before the end; pid is 0 until there is a process. May be NULL, which
         * is cheaper: one message there and one back. */
        void (*on_state)(Forkd *f, uint64_t id, const char *state, int64_t pid, void *userdata);
        /* Told of what an entry says of its progress (borrowed). May be NULL. */
        void (*on_progress)(Forkd *f, uint64_t id, json_t *progress, void *userdata);
        /* forkd_run_start() only: told of the end. outcome as that of forkd_run(). certificate is
         * borrowed, NULL unless outcome is 0 or FORKD_E_JOB_FAILED. */
        void (*on_end)(Forkd *f, int outcome, json_t *certificate, void *userdata);
        void *userdata;
} ForkdRun;

/* Runs it and waits. 0: success. FORKD_E_JOB_FAILED: it ended otherwise. *ret_certificate (may be
 * NULL) is set for both. A value that came by descriptor stands in the certificate as "value" all
 * the same. */
int forkd_run(Forkd *f, const ForkdRun *run, json_t **ret_certificate);
/* Starts it. One job at a time on a connection: -EBUSY while anything is in flight. run is copied,
 * but what it points to is only needed until this returns. */
int forkd_run_start(Forkd *f, const ForkdRun *run);

/* Told of changes: cursor to go on from, and, unless id is 0 (which only says that the connection
 * lives), a job's state and, when it has ended, its certificate (borrowed, else NULL). Returns as
 * ForkdEach. */
typedef struct ForkdChange {
        int64_t cursor;
        uint64_t id;
        const char *state;
        json_t *certificate;
} ForkdChange;
typedef int (*ForkdOnChange)(const ForkdChange *change, void *userdata);

/* ids may be NULL (n_ids 0): all jobs, for ever. cursor -1: from now, first the present state of
 * each id. */
int forkd_watch(Forkd *f, const uint64_t *ids, size_t n_ids, int64_t cursor,
                ForkdOnChange on_change, void *userdata);
/* Waits until all have finished, and tells of each as it does. timeout_usec UINT64_MAX: for ever;
 * else FORKD_E_TIMED_OUT when it has passed (the connection is dropped). on_finished may be NULL.
 */
int forkd_wait(Forkd *f, const uint64_t *ids, size_t n_ids, uint64_t timeout_usec,
               ForkdOnChange on_finished, void *userdata);

/* Empty fields do not filter. */
typedef struct ForkdListFilter {
        const char *const *states; /* ends with NULL */
        const char *queue, *name;
        uint64_t limit; /* 0: no limit */
} ForkdListFilter;

/* Tells each job's status (as in forkd-protocol(7)), one by one. filter may be NULL. */
int forkd_list(Forkd *f, const ForkdListFilter *filter, ForkdEach each, void *userdata);
/* Either output may be NULL. */
int forkd_show(Forkd *f, uint64_t id, json_t **ret_status, json_t **ret_job);

/* All of ids, in one call. signal 1 … 64. */
int forkd_kill(Forkd *f, const uint64_t *ids, size_t n_ids, int signal);
int forkd_cancel(Forkd *f, const uint64_t *ids, size_t n_ids);
int forkd_pause(Forkd *f, const uint64_t *ids, size_t n_ids);
int forkd_resume(Forkd *f, const uint64_t *ids, size_t n_ids);

/* stream is "stdout" or "stderr". *ret_fd is open for reading; the first *ret_lost bytes (may be
 * NULL) of the output were given up, and read as a hole. */
int forkd_open_output(Forkd *f, uint64_t id, const char *stream, int *ret_fd, uint64_t *ret_lost);

/* Forgets finished jobs: those named, or (ids NULL) all of the caller's. ret_forgotten may be NULL.
 */
int forkd_forget(Forkd *f, const uint64_t *ids, size_t n_ids, uint64_t *ret_forgotten);

/* ---- named forkservers. What a reply has is described in forkd-protocol(7). Those that start, stop
 * and reload wait as long as it takes. */

/* *ret_servers: an array. */
int forkd_servers_list(Forkd *f, json_t **ret_servers);
/* *ret_reply: {server, generations, workers, output}. */
int forkd_servers_show(Forkd *f, const char *name, json_t **ret_reply);
/* parameters: those of Start, with name. Waits until it is ready. ret_server may be NULL, here and
 * below. */
int forkd_servers_start(Forkd *f, json_t *parameters, json_t **ret_server);
/* Waits until its last process has ended; kill: ends its jobs, too. */
int forkd_servers_stop(Forkd *f, const char *name, bool kill);
/* Waits until the next generation serves. */
int forkd_servers_reload(Forkd *f, const char *name, json_t **ret_server);
int forkd_servers_scale(Forkd *f, const char *name, unsigned spare, json_t **ret_server);

/* ---- the daemon */

int forkd_status(Forkd *f, json_t **ret_status);
/* *ret_warnings: an array of sentences, what was ignored in the configuration. */
int forkd_reload(Forkd *f, json_t **ret_warnings);
/* From now on the daemon takes no work. wait: until nothing runs any more, telling on_left (may be
 * NULL) how much is left. */
int forkd_drain(Forkd *f, bool wait,
                void (*on_left)(uint64_t running, uint64_t queued, void *userdata), void *userdata);

#ifdef __cplusplus
}
#endif
