/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs: owned by the daemon's table, in forkd. This file has their life and the table of moves;
 * attempts run them, the queue orders them, watch.c tells of them. */

#include "job.h"

#include "attempt.h"
#include "daemon.h"
#include "log.h"
#include "process-id.h"
#include "wire-error.h"

#include <inttypes.h>
#include <search.h>
#include <utlist.h>

#define STATUS_COMMAND_MAX ((size_t)64 * 1024) /* bytes of its words */

static const struct {
        const char *name;
        unsigned next; /* states that may follow, as bits */
} states[_JOB_STATE_MAX] = {
        [JOB_QUEUED] = { "queued", 1u << JOB_STARTING | 1u << JOB_FINISHED | 1u << JOB_PARKED },
        [JOB_STARTING] = { "starting", 1u << JOB_RUNNING | 1u << JOB_STOPPING | 1u << JOB_FINISHED |
                                               1u << JOB_QUEUED | 1u << JOB_PARKED },
        /* queued again: a spare had died before it took the job over */
        [JOB_RUNNING] = { "running", 1u << JOB_PAUSED | 1u << JOB_STOPPING | 1u << JOB_FINISHED |
                                             1u << JOB_QUEUED | 1u << JOB_PARKED },
        [JOB_PAUSED] = { "paused", 1u << JOB_RUNNING | 1u << JOB_STOPPING | 1u << JOB_FINISHED |
                                           1u << JOB_QUEUED | 1u << JOB_PARKED },
        [JOB_STOPPING] = { "stopping", 1u << JOB_FINISHED | 1u << JOB_PARKED },
        [JOB_FINISHED] = { "finished", 0 },
        [JOB_PARKED] = { "parked", 1u << JOB_QUEUED | 1u << JOB_FINISHED },
};

const char *job_state_to_string(JobState state) {
        return states[state].name;
}

JobState job_state_from_string(const char *s) {
        for (JobState i = 0; i < _JOB_STATE_MAX; i++)
                if (streq(states[i].name, s))
                        return i;
        return _JOB_STATE_INVALID;
}

bool job_state_may_follow(JobState from, JobState to) {
        return states[from].next & 1u << to;
}

static int compare_keys(const void *a, const void *b) {
        const Job *x = a, *y = b;

        if (x->owner.uid != y->owner.uid)
                return x->owner.uid < y->owner.uid ? -1 : 1;
        return strcmp(x->spec->key, y->spec->key);
}

int owner_from_peer(Owner *owner, const Peer *peer) {
        *owner = (Owner){ .uid = peer->uid, .gid = peer->gid, .pid = peer->pid };

        if (peer->n_groups > 0) {
                owner->groups = malloc(peer->n_groups * sizeof(gid_t));
                if (!owner->groups)
                        return -ENOMEM;
                memcpy(owner->groups, peer->groups, peer->n_groups * sizeof(gid_t));
                owner->n_groups = peer->n_groups;
        }
        return 0;
}

static void on_call_gone(Call *call, void *userdata) {
        Job *job = userdata;

        (void)call;
        job->call = NULL;
        job_stop(job, RESULT_CANCELLED, NULL, "its client has gone");
}

/* Counts it in, or out of, its state. */
static void job_count(const Job *job, int by) {
        job->daemon->n_states[job->state] += (size_t)by;
        if (job->state == JOB_QUEUED || job->state == JOB_PARKED)
                job->share->n_waiting += (size_t)by;
}

int job_new(Job **ret, Daemon *daemon, JobSpec *taken, const Peer *peer, Call *call) {
        _cleanup_(job_spec_freep) JobSpec *spec = taken;
        _cleanup_(job_freep) Job *job = calloc(1, sizeof(*job));
        int r;

        if (!job)
                return -ENOMEM;

        job->daemon = daemon;
        job->fds[0] = job->fds[1] = job->fds[2] = job->arguments_fd = -1;
        job->outputs[0] = job->outputs[1] = OUTPUT_NULL;
        job->attached = call != NULL;
        job->queued_at = now_usec(CLOCK_REALTIME);
        job->queued_boot = now_usec(CLOCK_BOOTTIME);

        r = owner_from_peer(&job->owner, peer);
        if (r < 0)
                return r;
        job->share = user_share_get(daemon, job->owner.uid);
        if (!job->share)
                return -ENOMEM;
        r = state_dir_next_id(daemon->state, &job->id);
        if (r < 0)
                return r;

        job->spec = steal(spec);
        job->state = JOB_QUEUED;
        job_count(job, 1);
        HASH_ADD(hh, daemon->jobs, id, sizeof(job->id), job);
        if (job->spec->key && !job->attached) {
                if (!tsearch(job, &daemon->jobs_keyed, compare_keys))
                        return -ENOMEM;
                job->keyed = true;
        }
        if (call) {
                daemon->n_attached++;
                job->share->n_attached++;
                job->counted = true;
                job->call = call;
                call_set_gone(call, on_call_gone, job);
        }

        *ret = steal(job);
        return 0;
}

