/* SPDX-License-Identifier: Apache-2.0 */

/* Submit and Run: from parameters to jobs. All jobs of a Submit are read, checked and made before
 * the first of them is accepted, so that all are or none is. In forkd. */

#include "methods.h"

#include "environment.h"
#include "queue.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ARGUMENTS_MAX ((off_t)64 * 1024 * 1024)

/* Checks that need the daemon and the peer. True when the call has been answered with an error. */
static bool refuse_user(Call *call, const JobSpec *spec, const char *prefix) {
        const Peer *peer = connection_peer(call_connection(call));
        char parameter[96];
        UserIdentity user;
        bool allowed;
        int r;

        if (!spec->user)
                return false;
        snprintf(parameter, sizeof(parameter), "%suser", prefix);

        if (spec->entry) {
                (void)call_invalid_parameter(
                        call, parameter,
                        "an entry runs as the uid of its forkserver: only a command "
                        "may name a user");
                return true;
        }
        r = user_lookup(spec->user, &user);
        if (r < 0) {
                (void)call_invalid_parameter(call, parameter, "there is no user '%s'", spec->user);
                return true;
        }
        allowed = geteuid() == 0 ? peer->uid == 0 || peer->uid == user.uid : user.uid == geteuid();
        user_identity_done(&user);
        if (!allowed)
                (void)call_permission_denied(
                        call, "only root may name a user other than its own, and only to a forkd "
                              "that runs as root");
        return !allowed;
}

/* What the peer could not set itself. A forkd that is not root cannot either: then the worker fails
 * at it. */
static bool refuse_privileges(Call *call, const JobSpec *spec) {
        const Peer *peer = connection_peer(call_connection(call));

        if (peer->uid == 0 || peer->uid == geteuid())
                return false;
        if (spec->priority < 0) {
                (void)call_permission_denied(
                        call, "only root and uid %u may ask for a priority below 0, not %d",
                        geteuid(), spec->priority);
                return true;
        }
        if (geteuid() != 0)
                return false;
        if (spec->nice != JOB_NICE_UNSET && spec->nice < 0) {
                (void)call_permission_denied(
                        call, "only root may ask for a nice value below 0, not %d", spec->nice);
                return true;
        }
        for (size_t i = 0; i < spec->n_limits; i++) {
                const JobLimit *l = &spec->limits[i];
                struct rlimit ours;

                if (getrlimit((__rlimit_resource_t)l->resource, &ours) == 0 &&
                    l->hard > ours.rlim_max) {
                        (void)call_permission_denied(call, "only root may raise %s above %llu",
                                                     job_limit_to_string(l->resource),
                                                     (unsigned long long)ours.rlim_max);
                        return true;
                }
        }
        return false;
}

static bool refuse_stdio(Call *call, const JobSpec *spec, bool attached, const char *prefix) {
        static const char *const names[] = { "stdin", "stdout", "stderr" };
        char parameter[96];

        for (int i = 0; i < 3; i++) {
                snprintf(parameter, sizeof(parameter), "%s%s", prefix, names[i]);
                if (!attached && spec->stdio[i].kind == STDIO_DESCRIPTOR) {
                        (void)call_invalid_parameter(
                                call, parameter,
                                "a durable job outlives its client and takes no "
                                "descriptor: give a path, or use Run");
                        return true;
                }
                if (attached && spec->stdio[i].kind == STDIO_FILE) {
                        (void)call_invalid_parameter(call, parameter,
                                                     "an attached job has no output file: give a "
                                                     "descriptor or a path, or use Submit");
                        return true;
                }
        }
        return false;
}

static bool refuse_after(Daemon *d, Call *call, const JobSpec *spec, bool attached,
                         const char *prefix) {
        char parameter[96];

        if (attached && (spec->n_after > 0 || spec->start_at_usec > 0 || spec->retries_max > 0)) {
                snprintf(parameter, sizeof(parameter), "%s%s", prefix,
                         spec->n_after > 0         ? "after"
                         : spec->start_at_usec > 0 ? "startAtUSec"
                                                   : "retries");
                (void)call_invalid_parameter(call, parameter,
                                             "an attached job starts now and once: use Submit");
                return true;
        }
        for (size_t i = 0; i < spec->n_after; i++)
                if (!job_for_call(d, call, spec->after[i].id))
                        return true;
        return false;
}

