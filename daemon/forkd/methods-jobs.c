/* SPDX-License-Identifier: Apache-2.0 */

/* The methods on jobs that there are: Kill Cancel Pause Resume Forget, OpenOutput. Those that take
 * several ids check all of them before they touch one. In forkd. */

#include "methods.h"

#include "attempt.h"

#include <inttypes.h>
#include <signal.h>
#include <utlist.h>

typedef bool (*JobRefused)(Call *call, const Job *job);
typedef void (*JobAction)(Job *job, Call *call, int64_t argument);

static bool refuse_not_running(Call *call, const Job *job, const char *what) {
        if (job->running && (job->state == JOB_STARTING || job->state == JOB_RUNNING ||
                             job->state == JOB_PAUSED || job->state == JOB_STOPPING))
                return false;
        (void)wire_wrong_state(call, job, what);
        return true;
}

static bool kill_refused(Call *call, const Job *job) {
        return refuse_not_running(call, job, "signalled");
}

static bool pause_refused(Call *call, const Job *job) {
        if (job->running &&
            (job->state == JOB_STARTING || job->state == JOB_RUNNING || job->state == JOB_PAUSED))
                return false;
        (void)wire_wrong_state(call, job, "paused");
        return true;
}

static bool resume_refused(Call *call, const Job *job) {
        if (job->running &&
            (job->state == JOB_STARTING || job->state == JOB_RUNNING || job->state == JOB_PAUSED))
                return false;
        (void)wire_wrong_state(call, job, "resumed");
        return true;
}

static bool cancel_refused(Call *call, const Job *job) {
        if (job->state != JOB_FINISHED)
                return false;
        (void)wire_wrong_state(call, job, "cancelled");
        return true;
}

static void do_kill(Job *job, Call *call, int64_t signal) {
        (void)call;
        if (signal == SIGKILL && job->running->cgroup && job->running->pid > 0)
                (void)cgroup_kill(job->running->cgroup);
        else
                (void)attempt_signal(job->running, (int)signal);
}

static void do_cancel(Job *job, Call *call, int64_t argument) {
        (void)argument;
        job_stop(job, RESULT_CANCELLED, connection_peer(call_connection(call)), NULL);
}

static void do_pause(Job *job, Call *call, int64_t argument) {
        (void)call;
        (void)argument;
        if (job->state == JOB_PAUSED || attempt_freeze(job->running, true) < 0)
                return;
        if (job->state == JOB_RUNNING)
                job_set_state(job, JOB_PAUSED);
}

static void do_resume(Job *job, Call *call, int64_t argument) {
        (void)call;
        (void)argument;
        if (attempt_freeze(job->running, false) >= 0 && job->state == JOB_PAUSED)
                job_set_state(job, JOB_RUNNING);
}

/* Acts on all of ids, or on none when one of them cannot be acted on. */
static int act(Call *call, json_t *parameters, Daemon *d, JobRefused refused, JobAction action,
               int64_t argument) {
        _cleanup_(ids_done) Ids ids = { 0 };

        if (ids_read_refused(call, parameters, "ids", true, &ids))
                return 0;
        for (size_t i = 0; i < ids.n_ids; i++) {
                const Job *job = job_for_call(d, call, ids.ids[i]);

                if (!job || refused(call, job))
                        return 0;
        }
        for (size_t i = 0; i < ids.n_ids; i++) {
                /* one may have ended by what was done to one before it, or be named twice */
                Job *job = job_find(d, ids.ids[i]);

                if (job && job->state != JOB_FINISHED && (job->running || action == do_cancel))
                        action(job, call, argument);
        }
        return call_reply(call, NULL, false);
}

int method_kill(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "ids", "signal", NULL };
        int64_t signal = SIGTERM;

        if (refuse_unknown(call, parameters, known) ||
            int_read_refused(call, parameters, "signal", 1, SIGRTMAX, &signal))
                return 0;
        return act(call, parameters, userdata, kill_refused, do_kill, signal);
}

static const char *const only_ids[] = { "ids", NULL };

int method_cancel(Call *call, json_t *parameters, void *userdata) {
        if (refuse_unknown(call, parameters, only_ids))
                return 0;
        return act(call, parameters, userdata, cancel_refused, do_cancel, 0);
}

int method_pause(Call *call, json_t *parameters, void *userdata) {
        if (refuse_unknown(call, parameters, only_ids))
                return 0;
        return act(call, parameters, userdata, pause_refused, do_pause, 0);
}

int method_resume(Call *call, json_t *parameters, void *userdata) {
        if (refuse_unknown(call, parameters, only_ids))
                return 0;
        return act(call, parameters, userdata, resume_refused, do_resume, 0);
}

