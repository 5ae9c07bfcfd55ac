/* SPDX-License-Identifier: Apache-2.0 */

/* Writes what forkd sends to forkservers and workers for one attempt; stateless, in forkd. */

#include "order.h"

#include "daemon.h"
#include "environment.h"
#include "host.h"
#include "text.h"

#include <inttypes.h>
#include <sys/resource.h>

int order_add_fd(Order *order, int fd) {
        order->fds[order->n_fds] = fd;
        return (int)order->n_fds++;
}

/* Absolute: a one-shot host opens its streams while it is in another directory. */
static void write_path(JsonText *t, const char *name, const JobSpec *spec, const char *path) {
        _cleanup_(freep) char *text = NULL;

        if (*path == '/')
                json_text_string(t, name, path);
        else if (asprintf(&text, "%s/%s", spec->directory ?: "", path) >= 0)
                json_text_string(t, name, text);
        else {
                text = NULL;
                t->error = -ENOMEM;
        }
}

static void write_stdio(Order *order, const Job *job, int stream) {
        const JobStdio *stdio = &job->spec->stdio[stream];
        JsonText *t = &order->text;

        switch (stdio->kind) {
        case STDIO_PATH:
                json_text_open(t, NULL, '{');
                write_path(t, "path", job->spec, stdio->path);
                json_text_bool(t, "append", stdio->append);
                json_text_close(t, '}');
                return;
        case STDIO_DESCRIPTOR:
                json_text_int(t, NULL, order_add_fd(order, job->fds[stream]));
                return;
        case STDIO_STDOUT:
                json_text_string(t, NULL, "stdout");
                return;
        case STDIO_DEFAULT:
        case STDIO_FILE:
                if (stream > 0 && job->outputs[stream - 1].fd >= 0)
                        json_text_int(t, NULL, order_add_fd(order, job->outputs[stream - 1].fd));
                else
                        json_text_null(t, NULL);
                return;
        case STDIO_NULL:
                json_text_null(t, NULL);
                return;
        }
}

static void write_identity(JsonText *t, const Owner *o) {
        json_text_int(t, "uid", o->uid);
        json_text_int(t, "gid", o->gid);
        json_text_open(t, "groups", '[');
        for (size_t i = 0; i < o->n_groups; i++)
                json_text_int(t, NULL, o->groups[i]);
        json_text_close(t, ']');
}

void order_write_owner(JsonText *t, const Owner *o) {
        if (geteuid() == 0 && o->uid != 0)
                write_identity(t, o);
}

/* Commands run as the peer, or as the user that root named. */
static int write_user(JsonText *t, const Job *job, uid_t *ret_uid) {
        UserIdentity user;
        int r;

        *ret_uid = geteuid();
        if (geteuid() != 0)
                return 0;
        if (!job->spec->user) {
                order_write_owner(t, &job->owner);
                *ret_uid = job->owner.uid;
                return 0;
        }

        r = user_lookup(job->spec->user, &user);
        if (r < 0)
                return r;
        write_identity(t, &(Owner){ .uid = user.uid,
                                    .gid = user.gid,
                                    .groups = user.groups,
                                    .n_groups = user.n_groups });
        *ret_uid = user.uid;
        user_identity_done(&user);
        return 0;
}

static int write_environment(JsonText *t, const Job *job, uid_t uid) {
        char *const *list;
        int r;

        if (job->spec->environment) {
                json_text_strings(t, "environment", job->spec->environment);
                return 0;
        }

        r = environment_default(&job->daemon->environment, uid, &list);
        if (r < 0)
                return r;
        json_text_strings(t, "environment", list);
        return 0;
}