Job *job_free(Job *job) {
        if (!job)
                return NULL;

        if (job->list)
                DL_DELETE(*job->list, job);
        if (job->id > 0 && job->spec) {
                HASH_DELETE(hh, job->daemon->jobs, job);
                job_count(job, -1);
                if (job->counted) {
                        job->daemon->n_attached--;
                        job->share->n_attached--;
                }
                if (job->keyed)
                        (void)tdelete(job, &job->daemon->jobs_keyed, compare_keys);
        }
        if (job->running) {
                job->running->job = NULL;
                attempt_free(job->running);
        }
        if (job->call)
                call_set_gone(job->call, NULL, NULL);

        sd_event_source_disable_unref(job->timer);
        for (size_t i = 0; i < 3; i++)
                close_fd(job->fds[i]);
        close_fd(job->arguments_fd);
        output_close(&job->outputs[0]);
        output_close(&job->outputs[1]);
        certificate_free(job->certificate);
        job_spec_free(job->spec);
        user_share_put(job->daemon, job->share);
        free(job->owner.groups);
        free(job);
        return NULL;
}

Job *job_find(Daemon *daemon, uint64_t id) {
        Job *job;

        HASH_FIND(hh, daemon->jobs, &id, sizeof(id), job);
        return job;
}

Job *job_find_key(Daemon *daemon, uid_t uid, const char *key) {
        JobSpec spec = { .key = (char *)key };
        Job like = { .owner.uid = uid, .spec = &spec };
        void *node = tfind(&like, &daemon->jobs_keyed, compare_keys);

        return node ? *(Job **)node : NULL;
}

/* Under `more` the client of an attached job hears of its states. */
static void tell_client(const Job *job) {
        char text[160];
        int n;

        if (!job->call || !call_wants_more(job->call) || job->state == JOB_FINISHED)
                return;

        if (job->running && job->running->pid > 0)
                n = snprintf(text, sizeof(text), "{\"id\":%" PRIu64 ",\"state\":\"%s\",\"pid\":%d}",
                             job->id, job_state_to_string(job->state), job->running->pid);
        else
                n = snprintf(text, sizeof(text), "{\"id\":%" PRIu64 ",\"state\":\"%s\"}", job->id,
                             job_state_to_string(job->state));
        (void)call_reply_text(job->call, text, (size_t)n, true);
}

void job_set_state(Job *job, JobState state) {
        Daemon *d = job->daemon;

        if (job->state == state)
                return;
        if (!job_state_may_follow(job->state, state)) {
                log_about(LOG_ERR, 0, LOG_JOB(job->id), "job %" PRIu64 ": no way from %s to %s",
                          job->id, job_state_to_string(job->state), job_state_to_string(state));
                abort();
        }

        job_count(job, -1);
        job->state = state;
        job_count(job, 1);

        if (state == JOB_STARTING) {
                job->started_at = now_usec(CLOCK_REALTIME);
                job->started_boot = now_usec(CLOCK_BOOTTIME);
                job->ran = false;
                d->total_started++;
        } else if (state == JOB_RUNNING) {
                job->ran = true;
                job->queue_deadline = USEC_INFINITY;
        } else if (state == JOB_FINISHED) {
                job->finished_at = now_usec(CLOCK_REALTIME);
                d->total_finished++;
        }

        watch_job_changed(d->watch, job);
        tell_client(job);
}

