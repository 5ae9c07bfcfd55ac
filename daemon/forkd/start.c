/* SPDX-License-Identifier: Apache-2.0 */

/* How attempts begin, in forkd: a command is ordered of the spawner, an entry of a forkserver, or
 * of the spawner as a one-shot host; a spare takes a job over instead. What follows is in
 * attempt.c. */

#include "attempt-private.h"

#include "answer.h"
#include "daemon.h"
#include "host.h"
#include "log.h"
#include "order.h"
#include "server-private.h"
#include "spare.h"

#include <inttypes.h>
#include <sys/eventfd.h>

#define DESCRIPTORS_SPARE 32 /* for what forkservers, the keeper and clients send us */

int attempt_make_token(Attempt *a) {
        a->token = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        if (a->token < 0)
                return -errno;
        /* numbers are given lowest first: a high one says that few are left, and reports with
         * descriptors would be lost */
        if (a->token >= a->daemon->descriptors_max - DESCRIPTORS_SPARE) {
                a->token = close_fd(a->token);
                return -EMFILE;
        }
        return 0;
}

int attempt_new(Attempt **ret, Daemon *d, AttemptKind kind, Job *job, unsigned number) {
        Attempt *a = calloc(1, sizeof(*a));
        int r = 0;

        if (!a)
                return -ENOMEM;
        a->daemon = d;
        a->kind = kind;
        a->job_id = a->key_id = job ? job->id : 0;
        a->number = a->key_number = number;
        a->pidfd = a->channel = a->slot = a->token = -1;
        a->ordered_at = now_usec(CLOCK_MONOTONIC);
        if (kind == ATTEMPT_JOB)
                d->n_attempts++;

        if (kind != ATTEMPT_SPARE)
                r = attempt_make_token(a);
        if (r >= 0 && d->cgroups)
                r = cgroup_new(d->cgroups, &a->cgroup);
        if (r < 0) {
                attempt_free(a);
                return r;
        }

        *ret = a;
        return 0;
}

/* A journal that is not there, or does not read, is no reason to refuse a job. */
static bool open_journal(Job *job, Output *output) {
        int r = output_open_journal(output, job->id);

        if (r < 0)
                log_about(LOG_WARNING, r,
                          (LogAbout){ .job = job->id, .event = LOG_EVENT_OUTPUT_TO_FILE },
                          "job %" PRIu64 ": its output goes to files, the journal takes none",
                          job->id);
        return r >= 0;
}