static int reply_forgotten(Call *call, size_t n) {
        char text[48];

        return call_reply_text(
                call, text, (size_t)snprintf(text, sizeof(text), "{\"forgotten\":%zu}", n), false);
}

int method_forget(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "ids", "finished", NULL };
        _cleanup_(ids_done) Ids ids = { 0 };
        Daemon *d = userdata;
        json_t *finished = json_object_get(parameters, "finished");
        const Peer *peer = connection_peer(call_connection(call));
        Job *job, *next;
        size_t n = 0;

        if (refuse_unknown(call, parameters, known) ||
            ids_read_refused(call, parameters, "ids", false, &ids))
                return 0;
        if (finished && !json_is_null(finished) && !json_is_boolean(finished))
                return call_invalid_parameter(call, "finished", "'finished' is true or false");
        if (ids.given == json_is_true(finished))
                return call_invalid_parameter(call, "ids",
                                              "Forget needs either 'ids', or 'finished' as true");

        queue_recheck(d->queue);
        if (!ids.given) {
                DL_FOREACH_SAFE (d->finished, job, next)
                        if (peer->uid == job->owner.uid || (peer->uid == 0 && geteuid() == 0)) {
                                daemon_forget(d, job);
                                n++;
                        }
                return reply_forgotten(call, n);
        }

        for (size_t i = 0; i < ids.n_ids; i++) {
                job = job_for_call(d, call, ids.ids[i]);
                if (!job)
                        return 0;
                if (job->state != JOB_FINISHED)
                        return wire_wrong_state(call, job, "forgotten: only finished jobs can be");
        }
        for (size_t i = 0; i < ids.n_ids; i++) {
                job = job_find(d, ids.ids[i]);
                if (job) {
                        daemon_forget(d, job);
                        n++;
                }
        }
        return reply_forgotten(call, n);
}

static int open_stream(Daemon *d, const Job *job, const char *stream) {
        if (streq(stream, "value"))
                return job->certificate && job->certificate->value
                               ? wire_value_fd(job->certificate->value,
                                               job->certificate->value_length)
                               : -ENOENT;
        return output_reopen(state_dir_output_fd(d->state), job->id,
                             streq(stream, "stdout") ? "out" : "err");
}

int method_open_output(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "id", "stream", NULL };
        _cleanup_(close_fdp) int fd = -1;
        Daemon *d = userdata;
        const char *stream;
        int64_t id = 0;
        json_t *reply;
        Job *job;
        int r;

        if (refuse_unknown(call, parameters, known) ||
            int_read_refused(call, parameters, "id", 1, INT64_MAX, &id) ||
            string_read_refused(call, parameters, "stream", &stream))
                return 0;
        if (id == 0)
                return call_invalid_parameter(call, "id", "OpenOutput needs 'id', the id of a job");
        stream = stream ?: "stdout";
        if (!streq(stream, "stdout") && !streq(stream, "stderr") && !streq(stream, "value"))
                return call_invalid_parameter(call, "stream",
                                              "'stream' is \"stdout\", \"stderr\" or \"value\"");
        job = job_for_call(d, call, (uint64_t)id);
        if (!job)
                return 0;

        fd = open_stream(d, job, stream);
        if (fd == -ENOENT && !streq(stream, "value") &&
            (job->outputs[0].journal || job->outputs[1].journal))
                return wire_error(call, WIRE_WRONG_STATE,
                                  json_pack("{s:I,s:s}", "id", (json_int_t)id, "state",
                                            job_state_to_string(job->state)),
                                  "the output of job %" PRId64
                                  " is in the journal: `journalctl -t forkd-%" PRId64 "` shows it",
                                  id, id);
        if (fd == -ENOENT)
                return wire_error(call, WIRE_WRONG_STATE,
                                  json_pack("{s:I,s:s}", "id", (json_int_t)id, "state",
                                            job_state_to_string(job->state)),
                                  "job %" PRId64 " has no %s that forkd keeps%s", id, stream,
                                  job->attempt == 0 ? ": it has not started yet" : "");
        if (fd < 0)
                return wire_error(
                        call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "descriptors"),
                        "cannot open %s of job %" PRId64 ": %s", stream, id, strerror(-fd));

        reply = json_pack("{s:i,s:I}", "descriptor", 0, "lost",
                          (json_int_t)(streq(stream, "value") ? 0 : output_hole(fd)));
        r = reply ? call_reply_fds(call, reply, &fd, 1) : -ENOMEM;
        json_decref(reply);
        return r;
}