/* What the journal has is the journal's to tell. */
static void certificate_add_output(Certificate *c, Job *job) {
        Output *out = &job->outputs[0], *err = &job->outputs[1];

        if (out->fd >= 0 && !out->journal) {
                c->has_stdout = true;
                c->stdout_bytes = output_size(out);
                (void)output_trim(out, job->daemon->config->output_max);
                c->stdout_lost = out->lost;
        }
        if (err->fd >= 0 && !err->journal) {
                c->has_stderr = true;
                c->stderr_bytes = output_size(err);
                (void)output_trim(err, job->daemon->config->output_max);
                c->stderr_lost = err->lost;
                c->stderr_tail = output_tail(err);
        }
        output_close(out);
        output_close(err);
}

static bool retry_wanted(const Job *job, const Certificate *c) {
        static const unsigned bits[_RESULT_MAX] = {
                [RESULT_EXIT] = RETRY_EXIT,
                [RESULT_ERROR] = RETRY_EXIT,
                [RESULT_SIGNAL] = RETRY_SIGNAL,
                [RESULT_CORE_DUMP] = RETRY_SIGNAL,
                [RESULT_TIMEOUT] = RETRY_TIMEOUT,
                [RESULT_OOM] = RETRY_OOM,
                [RESULT_SERVER_FAILED] = RETRY_SERVER_FAILED,
                [RESULT_LOST] = RETRY_LOST,
        };

        return !job->attached && job->attempt > 0 && job->attempt <= job->spec->retries_max &&
               (job->spec->retries_on & bits[c->result]) && !job->daemon->stopping;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Job *job = userdata;

        (void)source;
        (void)usec;
        job->timer = sd_event_source_disable_unref(job->timer);
        queue_remove(job->daemon->queue, job);
        job_set_state(job, JOB_QUEUED);
        queue_add(job->daemon->queue, job);
        queue_wake(job->daemon->queue);
        return 0;
}

/* Waits for the next attempt: parked for the delay. False when that cannot be arranged. */
static bool retry_later(Job *job) {
        job->timer = sd_event_source_disable_unref(job->timer);
        /* from now, not from when this turn of the loop began */
        if (sd_event_add_time(job->daemon->event, &job->timer, CLOCK_BOOTTIME,
                              now_usec(CLOCK_BOOTTIME) + job->spec->retries_delay_usec, 0, on_retry,
                              job) < 0)
                return false;
        memset(&job->stop, 0, sizeof(job->stop));
        job->queue_deadline = USEC_INFINITY;
        job_set_state(job, JOB_PARKED);
        queue_add(job->daemon->queue, job);
        return true;
}

static void answer(Job *job) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const Certificate *c = job->certificate;
        Call *call = steal(job->call);
        bool success = c->result == RESULT_SUCCESS;

        call_set_gone(call, NULL, NULL);

        if (success && c->value && c->value_length > CERTIFICATE_VALUE_MAX) {
                (void)wire_reply_with_value(call, job);
                return;
        }

        json_text_open(&t, NULL, '{');
        json_text_int(&t, "id", (int64_t)job->id);
        if (success)
                json_text_string(&t, "state", "finished");
        certificate_write(c, &t, "certificate", -1);
        if (!success) {
                char sentence[1024];

                certificate_sentence(c, sentence, sizeof(sentence));
                json_text_string(&t, "sentence", sentence);
        }
        json_text_close(&t, '}');

        if (json_text_finish(&t) < 0)
                (void)call_error(call, "org.forkd.jobs.JobFailed", NULL);
        else if (success)
                (void)call_reply_text(call, t.text, t.length, false);
        else
                (void)wire_error_text(call, WIRE_JOB_FAILED, t.text);
}

void job_finish(Job *job, Certificate *certificate) {
        Daemon *d = job->daemon;

        certificate->ran |= job->ran && certificate->attempt == job->attempt;
        certificate_add_output(certificate, job);
        if (retry_wanted(job, certificate) && retry_later(job)) {
                certificate_free(certificate);
                queue_wake(d->queue);
                daemon_check_drained(d);
                return;
        }

        job->timer = sd_event_source_disable_unref(job->timer);
        for (size_t i = 0; i < 3; i++)
                close_fdp(&job->fds[i]);
        close_fdp(&job->arguments_fd);
        job->certificate = certificate;
        job_set_state(job, JOB_FINISHED);

        if (job->call)
                answer(job);
        queue_job_finished(d->queue, job);
        if (job->attached)
                job_free(job);
        else {
                DL_APPEND(d->finished, job);
                job->list = &d->finished;
        }
        queue_wake(d->queue);
        daemon_check_drained(d);
}

