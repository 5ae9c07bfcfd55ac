/* SPDX-License-Identifier: Apache-2.0 */

/* Writes what forkd sends to forkservers and workers for one attempt; stateless, in forkd. */

#include "order.h"

#include "attempt.h"
#include "daemon.h"
#include "environment.h"

#include <inttypes.h>

static int order_add_fd(Order *order, int fd) {
        order->fds[order->n_fds] = fd;
        return (int)order->n_fds++;
}

static void write_stdio(Order *order, const Job *job, int stream) {
        const JobStdio *stdio = &job->spec->stdio[stream];
        JsonText *t = &order->text;

        switch (stdio->kind) {
        case STDIO_PATH:
                json_text_open(t, NULL, '{');
                json_text_string(t, "path", stdio->path);
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

static void write_groups(JsonText *t, uid_t uid, gid_t gid, const gid_t *groups, size_t n) {
        json_text_int(t, "uid", uid);
        json_text_int(t, "gid", gid);
        json_text_open(t, "groups", '[');
        for (size_t i = 0; i < n; i++)
                json_text_int(t, NULL, groups[i]);
        json_text_close(t, ']');
}

/* Commands run as the peer, or as the user that root named; entries never change their uid. */
static int write_user(JsonText *t, const Job *job, uid_t *ret_uid) {
        const Owner *o = &job->owner;
        UserIdentity user;
        int r;

        *ret_uid = geteuid();
        if (geteuid() != 0 || job->spec->entry)
                return 0;

        if (job->spec->user) {
                r = user_lookup(job->spec->user, &user);
                if (r < 0)
                        return r;
                write_groups(t, user.uid, user.gid, user.groups, user.n_groups);
                *ret_uid = user.uid;
                user_identity_done(&user);
        } else if (o->uid != 0) {
                write_groups(t, o->uid, o->gid, o->groups, o->n_groups);
                *ret_uid = o->uid;
        }
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

static void write_limits(JsonText *t, const JobSpec *spec) {
        if (spec->n_limits == 0)
                return;

        json_text_open(t, "limits", '{');
        for (size_t i = 0; i < spec->n_limits; i++) {
                const uint64_t values[] = { spec->limits[i].soft, spec->limits[i].hard };

                json_text_open(t, job_limit_to_string(spec->limits[i].resource), '[');
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

static int write_plan(Order *order, const Job *job, int channel) {
        const JobSpec *spec = job->spec;
        JsonText *t = &order->text;
        char title[128];
        uid_t uid;
        int r;

        json_text_open(t, "plan", '{');
        if (spec->entry) {
                json_text_bool(t, "entry", true);
                json_text_int(t, "channel", order_add_fd(order, channel));
                snprintf(title, sizeof(title), "forkd: twin job %" PRIu64 " %s", job->id,
                         spec->entry);
                json_text_string(t, "title", title);
        }
        json_text_strings(t, "command", spec->command);

        r = write_user(t, job, &uid);
        if (r < 0)
                return r;
        r = write_environment(t, job, uid);
        if (r < 0)
                return r;

        json_text_string(t, "directory", spec->directory ?: "/");
        json_text_int(t, "umask", spec->umask >= 0 ? spec->umask : 022);
        json_text_open(t, "stdio", '[');
        for (int i = 0; i < 3; i++)
                write_stdio(order, job, i);
        json_text_close(t, ']');
        write_limits(t, spec);
        if (spec->nice != JOB_NICE_UNSET)
                json_text_int(t, "nice", spec->nice);
        if (spec->n_affinity > 0) {
                json_text_open(t, "affinity", '[');
                for (size_t i = 0; i < spec->n_affinity; i++)
                        json_text_int(t, NULL, spec->affinity[i]);
                json_text_close(t, ']');
        }
        json_text_close(t, '}');
        return 0;
}

int order_write(Order *order, const Job *job, const Attempt *attempt, int channel) {
        JsonText *t = &order->text;
        int r;

        json_text_open(t, NULL, '{');
        json_text_string(t, "method", "Fork");
        json_text_open(t, "parameters", '{');
        json_text_int(t, "id", (int64_t)job->id);
        json_text_int(t, "attempt", attempt->number);
        json_text_int(t, "token", order_add_fd(order, attempt->token));
        if (attempt->cgroup)
                json_text_int(t, "cgroup", order_add_fd(order, cgroup_fd(attempt->cgroup)));
        r = write_plan(order, job, channel);
        if (r < 0)
                return r;
        json_text_close(t, '}');
        json_text_close(t, '}');
        return json_text_finish(t);
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
