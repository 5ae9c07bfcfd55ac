/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of a job specification that say what runs: command, environment, arguments and standard
 * streams. See job-field.h. */

#include "job-field.h"
#include "text.h"

#include <limits.h>

#define COMMAND_MAX 4096

int field_parse_command(FieldParse *p, const Field *field, const json_t *value) {
        size_t n = json_array_size(value);
        const char *s;
        int r;

        if (!json_is_array(value))
                return field_invalid(p, field->name, "command must be an array of strings");
        if (n == 0)
                return field_invalid(p, field->name,
                                     "command is empty; its first string names the program");
        if (n > COMMAND_MAX)
                return field_invalid(p, field->name,
                                     "command has %zu strings, and may have at most %d", n,
                                     COMMAND_MAX);

        p->spec->command = calloc(n + 1, sizeof(char *));
        if (!p->spec->command)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                char name[32];

                snprintf(name, sizeof(name), "command[%zu]", i);
                r = field_read_string(p, name, json_array_get(value, i), i == 0 ? 1 : 0, SIZE_MAX,
                                      &s);
                if (r != 0)
                        return r;
                p->spec->command[i] = strdup(s);
                if (!p->spec->command[i])
                        return -ENOMEM;
        }
        return 0;
}

int field_dump_command(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *array;

        if (!spec->command)
                return 0;
        array = json_array();
        for (char **s = spec->command; *s; s++)
                if (json_array_append_new(array, json_string(*s)) < 0) {
                        json_decref(array);
                        return -ENOMEM;
                }
        return field_set_new(object, field->name, array);
}

/* Ours and the service manager's: what they say is true of forkd, not of a job. */
static bool environment_is_ours(const char *name) {
        return strncmp(name, "LISTEN_", 7) == 0 || strncmp(name, "WATCHDOG_", 9) == 0 ||
               streq(name, "NOTIFY_SOCKET") || streq(name, "FORKD_CHANNEL") ||
               streq(name, "FORKD_WORKER") || streq(name, "FORKD_SERVER") ||
               streq(name, "FORKD_ARGUMENTS") || streq(name, "FORKD_HUGE_PAGES") ||
               streq(name, "FORKD_KEEPER");
}

int field_parse_environment(FieldParse *p, const Field *field, const json_t *value) {
        const char *key, *s;
        json_t *element;
        size_t n = 0;
        int r;

        if (!json_is_object(value))
                return field_invalid(p, field->name, "environment must be an object of strings");
        p->spec->environment = calloc(json_object_size(value) + 1, sizeof(char *));
        if (!p->spec->environment)
                return -ENOMEM;

        json_object_foreach ((json_t *)value, key, element) {
                char name[256];

                if (key[0] == '\0' || strchr(key, '='))
                        return field_invalid(
                                p, field->name,
                                "environment has a variable named '%s'; a name is not empty "
                                "and has no '='",
                                key);
                if (json_is_null(element) || environment_is_ours(key))
                        continue;
                text_format(name, sizeof(name), "environment.%s", key);
                r = field_read_string(p, name, element, 0, SIZE_MAX, &s);
                if (r != 0)
                        return r;
                if (asprintf(&p->spec->environment[n], "%s=%s", key, s) < 0) {
                        p->spec->environment[n] = NULL;
                        return -ENOMEM;
                }
                n++;
        }
        return 0;
}

int field_dump_environment(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *variables;
        int r = 0;

        if (!spec->environment)
                return 0;
        variables = json_object();
        for (char **s = spec->environment; *s && r == 0; s++) {
                const char *equals = strchr(*s, '=');
                _cleanup_(freep) char *name = strndup(*s, (size_t)(equals - *s));

                r = name ? field_set_new(variables, name, json_string(equals + 1)) : -ENOMEM;
        }
        if (r < 0) {
                json_decref(variables);
                return r;
        }
        return field_set_new(object, field->name, variables);
}

int field_parse_arguments(FieldParse *p, const Field *field, const json_t *value) {
        JobSpec *spec = p->spec;

        if (p->arguments && json_is_integer(value)) {
                spec->arguments = strndup(p->arguments, p->arguments_length);
                spec->arguments_length = p->arguments_length;
        } else if (json_is_object(value)) {
                spec->arguments = json_dumps(value, JSON_COMPACT);
                spec->arguments_length = spec->arguments ? strlen(spec->arguments) : 0;
        } else
                return field_invalid(p, field->name, "arguments must be an object");
        return spec->arguments ? 0 : -ENOMEM;
}