void order_write_limits(JsonText *t, const JobLimit *limits, size_t n_limits) {
        if (n_limits == 0)
                return;

        json_text_open(t, "limits", '{');
        for (size_t i = 0; i < n_limits; i++) {
                const uint64_t values[] = { limits[i].soft, limits[i].hard };

                json_text_open(t, job_limit_to_string(limits[i].resource), '[');
                for (size_t k = 0; k < ELEMENTSOF(values); k++)
                        if (values[k] == UINT64_MAX)
                                json_text_null(t, NULL);
                        else /* JSON has integers of 63 bits, which no limit needs */
                                json_text_int(t, NULL,
                                              values[k] > INT64_MAX ? INT64_MAX
                                                                    : (int64_t)values[k]);
                json_text_close(t, ']');
        }
        json_text_close(t, '}');
}

/* Those of the job, and of the forkserver's the others. */
static void write_one_shot_limits(JsonText *t, const JobSpec *spec,
                                  const ServerSettings *settings) {
        JobLimit all[RLIM_NLIMITS * 2];
        size_t n = 0;

        for (size_t i = 0; i < spec->n_limits && n < ELEMENTSOF(all); i++)
                all[n++] = spec->limits[i];
        for (size_t i = 0; settings && i < settings->n_limits && n < ELEMENTSOF(all); i++) {
                bool said = false;

                for (size_t k = 0; k < n && !said; k++)
                        said = all[k].resource == settings->limits[i].resource;
                if (!said)
                        all[n++] = settings->limits[i];
        }
        order_write_limits(t, all, n);
}

static void write_directory(JsonText *t, const JobSpec *spec) {
        json_text_string(t, "directory", spec->directory ?: "/");
        json_text_int(t, "umask", spec->umask >= 0 ? spec->umask : 022);
}

/* All but who and where the worker is, its environment and its limits. */
static void write_plan(Order *order, const Job *job) {
        const JobSpec *spec = job->spec;
        JsonText *t = &order->text;

        json_text_open(t, "stdio", '[');
        for (int i = 0; i < 3; i++)
                write_stdio(order, job, i);
        json_text_close(t, ']');
        if (spec->nice != JOB_NICE_UNSET)
                json_text_int(t, "nice", spec->nice);
        if (spec->n_affinity > 0) {
                json_text_open(t, "affinity", '[');
                for (size_t i = 0; i < spec->n_affinity; i++)
                        json_text_int(t, NULL, spec->affinity[i]);
                json_text_close(t, ']');
        }
}

/* ---- whole packets */

static void begin_packet(Order *order, const char *method, uint64_t id, unsigned attempt) {
        JsonText *t = &order->text;

        json_text_open(t, NULL, '{');
        json_text_string(t, "method", method);
        json_text_open(t, "parameters", '{');
        json_text_int(t, "id", (int64_t)id);
        json_text_int(t, "attempt", attempt);
}

static int end_packet(Order *order) {
        json_text_close(&order->text, '}');
        json_text_close(&order->text, '}');
        return json_text_finish(&order->text);
}

/* Fork with what all of them have. */
static void begin_fork(Order *order, const Attempt *a) {
        begin_packet(order, "Fork", a->key_id, a->key_number);
        if (a->cgroup && !a->untrusted)
                json_text_int(&order->text, "cgroup", order_add_fd(order, cgroup_fd(a->cgroup)));
}

static void write_token(Order *order, const Attempt *a) {
        json_text_int(&order->text, "token", order_add_fd(order, a->token));
}

int order_write(Order *order, const Job *job, const Attempt *attempt) {
        JsonText *t = &order->text;
        uid_t uid;
        int r;

        begin_fork(order, attempt);
        write_token(order, attempt);
        json_text_open(t, "plan", '{');
        json_text_strings(t, "command", job->spec->command);
        r = write_user(t, job, &uid);
        if (r < 0)
                return r;
        r = write_environment(t, job, uid);
        if (r < 0)
                return r;
        write_directory(t, job->spec);
        write_plan(order, job);
        order_write_limits(t, job->spec->limits, job->spec->n_limits);
        json_text_close(t, '}');
        return end_packet(order);
}