static bool refuse_spec(Daemon *d, Call *call, const JobSpec *spec, bool attached,
                        const char *prefix) {
        return refuse_entry(d, call, spec) || refuse_user(call, spec, prefix) ||
               refuse_privileges(call, spec) || refuse_stdio(call, spec, attached, prefix) ||
               refuse_after(d, call, spec, attached, prefix);
}

/* Reads one job. True when the call has been answered with an error. */
static bool parse_refused(Call *call, json_t *object, const char *prefix, size_t *captured,
                          JobSpec **ret) {
        json_t *arguments = json_object_get(object, "arguments");
        const char *bytes = NULL;
        size_t length = 0;
        JobSpecError error;
        char parameter[160];
        int r;

        /* captured values stand as the integer 0, and come in the order of the text */
        if (json_is_integer(arguments) && json_integer_value(arguments) == 0 &&
            *captured < call_n_captured(call))
                bytes = call_captured(call, (*captured)++, &length);

        r = job_spec_parse(object, bytes, length, call_n_fds(call), ret, &error);
        if (r == 0)
                return false;
        if (r < 0) {
                (void)wire_error(call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "memory"),
                                 "out of memory");
                return true;
        }
        snprintf(parameter, sizeof(parameter), "%s%s", prefix, error.field);
        (void)call_invalid_parameter(call, parameter, "%s", error.sentence);
        return true;
}

/* Large arguments come as a memfd, which is passed on as it is; sealed for a durable job: what was
 * accepted does not change any more. */
static bool arguments_fd_refused(Call *call, const JobSpec *spec, int fd, bool attached,
                                 const char *prefix) {
        const int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
        const int index = spec->arguments_descriptor, seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
        char parameter[96];
        struct stat st;

        snprintf(parameter, sizeof(parameter), "%sargumentsDescriptor", prefix);
        if (fd < 0)
                (void)call_invalid_parameter(
                        call, parameter,
                        "there is no descriptor %d with this message, or it is named "
                        "twice",
                        index);
        else if (!attached && (seals < 0 || (seals & sealed) != sealed))
                (void)call_invalid_parameter(
                        call, parameter, "descriptor %d is no memfd that is sealed against change",
                        index);
        else if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                (void)call_invalid_parameter(call, parameter, "descriptor %d is no memfd", index);
        else if (st.st_size > ARGUMENTS_MAX)
                (void)call_invalid_parameter(call, parameter,
                                             "the arguments have more than 64 MiB");
        else
                return false;
        return true;
}

/* Of the bytes of a sealed memfd and their number: equal ones have the same, and others have
 * another. */