int field_dump_arguments(const JobSpec *spec, const Field *field, json_t *object) {
        if (!spec->arguments)
                return 0;
        return field_set_new(object, field->name,
                             json_loadb(spec->arguments, spec->arguments_length, 0, NULL));
}

static int field_parse_descriptor(FieldParse *p, const char *name, const json_t *value, int *ret) {
        int64_t v;

        if (!field_integer_get(value, &v))
                return field_invalid(p, name, "%s must be the index of a descriptor", name);
        if (v < 0 || (uint64_t)v >= p->n_fds)
                return field_invalid(p, name, "%s is %lld, but %zu descriptors came with the call",
                                     name, (long long)v, p->n_fds);
        *ret = (int)v;
        return 0;
}

int field_parse_arguments_descriptor(FieldParse *p, const Field *field, const json_t *value) {
        return field_parse_descriptor(p, field->name, value, &p->spec->arguments_descriptor);
}

/* ---- standard streams */

static int parse_stdio_word(FieldParse *p, const Field *field, const char *word, JobStdio *ret) {
        bool input = ret == &p->spec->stdio[0], error = ret == &p->spec->stdio[2];

        if (streq(word, "null"))
                ret->kind = STDIO_NULL;
        else if (streq(word, "file") && !input)
                ret->kind = STDIO_FILE;
        else if (streq(word, "stdout") && error)
                ret->kind = STDIO_STDOUT;
        else
                return field_invalid(
                        p, field->name,
                        "%s cannot be '%s'; it is 'null'%s%s, {\"path\"} or {\"descriptor\"}",
                        field->name, word, input ? "" : ", 'file'", error ? ", 'stdout'" : "");
        return 0;
}

static int parse_stdio_path(FieldParse *p, const Field *field, const json_t *path,
                            const json_t *append, JobStdio *ret) {
        char name[64];
        const char *s;
        int r;

        snprintf(name, sizeof(name), "%s.path", field->name);
        r = field_read_string(p, name, path, 1, PATH_MAX - 1, &s);
        if (r != 0)
                return r;

        snprintf(name, sizeof(name), "%s.append", field->name);
        if (append && !json_is_boolean(append))
                return field_invalid(p, name, "%s must be true or false", name);
        if (json_is_true(append) && ret == &p->spec->stdio[0])
                return field_invalid(p, name, "stdin is read, so there is nothing to append to");

        ret->kind = STDIO_PATH;
        ret->append = json_is_true(append);
        ret->path = strdup(s);
        return ret->path ? 0 : -ENOMEM;
}

int field_parse_stdio(FieldParse *p, const Field *field, const json_t *value) {
        static const char *const members[] = { "path", "append", "descriptor", NULL };
        JobStdio *stdio = field_member(p->spec, field);
        const json_t *path, *append, *descriptor;
        char name[64];
        int r;

        if (json_is_string(value))
                return parse_stdio_word(p, field, json_string_value(value), stdio);
        if (!json_is_object(value))
                return field_invalid(p, field->name, "%s must be a word or an object", field->name);

        r = field_check_members(p, field->name, value, members);
        if (r != 0)
                return r;
        path = field_get(value, "path");
        append = field_get(value, "append");
        descriptor = field_get(value, "descriptor");
        if (!path == !descriptor || (descriptor && append))
                return field_invalid(
                        p, field->name,
                        "%s must have either 'path' (and maybe 'append') or 'descriptor'",
                        field->name);
        if (path)
                return parse_stdio_path(p, field, path, append, stdio);

        snprintf(name, sizeof(name), "%s.descriptor", field->name);
        r = field_parse_descriptor(p, name, descriptor, &stdio->descriptor);
        if (r == 0)
                stdio->kind = STDIO_DESCRIPTOR;
        return r;
}

int field_dump_stdio(const JobSpec *spec, const Field *field, json_t *object) {
        const JobStdio *stdio = field_member(spec, field);

        switch (stdio->kind) {
        case STDIO_DEFAULT:
                return 0;
        case STDIO_NULL:
                return field_set_new(object, field->name, json_string("null"));
        case STDIO_FILE:
                return field_set_new(object, field->name, json_string("file"));
        case STDIO_STDOUT:
                return field_set_new(object, field->name, json_string("stdout"));
        case STDIO_DESCRIPTOR:
                return field_set_new(object, field->name,
                                     json_pack("{s:i}", "descriptor", stdio->descriptor));
        case STDIO_PATH:
                if (!stdio->append)
                        return field_set_new(object, field->name,
                                             json_pack("{s:s}", "path", stdio->path));
                return field_set_new(object, field->name,
                                     json_pack("{s:s,s:b}", "path", stdio->path, "append", true));
        }
        return -EINVAL;
}
