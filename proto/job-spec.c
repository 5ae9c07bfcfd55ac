/* SPDX-License-Identifier: Apache-2.0 */

/* The specification of a job: one table of fields, each with its reader and its writer, so that
 * both directions cannot drift apart. A JobSpec belongs to whoever parsed it (forkd: the job;
 * forkctl: the command line). Lives in forkd and in clients. Readers and writers stand in
 * job-field*.c and job-limit.c. */

#include "job-spec.h"
#include "job-field.h"
#include "text.h"

#include <limits.h>

#define GRACE_DEFAULT_USEC (10 * USEC_PER_SEC)

#define AT(m) .offset = offsetof(JobSpec, m)

static const Field fields[] = {
        { "startMethod", field_parse_start_method, field_dump_start_method },
        { "command", field_parse_command, field_dump_command },
        { "entry", field_parse_string, field_dump_string, AT(entry), .min = 1, .max = 255 },
        /* 47 bytes: it stands in a slot of the running table */
        { "server", field_parse_word, field_dump_string, AT(server), .min = 1, .max = 47 },
        { "arguments", field_parse_arguments, field_dump_arguments },
        { "argumentsDescriptor", field_parse_arguments_descriptor, field_dump_int,
          AT(arguments_descriptor), .unset = -1 },
        { "key", field_parse_string, field_dump_string, AT(key), .min = 1, .max = 255 },
        { "name", field_parse_string, field_dump_string, AT(name), .min = 1, .max = 255 },
        { "queue", field_parse_word, field_dump_string, AT(queue), .min = 1, .max = 63 },
        { "priority", field_parse_int, field_dump_int, AT(priority), .min = -20, .max = 19 },
        { "after", field_parse_after, field_dump_after },
        { "startAtUSec", field_parse_usec, field_dump_usec, AT(start_at_usec) },
        { "environment", field_parse_environment, field_dump_environment },
        { "directory", field_parse_directory, field_dump_string, AT(directory), .min = 1,
          .max = PATH_MAX - 1 },
        { "umask", field_parse_int, field_dump_int, AT(umask), .max = 0777, .unset = -1 },
        { "stdin", field_parse_stdio, field_dump_stdio, AT(stdio[0]) },
        { "stdout", field_parse_stdio, field_dump_stdio, AT(stdio[1]) },
        { "stderr", field_parse_stdio, field_dump_stdio, AT(stdio[2]) },
        { "limits", field_parse_limits, field_dump_limits },
        { "nice", field_parse_int, field_dump_int, AT(nice), .min = -20, .max = 19,
          .unset = JOB_NICE_UNSET },
        { "affinity", field_parse_affinity, field_dump_affinity },
        { "user", field_parse_string, field_dump_string, AT(user), .min = 1, .max = 255 },
        { "timeoutUSec", field_parse_usec, field_dump_usec, AT(timeout_usec), .min = 1,
          .unset = (int64_t)USEC_INFINITY },
        { "queueTimeoutUSec", field_parse_usec, field_dump_usec, AT(queue_timeout_usec), .min = 1,
          .unset = (int64_t)USEC_INFINITY },
        { "graceUSec", field_parse_usec, field_dump_usec, AT(grace_usec),
          .unset = (int64_t)GRACE_DEFAULT_USEC },
        { "retries", field_parse_retries, field_dump_retries },
};

static const char *const start_method_names[] = {
        [START_METHOD_FORK] = "fork",
        [START_METHOD_SPAWN] = "spawn",
        [START_METHOD_FORKSERVER] = "forkserver",
};

const char *start_method_to_string(StartMethod m) {
        return m >= 0 && m < _START_METHOD_MAX ? start_method_names[m] : NULL;
}

StartMethod start_method_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(start_method_names); i++)
                if (streq(s, start_method_names[i]))
                        return (StartMethod)i;
        return _START_METHOD_INVALID;
}

static const Field *field_find(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (streq(fields[i].name, name))
                        return &fields[i];
        return NULL;
}

static int unknown_field(FieldParse *p, const char *name) {
        const char *names[ELEMENTSOF(fields) + 1] = { NULL }, *near;

        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                names[i] = fields[i].name;
        near = text_nearest(name, names);
        if (near)
                return field_invalid(p, name, "a job has no field '%s'; did you mean '%s'?", name,
                                     near);
        return field_invalid(p, name, "a job has no field '%s'", name);
}

/* ---- what the fields mean together */

static int check_command(FieldParse *p, bool method_given) {
        JobSpec *spec = p->spec;

        if (spec->server)
                return field_invalid(
                        p, "server",
                        "a command does not run in a forkserver; leave 'server' out, or "
                        "name an 'entry' of it");
        if (spec->arguments || spec->arguments_descriptor >= 0)
                return field_invalid(
                        p, spec->arguments ? "arguments" : "argumentsDescriptor",
                        "arguments are for an entry; those of a command stand in 'command'");
        if (!method_given)
                spec->start_method = START_METHOD_SPAWN;
        if (spec->start_method != START_METHOD_SPAWN)
                return field_invalid(
                        p, "startMethod",
                        "a command runs by 'spawn' and not by '%s', which is for entries",
                        start_method_to_string(spec->start_method));
        return 0;
}