static int arguments_digest(int fd, uint64_t *ret) {
        uint64_t words[4096], h = UINT64_C(0xcbf29ce484222325);
        off_t offset = 0;
        ssize_t n;

        while ((n = pread(fd, words, sizeof(words), offset)) > 0) {
                memset((char *)words + n, 0, sizeof(words) - (size_t)n);
                for (size_t i = 0; i < ((size_t)n + 7) / 8; i++) {
                        h = (h ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
                        h ^= h >> 32;
                }
                offset += n;
        }
        if (n < 0)
                return -errno;
        *ret = (h ^ (uint64_t)offset) * UINT64_C(0x9e3779b97f4a7c15);
        return 0;
}

static bool arguments_refused(Call *call, Job *job, const char *prefix) {
        int fd = call_take_fd(call, (size_t)job->spec->arguments_descriptor), r;

        job->arguments_fd = fd < 0 ? -1 : fd;
        if (arguments_fd_refused(call, job->spec, fd, job->attached, prefix))
                return true;
        if (job->attached || !job->spec->key)
                return false;
        r = arguments_digest(fd, &job->arguments_digest);
        if (r < 0)
                (void)wire_error(call, WIRE_STORAGE_FULL, NULL, "cannot read the arguments: %s",
                                 strerror(-r));
        return r < 0;
}

/* ---- Run */

/* Takes the descriptors that the specification names out of the call. */
static bool fds_refused(Call *call, Job *job) {
        static const char *const names[] = { "job.stdin.descriptor", "job.stdout.descriptor",
                                             "job.stderr.descriptor" };
        const JobSpec *spec = job->spec;

        for (int i = 0; i < 3; i++) {
                int fd;

                if (spec->stdio[i].kind != STDIO_DESCRIPTOR)
                        continue;
                /* one may be named twice, as for stdout and stderr: each gets its own duplicate */
                fd = call_fd(call, (size_t)spec->stdio[i].descriptor);
                job->fds[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (job->fds[i] < 0) {
                        (void)call_invalid_parameter(call, names[i],
                                                     "there is no descriptor %d with this message",
                                                     spec->stdio[i].descriptor);
                        return true;
                }
        }
        if (spec->arguments_descriptor >= 0 && arguments_refused(call, job, "job."))
                return true;
        /* whoever reads from the job is to see the end when the job closes its own, not when it ends */
        call_close_fds(call);
        return false;
}

int method_run(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "job", NULL };
        _cleanup_(job_spec_freep) JobSpec *spec = NULL;
        Daemon *d = userdata;
        json_t *object = json_object_get(parameters, "job");
        const Peer *peer = connection_peer(call_connection(call));
        size_t captured = 0;
        Job *job;
        int r;

        if (refuse_unknown(call, parameters, known))
                return 0;
        if (!json_is_object(object))
                return call_invalid_parameter(call, "job", "Run needs 'job', an object");
        if (d->draining)
                return wire_error(call, WIRE_DRAINING, NULL,
                                  "forkd is draining and takes no new work");
        if (parse_refused(call, object, "job.", &captured, &spec) ||
            refuse_spec(d, call, spec, true, "job."))
                return 0;
        if (d->n_attached >= d->config->max_attached)
                return wire_error(
                        call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "MaxAttached"),
                        "there are %zu attached jobs already, as many as MaxAttached= allows; Submit would queue it",
                        d->n_attached);
        if (!user_may_attach(d, peer->uid))
                return wire_error(
                        call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "MaxAttached"),
                        "uid %u has as many attached jobs as one user may: half of MaxAttached=, which is %u; "
                        "Submit would queue it",
                        peer->uid, d->config->max_attached);

        r = job_new(&job, d, steal(spec), peer, call);
        if (r < 0)
                return wire_error(call, WIRE_STORAGE_FULL, NULL, "cannot accept a job: %s",
                                  strerror(-r));

        if (fds_refused(call, job)) {
                job->call = NULL; /* answered */
                job_free(job);
                return 0;
        }
        return queue_accept(d->queue, job);
}

/* ---- Submit */

typedef struct Submission {
        JobSpec **specs;
        Job **jobs; /* for those whose key is known: the job that there is */
        size_t n;
        size_t n_new;
} Submission;

static void submission_done(Submission *s) {
        for (size_t i = 0; i < s->n && s->specs; i++)
                job_spec_free(s->specs[i]);
        free(s->specs);
        free(s->jobs);
        *s = (Submission){ 0 };
}

/* Large arguments may be gone with the job's end: their digest stays. */
static bool same_arguments(Call *call, const Job *job, const JobSpec *spec) {
        uint64_t digest;

        return spec->arguments_descriptor < 0 ||
               (arguments_digest(call_fd(call, (size_t)spec->arguments_descriptor), &digest) == 0 &&
                digest == job->arguments_digest);
}

/* The same key means the same job: of an earlier submission, or of this one. */
static bool key_refused(Daemon *d, Call *call, Submission *s, size_t i, const char *prefix) {
        const JobSpec *spec = s->specs[i];
        Job *job;

        if (!spec->key)
                return false;
        for (size_t k = 0; k < i; k++)
                if (streq_null(s->specs[k]->key, spec->key)) {
                        (void)call_invalid_parameter(call, "jobs",
                                                     "jobs %zu and %zu have the same key '%s'", k,
                                                     i, spec->key);
                        return true;
                }

        job = job_find_key(d, connection_peer(call_connection(call))->uid, spec->key);
        if (!job)
                return false;
        if (spec->arguments_descriptor >= 0 &&
            arguments_fd_refused(call, spec, call_fd(call, (size_t)spec->arguments_descriptor),
                                 false, prefix))
                return true;
        if (!job_spec_equal(job->spec, spec) || !same_arguments(call, job, spec)) {
                (void)wire_error(
                        call, WIRE_KEY_CONFLICT,
                        json_pack("{s:s,s:I}", "key", spec->key, "id", (json_int_t)job->id),
                        "the key '%s' belongs to job %" PRIu64 ", which is another one", spec->key,
                        job->id);
                return true;
        }
        s->jobs[i] = job;
        return false;
}