Certificate *job_certificate_new(const Job *job, Result result) {
        Certificate *c = certificate_new(job->id, job->attempt);
        bool ordered = job->state != JOB_QUEUED && job->state != JOB_PARKED;
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        if (!c) {
                log_about(LOG_ERR, 0,
                          (LogAbout){ .job = job->id, .event = LOG_EVENT_JOB_UNRECORDED },
                          "job %" PRIu64 ": out of memory for its certificate", job->id);
                abort();
        }
        c->result = result;
        c->entry = job->spec->entry != NULL;
        c->server = job->spec->server ? strdup(job->spec->server) : NULL;
        c->generation = job->server_generation;
        c->queue_usec = (ordered ? job->started_boot : now) - job->queued_boot;
        c->run_usec = ordered ? now - job->started_boot : 0;
        if (job->stop.wanted && job->stop.by_peer) {
                c->cancelled = true;
                c->by_uid = job->stop.uid;
                c->by_pid = job->stop.pid;
        }
        return c;
}

void job_finish_unstarted(Job *job, Result result, const char *text) {
        Certificate *c = job_certificate_new(job, result);

        c->text = text ? strdup(text) : NULL;
        queue_remove(job->daemon->queue, job);
        job_finish(job, c);
}

void job_stop(Job *job, Result result, const Peer *peer, const char *note) {
        if (job->state == JOB_FINISHED || job->stop.wanted)
                return;

        job->stop.wanted = true;
        job->stop.result = result;
        job->stop.note = note;
        if (peer) {
                job->stop.by_peer = true;
                job->stop.uid = peer->uid;
                job->stop.pid = peer->pid;
        }

        if (job->running) {
                attempt_stop(job->running, job->spec->grace_usec);
                return;
        }

        queue_remove(job->daemon->queue, job);
        job_finish_unstarted(job, result, note);
}

bool job_permits(const Job *job, const Peer *peer) {
        return peer->uid == 0 || peer->uid == geteuid() || peer->uid == job->owner.uid;
}

/* Whole words, as many as fit: a status is to fit a message whatever the command. */
static void write_command(const JobSpec *spec, JsonText *t) {
        size_t room = STATUS_COMMAND_MAX;
        char **word = spec->command;

        if (!word)
                return;
        json_text_open(t, "command", '[');
        for (size_t n; *word && (n = strnlen(*word, room + 1)) <= room; word++, room -= n)
                json_text_string(t, NULL, *word);
        json_text_close(t, ']');
        if (*word)
                json_text_bool(t, "commandTruncated", true);
}

/* Left out when nobody can tell it any more, or not yet. */
static void write_memory(const Attempt *a, JsonText *t) {
        uint64_t own, shared;

        if (a->phase == ATTEMPT_ENDED || process_memory(a->pid, &own, &shared) < 0)
                return;
        json_text_int(t, "privateBytes", (int64_t)own);
        json_text_int(t, "sharedBytes", (int64_t)shared);
}

void job_write_status(const Job *job, JsonText *t, const char *key, bool memory) {
        const JobSpec *spec = job->spec;

        json_text_open(t, key, '{');
        json_text_int(t, "id", (int64_t)job->id);
        json_text_string(t, "state", job_state_to_string(job->state));
        json_text_bool(t, "attached", job->attached);
        json_text_int(t, "uid", job->owner.uid);
        json_text_string(t, "startMethod", start_method_to_string(spec->start_method));
        json_text_int(t, "attempt", job->attempt);
        write_command(spec, t);
        json_text_string(t, "entry", spec->entry);
        json_text_string(t, "server", spec->server);
        json_text_string(t, "name", spec->name);
        json_text_string(t, "queue", spec->queue);
        json_text_int(t, "priority", spec->priority);
        json_text_string(t, "key", spec->key);
        if (job->server_generation > 0)
                json_text_int(t, "generation", job->server_generation);
        if (job->running && job->running->pid > 0) {
                json_text_int(t, "pid", job->running->pid);
                if (memory)
                        write_memory(job->running, t);
        }
        json_text_int(t, "queuedAtUSec", (int64_t)job->queued_at);
        if (job->started_at > 0)
                json_text_int(t, "startedAtUSec", (int64_t)job->started_at);
        if (job->finished_at > 0)
                json_text_int(t, "finishedAtUSec", (int64_t)job->finished_at);
        if (job->certificate)
                certificate_write(job->certificate, t, "certificate", -1);
        json_text_close(t, '}');
}