static int open_outputs(Job *job) {
        static const char *const suffixes[] = { "out", "err" };
        bool journal = job->daemon->config->log_to_journal;

        for (int i = 0; i < 2; i++) {
                StdioKind kind = job->spec->stdio[i + 1].kind;
                int r;

                if (job->attached || (kind != STDIO_DEFAULT && kind != STDIO_FILE) ||
                    job->outputs[i].fd >= 0)
                        continue;
                journal = journal && open_journal(job, &job->outputs[i]);
                if (journal)
                        continue;
                r = output_open(&job->outputs[i], state_dir_output_fd(job->daemon->state), job->id,
                                suffixes[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- orders for a job, each with its channel if it has one */

static int order_command(Attempt *a, Job *job, Server *server) {
        _cleanup_(order_donep) Order order = ORDER_NULL;
        int r = order_write(&order, job, a);

        return r < 0 ? r
                     : server_send(server, order.text.text, order.text.length, order.fds,
                                   order.n_fds);
}

/* What goes into the channel of an untrusted one waits until that has been looked at. */
static int order_worker(Attempt *a, Job *job, Server *server) {
        _cleanup_(order_donep) Order order = ORDER_NULL;
        _cleanup_(close_fdp) int worker_end = -1;
        int r;

        r = answer_open(a, &worker_end);
        if (r >= 0 && !a->untrusted)
                r = answer_send(a, job, server);
        if (r >= 0)
                r = order_write_fork(&order, a, server, job, worker_end);
        return r < 0 ? r
                     : server_send(server, order.text.text, order.text.length, order.fds,
                                   order.n_fds);
}

static int order_one_shot(Attempt *a, Job *job, Server *spawner) {
        const NamedServer *named =
                job->spec->server ? named_find(job->daemon->named, job->spec->server) : NULL;
        const ServerSettings *settings = named ? named_settings(named) : NULL;
        _cleanup_(order_donep) Order order = ORDER_NULL;
        _cleanup_(close_fdp) int worker_end = -1;
        char **command;
        int r;

        if (job->spec->server && !settings)
                return -ENOENT;
        r = host_one_shot_command(job->daemon, settings, &command);
        if (r < 0)
                return r;
        r = answer_open(a, &worker_end);
        if (r >= 0)
                r = answer_send_one_shot(a, job, settings);
        if (r >= 0)
                r = order_write_one_shot(&order, job, a, settings, command, worker_end);
        if (r >= 0)
                r = server_send(spawner, order.text.text, order.text.length, order.fds,
                                order.n_fds);
        strings_free(command);
        return r;
}

static int order_start(Job *job, Server *server, Attempt **ret) {
        Attempt *a;
        int r;

        r = attempt_new(&a, job->daemon, ATTEMPT_JOB, job, job->attempt + 1);
        if (r < 0)
                return r;
        a->untrusted = !server_trusted(server);
        if (job->spec->command)
                r = order_command(a, job, server);
        else if (server_kind(server) == SERVER_SPAWNER)
                r = order_one_shot(a, job, server);
        else
                r = order_worker(a, job, server);
        if (r < 0) {
                attempt_free(a);
                return r;
        }

        server_add_attempt(server, a);
        *ret = a;
        return 0;
}

/* ---- a spare becomes the job's worker */

static int adopt(Attempt *a, Job *job, Server *server) {
        int r = attempt_make_token(a);

        if (r < 0)
                return r;
        a->job_id = job->id;
        a->number = job->attempt + 1;
        r = answer_send(a, job, server);
        if (r != 0) {
                /* whatever it has got, it never runs */
                (void)attempt_take_token(a);
                close_fdp(&a->token);
                a->job_id = 0;
        }
        return r;
}

/* *ret is NULL when there is no spare. */
static int adopt_spare(Job *job, Server *server, Attempt **ret) {
        Attempt *a;
        int r;

        *ret = NULL;
        /* one that has been lost to this job is enough: then it gets a fresh worker */
        while (job->start_refusals == 0 && (a = spare_take(server))) {
                r = adopt(a, job, server);
                if (r == 0) {
                        a->kind = ATTEMPT_JOB;
                        a->adopted = true;
                        a->daemon->n_attempts++;
                        *ret = a;
                        return 0;
                }
                spare_end(a);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* It runs from the first moment on. */
static void adopted_begin(Attempt *a, Job *job) {
        attempt_record(a);
        spare_adopted(a);
        job_set_state(job, JOB_RUNNING);
}

int attempt_start(Job *job, Server *server) {
        Attempt *a = NULL;
        int r;

        r = open_outputs(job);
        if (r >= 0 && server_kind(server) != SERVER_SPAWNER)
                r = adopt_spare(job, server, &a);
        if (r >= 0 && !a)
                r = order_start(job, server, &a);
        if (r < 0)
                return r;

        attempt_attach(a, job);
        job->attempt = a->number;
        job->server_generation = server_generation(server);
        job->timer = sd_event_source_disable_unref(job->timer);
        if (!job->attached)
                daemon_watch_output(job->daemon);
        job_set_state(job, JOB_STARTING);
        if (attempt_set_timer(a, job->spec->timeout_usec, on_attempt_timeout) < 0)
                job_stop(job, RESULT_TIMEOUT, NULL, "out of memory for its deadline");
        else if (a->adopted)
                adopted_begin(a, job);
        return 0;
}

/* ---- the process of a named forkserver */

int attempt_start_host(Daemon *d, Server *spawner, Order *plan, Server *host, Attempt **ret) {
        _cleanup_(order_donep) Order order = ORDER_NULL;
        Attempt *a;
        int r;

        r = attempt_new(&a, d, ATTEMPT_HOST, NULL, ++spawner->spare_number);
        if (r < 0)
                return r;
        a->host = host;
        r = order_write_host(&order, a, plan);
        if (r >= 0)
                r = server_send(spawner, order.text.text, order.text.length, order.fds,
                                order.n_fds);
        if (r < 0) {
                a->host = NULL;
                attempt_free(a);
                return r;
        }
        server_add_attempt(spawner, a);
        *ret = a;
        return 0;
}