int order_write_host(Order *order, const Attempt *attempt, const Order *plan) {
        /* first, so that the plan's indexes stay right */
        for (size_t i = 0; i < plan->n_fds; i++)
                (void)order_add_fd(order, plan->fds[i]);
        begin_fork(order, attempt);
        write_token(order, attempt);
        json_text_raw(&order->text, "plan", plan->text.text, plan->text.length);
        return end_packet(order);
}

static void write_title(JsonText *t, const char *label, const Job *job) {
        char title[256];

        if (job)
                text_format(title, sizeof(title), "forkd: %s job %" PRIu64 " %s", label, job->id,
                            job->spec->entry);
        else
                text_format(title, sizeof(title), "forkd: %s spare", label);
        json_text_string(t, "title", title);
}

int order_write_fork(Order *order, const Attempt *attempt, const Server *server, const Job *job,
                     int channel) {
        JsonText *t = &order->text;

        begin_fork(order, attempt);
        json_text_int(t, "channel", order_add_fd(order, channel));
        write_title(t, server_label(server), job);
        if (attempt->kind == ATTEMPT_SPARE || attempt->untrusted)
                json_text_bool(t, "tell", true);
        return end_packet(order);
}

int order_write_adopt(Order *order, const Job *job, const Attempt *attempt, const Server *server) {
        JsonText *t = &order->text;
        int r;

        begin_packet(order, "Adopt", job->id, attempt->number);
        write_token(order, attempt);
        write_title(t, server_label(server), job);
        json_text_open(t, "plan", '{');
        r = write_environment(t, job, server_uid(server));
        if (r < 0)
                return r;
        write_directory(t, job->spec);
        write_plan(order, job);
        order_write_limits(t, job->spec->limits, job->spec->n_limits);
        json_text_close(t, '}');
        return end_packet(order);
}

static const char *one_shot_label(const ServerSettings *settings) {
        return settings ? settings->name : "twin";
}

int order_write_adopt_one_shot(Order *order, const Job *job, const Attempt *attempt,
                               const ServerSettings *settings) {
        JsonText *t = &order->text;
        int r;

        begin_packet(order, "Adopt", job->id, attempt->number);
        write_title(t, one_shot_label(settings), job);
        json_text_open(t, "plan", '{');
        r = write_environment(t, job, settings ? settings->user.uid : geteuid());
        if (r < 0)
                return r;
        write_directory(t, job->spec);
        json_text_close(t, '}');
        return end_packet(order);
}

int order_write_one_shot(Order *order, const Job *job, const Attempt *attempt,
                         const ServerSettings *settings, char *const *command, int channel) {
        JsonText *t = &order->text;
        int r;

        begin_fork(order, attempt);
        write_token(order, attempt);
        json_text_open(t, "plan", '{');
        json_text_strings(t, "command", command);
        json_text_int(t, "channel", order_add_fd(order, channel));
        if (settings)
                order_write_owner(t, &settings->user);
        r = host_write_environment(t, job->daemon, settings, one_shot_label(settings), true);
        if (r < 0)
                return r;
        json_text_string(t, "directory", "/");
        json_text_int(t, "umask", 022);
        write_plan(order, job);
        write_one_shot_limits(t, job->spec, settings);
        json_text_close(t, '}');
        return end_packet(order);
}

void order_done(Order *order) {
        json_text_done(&order->text);
}

int order_write_call(JsonText *t, const Job *job) {
        const JobSpec *spec = job->spec;
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        json_text_open(t, NULL, '{');
        json_text_string(t, "method", "Call");
        json_text_open(t, "parameters", '{');
        json_text_string(t, "entry", spec->entry);
        if (job->arguments_fd >= 0)
                json_text_int(t, "argumentsDescriptor", 0);
        else
                json_text_raw(t, "arguments", spec->arguments ?: "{}",
                              spec->arguments ? spec->arguments_length : 2);
        if (spec->timeout_usec <= INT64_MAX - now)
                json_text_int(t, "deadlineUSec", (int64_t)(now + spec->timeout_usec));
        json_text_close(t, '}');
        json_text_close(t, '}');
        return json_text_finish(t);
}
