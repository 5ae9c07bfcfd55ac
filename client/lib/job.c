/* SPDX-License-Identifier: Apache-2.0 */

/* Giving work to the daemon: jobs that it keeps (Submit), and jobs that live with the connection
 * (Run). Lives in clients. */

#include "connection.h"

#include <sys/random.h>

#define METHOD_SUBMIT "org.forkd.jobs.Submit"
#define METHOD_RUN    "org.forkd.jobs.Run"

/* Descriptors of a request: those of the caller, and memfds made for it. */
typedef struct Descriptors {
        int fds[FORKD_DESCRIPTORS_MAX];
        size_t n, n_borrowed;
} Descriptors;

static void descriptors_done(Descriptors *d) {
        for (size_t i = d->n_borrowed; i < d->n; i++)
                close_fd(d->fds[i]);
}

/* Writes the job, its arguments moved into a memfd when they are longer than `above`. */
static int job_write(Forkd *f, json_t *job, size_t above, Descriptors *d) {
        json_t *moved;
        int fd = -1, r;

        if (above == SIZE_MAX || d->n == FORKD_DESCRIPTORS_MAX)
                return text_add_json(&f->request, job);
        r = job_move_arguments(job, d->n, above, &moved, &fd);
        if (r < 0)
                return r;
        if (fd >= 0)
                d->fds[d->n++] = fd;
        r = text_add_json(&f->request, moved);
        json_decref(moved);
        return r;
}

static int request_fault(Forkd *f, int r) {
        if (r == -EMSGSIZE)
                return connection_fault(
                        f, r, "arguments above %zu MiB cannot be sent; give the name of a file",
                        ARGUMENTS_MAX / 1024 / 1024);
        return connection_fault(f, r, "cannot build the request: %s", strerror(-r));
}

/* ---- Submit */

static int job_with_key(json_t *job, json_t **ret) {
        unsigned char random[16];
        char key[2 * sizeof(random) + 1];
        json_t *copy;

        if (!json_is_object(job))
                return -EINVAL;
        if (json_is_string(json_object_get(job, "key"))) {
                *ret = json_incref(job);
                return 0;
        }

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        for (size_t i = 0; i < sizeof(random); i++)
                snprintf(key + 2 * i, 3, "%02x", random[i]);

        copy = json_copy(job);
        if (!copy || json_object_set_new(copy, "key", json_string(key)) < 0) {
                json_decref(copy);
                return -ENOMEM;
        }
        *ret = copy;
        return 0;
}

static int jobs_with_keys(json_t *jobs, json_t **ret) {
        json_t *keyed = json_array(), *job;
        size_t i;
        int r = keyed ? 0 : -ENOMEM;

        json_array_foreach (jobs, i, job) {
                json_t *copy = NULL;

                r = job_with_key(job, &copy);
                if (r == 0 && json_array_append_new(keyed, copy) < 0)
                        r = -ENOMEM;
                if (r < 0)
                        break;
        }
        if (r < 0) {
                json_decref(keyed);
                return r;
        }
        *ret = keyed;
        return 0;
}

static int submit_write(Forkd *f, json_t *jobs, size_t above, Descriptors *d) {
        json_t *job;
        size_t i;
        int r;

        r = request_begin(f, METHOD_SUBMIT);
        if (r < 0)
                return r;
        r = text_add_string(&f->request, "{\"jobs\":");
        json_array_foreach (jobs, i, job) {
                if (r == 0)
                        r = text_add_string(&f->request, i == 0 ? "[" : ",");
                if (r == 0)
                        r = job_write(f, job, above, d);
        }
        if (r == 0)
                r = text_add_string(&f->request, json_array_size(jobs) > 0 ? "]}" : "[]}");
        return r < 0 ? request_fault(f, r) : 0;
}

/* Writes the request as it is, then, if that is too long for a message, with large arguments moved
 * out. */
static int submit_write_fitting(Forkd *f, json_t *jobs, Descriptors *d) {
        int r;

        r = submit_write(f, jobs, SIZE_MAX, d);
        if (r == 0 && f->request.length > STREAM_MESSAGE_MAX - 64)
                r = submit_write(f, jobs, ARGUMENTS_INLINE / 8, d);
        return r < 0 ? r : request_end(f, 0);
}

static int ids_read(Forkd *f, const json_t *parameters, size_t n, uint64_t *ret_ids) {
        const json_t *ids = json_object_get(parameters, "ids"), *id;
        size_t i;

        if (!json_is_array(ids) || json_array_size(ids) != n)
                return connection_fault(f, -EBADMSG, "forkd answered %zu jobs with %zu ids", n,
                                        json_array_size(ids));
        json_array_foreach (ids, i, id)
                ret_ids[i] = (uint64_t)json_number_value(id);
        return 0;
}

/* Is it likely that only the connection was lost, by a restart of the daemon? */
static bool connection_was_lost(int r) {
        return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN;
}

int forkd_submit(Forkd *f, json_t *jobs, uint64_t *ret_ids) {
        const size_t n = json_array_size(jobs);
        Descriptors d = { 0 };
        ForkdRequest request = { 0 };
        json_t *keyed = NULL;
        int r;

        r = json_is_array(jobs) ? jobs_with_keys(jobs, &keyed) : -EINVAL;
        if (r < 0)
                return connection_fault(f, r, "cannot submit: %s",
                                        r == -EINVAL ? "what was given is no array of objects"
                                                     : strerror(-r));

        r = submit_write_fitting(f, keyed, &d);
        if (r == 0) {
                for (int attempt = 0; attempt < 2; attempt++) {
                        Waiting w = { 0 };

                        request.fds = d.fds;
                        request.n_fds = d.n;
                        r = call_wait(f, &request, &w);
                        if (r == 0)
                                r = ids_read(f, w.reply.parameters, n, ret_ids);
                        forkd_reply_done(&w.reply);
                        /* With keys, what was accepted already is not accepted again. */
                        if (!connection_was_lost(r) || !f->path || attempt > 0)
                                break;
                        if (forkd_reconnect(f) < 0)
                                break;
                }
        }
        descriptors_done(&d);
        json_decref(keyed);
        return r;
}