static bool submission_refused(Daemon *d, Call *call, json_t *list, Submission *s) {
        size_t captured = 0, i;
        json_t *object;

        json_array_foreach (list, i, object) {
                char prefix[32];

                snprintf(prefix, sizeof(prefix), "jobs[%zu].", i);
                if (!json_is_object(object)) {
                        (void)call_invalid_parameter(call, "jobs",
                                                     "element %zu of 'jobs' is no object", i);
                        return true;
                }
                if (parse_refused(call, object, prefix, &captured, &s->specs[i]) ||
                    refuse_spec(d, call, s->specs[i], false, prefix) ||
                    key_refused(d, call, s, i, prefix))
                        return true;
                s->n_new += s->jobs[i] == NULL;
        }
        return false;
}

static int reply_ids(Call *call, Job *const *jobs, size_t n) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        json_text_open(&t, NULL, '{');
        json_text_open(&t, "ids", '[');
        for (size_t i = 0; i < n; i++)
                json_text_int(&t, NULL, (int64_t)jobs[i]->id);
        json_text_close(&t, ']');
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        return call_reply_text(call, t.text, t.length, false);
}

enum {
        SUBMISSION_E_ANSWERED = 1, /* with an error */
};

/* Makes all jobs, and unmakes them when one cannot be made. */
static int submission_make(Daemon *d, Call *call, Submission *s, bool *made) {
        const Peer *peer = connection_peer(call_connection(call));
        int r = 0;

        for (size_t i = 0; i < s->n && r == 0; i++) {
                if (s->jobs[i])
                        continue;
                r = job_new(&s->jobs[i], d, steal(s->specs[i]), peer, NULL);
                made[i] = r >= 0;
                if (r >= 0 && s->jobs[i]->spec->arguments_descriptor >= 0) {
                        char prefix[32];

                        snprintf(prefix, sizeof(prefix), "jobs[%zu].", i);
                        if (arguments_refused(call, s->jobs[i], prefix))
                                r = SUBMISSION_E_ANSWERED;
                }
        }
        for (size_t i = 0; i < s->n && r != 0; i++)
                if (made[i])
                        job_free(s->jobs[i]);
        return r;
}

int method_submit(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "jobs", NULL };
        _cleanup_(submission_done) Submission s = { 0 };
        _cleanup_(freep) bool *made = NULL;
        Daemon *d = userdata;
        json_t *list = json_object_get(parameters, "jobs");
        uid_t uid = connection_peer(call_connection(call))->uid;
        int r;

        if (refuse_unknown(call, parameters, known))
                return 0;
        if (!json_is_array(list) || json_array_size(list) == 0)
                return call_invalid_parameter(call, "jobs",
                                              "Submit needs 'jobs', a list of at least one job");
        if (d->draining)
                return wire_error(call, WIRE_DRAINING, NULL,
                                  "forkd is draining and takes no new work");

        s.n = json_array_size(list);
        s.specs = calloc(s.n, sizeof(*s.specs));
        s.jobs = calloc(s.n, sizeof(*s.jobs));
        made = calloc(s.n, sizeof(*made));
        if (!s.specs || !s.jobs || !made)
                return -ENOMEM;

        if (submission_refused(d, call, list, &s))
                return 0;
        if (d->n_states[JOB_QUEUED] + d->n_states[JOB_PARKED] + s.n_new > d->config->queue_max)
                return wire_error(
                        call, WIRE_QUEUE_FULL, NULL,
                        "the queue has %zu jobs and room for %u (QueueMax=): none of the %zu was accepted; try again "
                        "later",
                        d->n_states[JOB_QUEUED] + d->n_states[JOB_PARKED], d->config->queue_max,
                        s.n_new);
        if (!user_may_queue(d, uid, s.n_new))
                return wire_error(
                        call, WIRE_QUEUE_FULL, NULL,
                        "uid %u may have half of the queue, which has room for %u (QueueMax=): none of the %zu was "
                        "accepted; try again later",
                        uid, d->config->queue_max, s.n_new);

        r = submission_make(d, call, &s, made);
        if (r == SUBMISSION_E_ANSWERED)
                return 0;
        if (r < 0)
                return wire_error(call, WIRE_STORAGE_FULL, NULL, "cannot accept jobs: %s",
                                  strerror(-r));

        r = reply_ids(call, s.jobs, s.n);
        for (size_t i = 0; i < s.n; i++)
                if (made[i] && queue_accept(d->queue, s.jobs[i]) < 0)
                        job_finish_unstarted(s.jobs[i], RESULT_SERVER_FAILED, "out of memory");
        return r;
}