static int check_entry(FieldParse *p, bool method_given) {
        JobSpec *spec = p->spec;

        if (spec->arguments && spec->arguments_descriptor >= 0)
                return field_invalid(p, "argumentsDescriptor",
                                     "a job has either 'arguments' or 'argumentsDescriptor'");
        if (!method_given)
                spec->start_method = spec->server ? START_METHOD_FORKSERVER : START_METHOD_FORK;
        if (spec->start_method == START_METHOD_FORKSERVER && !spec->server)
                return field_invalid(p, "server", "'forkserver' needs 'server', the name of one");
        if (spec->start_method == START_METHOD_FORK && spec->server)
                return field_invalid(
                        p, "server",
                        "'fork' runs entries of forkd's own modules; with 'server' the "
                        "start method is 'forkserver' or 'spawn'");
        return 0;
}

static int check_together(FieldParse *p, bool method_given) {
        if (!p->spec->command && !p->spec->entry)
                return field_invalid(p, "command", "a job needs either 'command' or 'entry'");
        if (p->spec->command && p->spec->entry)
                return field_invalid(p, "entry",
                                     "a job has either 'command' or 'entry', and not both");
        return p->spec->command ? check_command(p, method_given) : check_entry(p, method_given);
}

/* ---- both directions */

static JobSpec *job_spec_new(void) {
        JobSpec *spec = calloc(1, sizeof(*spec));

        if (!spec)
                return NULL;
        spec->arguments_descriptor = -1;
        for (size_t i = 0; i < ELEMENTSOF(spec->stdio); i++)
                spec->stdio[i].descriptor = -1;
        spec->umask = -1;
        spec->nice = JOB_NICE_UNSET;
        spec->timeout_usec = spec->queue_timeout_usec = USEC_INFINITY;
        spec->grace_usec = GRACE_DEFAULT_USEC;
        spec->retries_on = RETRY_ALL;
        spec->retries_delay_usec = RETRY_DELAY_DEFAULT_USEC;
        return spec;
}

int job_spec_parse(const json_t *object, const char *arguments, size_t arguments_length,
                   size_t n_fds, JobSpec **ret, JobSpecError *ret_error) {
        _cleanup_(job_spec_freep) JobSpec *spec = job_spec_new();
        FieldParse p = { spec, ret_error, arguments, arguments_length, n_fds };
        const char *name;
        json_t *value;
        int r;

        if (!spec)
                return -ENOMEM;
        if (!json_is_object(object))
                return field_invalid(&p, "job", "a job must be an object");

        json_object_foreach ((json_t *)object, name, value) {
                const Field *field = field_find(name);

                if (!field)
                        return unknown_field(&p, name);
                if (json_is_null(value))
                        continue;
                r = field->parse(&p, field, value);
                if (r != 0)
                        return r;
        }

        r = check_together(&p, field_get(object, "startMethod") != NULL);
        if (r != 0)
                return r;

        *ret = steal(spec);
        return 0;
}

json_t *job_spec_dump(const JobSpec *spec, bool environment) {
        json_t *object = json_object();

        if (!object)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                if (fields[i].parse == field_parse_environment && !environment)
                        continue;
                if (fields[i].dump(spec, &fields[i], object) < 0) {
                        json_decref(object);
                        return NULL;
                }
        }
        return object;
}

static void strings_free(char **strings) {
        if (!strings)
                return;
        for (char **s = strings; *s; s++)
                free(*s);
        free(strings);
}

JobSpec *job_spec_free(JobSpec *spec) {
        if (!spec)
                return NULL;
        strings_free(spec->command);
        strings_free(spec->environment);
        for (size_t i = 0; i < ELEMENTSOF(spec->stdio); i++)
                free(spec->stdio[i].path);
        free(spec->entry);
        free(spec->server);
        free(spec->arguments);
        free(spec->key);
        free(spec->name);
        free(spec->queue);
        free(spec->user);
        free(spec->directory);
        free(spec->affinity);
        free(spec->after);
        free(spec->limits);
        free(spec);
        return NULL;
}

/* By what they say, so that the order of members and the spacing of arguments do not matter. */
bool job_spec_equal(const JobSpec *a, const JobSpec *b) {
        json_t *x = job_spec_dump(a, true), *y = job_spec_dump(b, true);
        bool equal = x && y && (a->arguments_descriptor >= 0) == (b->arguments_descriptor >= 0);

        if (equal) {
                json_object_del(x, "key");
                json_object_del(y, "key");
                json_object_del(x, "argumentsDescriptor");
                json_object_del(y, "argumentsDescriptor");
                equal = json_equal(x, y);
        }
        json_decref(x);
        json_decref(y);
        return equal;
}