int forkd_submit_one(Forkd *f, json_t *job, uint64_t *ret_id) {
        json_t *jobs = json_array();
        int r;

        if (!jobs || json_array_append(jobs, job) < 0) {
                json_decref(jobs);
                return connection_fault(f, -ENOMEM, "out of memory");
        }
        r = forkd_submit(f, jobs, ret_id);
        json_decref(jobs);
        return r;
}

/* ---- Run */

/* What a Run in flight remembers. */
typedef struct Running {
        ForkdRun run;
        json_t *certificate; /* forkd_run() only */
        int outcome;
        bool done;
} Running;

static int certificate_read(Forkd *f, ForkdReply *reply, json_t **ret_certificate) {
        json_t *c = json_object_get(reply->parameters, "certificate");
        int r;

        if (!json_is_object(c))
                return connection_fault(f, -EBADMSG,
                                        "forkd told the end of a job without its certificate");
        r = certificate_fetch_value(c, reply);
        if (r < 0)
                return connection_fault(f, r, "cannot read the value of the job: %s", strerror(-r));
        *ret_certificate = c;
        return reply->outcome;
}

static void on_run_answer(Forkd *f, ForkdReply *reply, void *userdata) {
        Running *running = userdata;
        const ForkdRun *run = &running->run;
        const json_t *p = reply->parameters;
        json_t *certificate = NULL;
        int r = reply->outcome;

        if (reply->continues) {
                const char *state = json_string_value(json_object_get(p, "state"));

                json_t *progress = json_object_get(p, "progress");

                if (run->on_progress && json_is_object(progress))
                        run->on_progress(f, (uint64_t)json_integer_value(json_object_get(p, "id")),
                                         progress, run->userdata);
                else if (run->on_state && state)
                        run->on_state(f, (uint64_t)json_integer_value(json_object_get(p, "id")),
                                      state, json_integer_value(json_object_get(p, "pid")),
                                      run->userdata);
                return;
        }

        if (r == 0 || r == FORKD_E_JOB_FAILED)
                r = certificate_read(f, reply, &certificate);
        if (run->on_end) {
                run->on_end(f, r, certificate, run->userdata);
                free(running);
                return;
        }
        running->certificate = json_incref(certificate);
        running->outcome = r;
        running->done = true;
}

static int run_write(Forkd *f, const ForkdRun *run, size_t above, Descriptors *d) {
        int r;

        r = request_begin(f, METHOD_RUN);
        if (r < 0)
                return r;
        r = text_add_string(&f->request, "{\"job\":");
        if (r == 0)
                r = job_write(f, run->job, above, d);
        if (r == 0)
                r = text_add_string(&f->request, "}");
        return r < 0 ? request_fault(f, r) : 0;
}

static int run_send(Forkd *f, const ForkdRun *run, Running *running) {
        Descriptors d = { .n = run->n_fds, .n_borrowed = run->n_fds };
        ForkdRequest request = { .flags = FORKD_CALL_DESCRIPTORS };
        int r;

        if (run->n_fds > FORKD_DESCRIPTORS_MAX)
                return connection_fault(f, -E2BIG, "%zu descriptors, and at most %d can be sent",
                                        run->n_fds, FORKD_DESCRIPTORS_MAX);
        if (run->n_fds > 0)
                memcpy(d.fds, run->fds, run->n_fds * sizeof(int));
        if (run->on_state || run->on_progress)
                request.flags |= FORKD_CALL_MORE;

        r = run_write(f, run, SIZE_MAX, &d);
        if (r == 0 && f->request.length > ARGUMENTS_INLINE)
                r = run_write(f, run, ARGUMENTS_INLINE / 8, &d);
        if (r == 0)
                r = request_end(f, request.flags);
        if (r == 0) {
                request.fds = d.fds;
                request.n_fds = d.n;
                running->run = *run;
                r = request_send(f, &request, on_run_answer, running);
        }
        descriptors_done(&d);
        return r;
}

int forkd_run_start(Forkd *f, const ForkdRun *run) {
        Running *running;
        int r;

        if (!run->on_end)
                return connection_fault(f, -EINVAL,
                                        "forkd_run_start() needs somebody to tell of the end");
        running = calloc(1, sizeof(*running));
        if (!running)
                return connection_fault(f, -ENOMEM, "out of memory");
        r = run_send(f, run, running);
        if (r < 0)
                free(running);
        else
                f->last->owned = true;
        return r;
}

int forkd_run(Forkd *f, const ForkdRun *run, json_t **ret_certificate) {
        Running running = { 0 };
        ForkdRun copy = *run;
        int r;

        if (f->processing)
                return connection_fault(f, -EBUSY, "a callback cannot wait for an answer");
        copy.on_end = NULL;
        r = run_send(f, &copy, &running);
        if (r < 0)
                return r;

        r = call_wait_until(f, &running.done);
        if (running.done)
                r = running.outcome;
        if (r >= 0 && ret_certificate && running.certificate)
                *ret_certificate = steal(running.certificate);
        json_decref(running.certificate);
        return r;
}
