/* SPDX-License-Identifier: Apache-2.0 */

/* A job as JSON, from what the command line says. The daemon judges whether it makes sense; here
 * only what could not be written down is refused. Lives in forkctl. */

#include "job-form.h"

#include "format.h"

#include <sys/types.h>

extern char **environ;

int form_set(json_t *job, const char *field, json_t *value) {
        return json_object_set_new(job, field, value) < 0
                       ? ctl_errno(-ENOMEM, "cannot build the job")
                       : 0;
}

static int set_text(const Ctl *ctl, json_t *job, OptionId id, const char *field) {
        const char *text = options_get(&ctl->options, id);
        json_t *value;

        if (!text)
                return 0;
        value = json_string(text);
        if (!value)
                return ctl_usage(ctl, "the %s '%s' is not UTF-8", field, text);
        return form_set(job, field, value);
}

typedef struct IntegerOption {
        OptionId id;
        const char *name, *field;
        int64_t min, max;
} IntegerOption;

static int set_integer(const Ctl *ctl, json_t *job, const IntegerOption *i) {
        const char *text = options_get(&ctl->options, i->id);
        int64_t n;

        if (!text)
                return 0;
        if (parse_integer(text, i->min, i->max, &n) < 0)
                return ctl_usage(ctl, "--%s=%s is no number from %lld to %lld", i->name, text,
                                 (long long)i->min, (long long)i->max);
        return form_set(job, i->field, json_integer(n));
}

int form_set_span(const Ctl *ctl, json_t *job, OptionId id, const char *name, const char *field) {
        const char *text = options_get(&ctl->options, id);
        uint64_t usec;

        if (!text)
                return 0;
        if (parse_span(text, &usec) < 0)
                return ctl_usage(
                        ctl, "--%s=%s is no span of time; write 30s, 1min 20s, 500ms or infinity",
                        name, text);
        return usec == USEC_INFINITY ? 0 : form_set(job, field, json_integer((json_int_t)usec));
}

static int set_time(const Ctl *ctl, json_t *job) {
        const char *text = options_get(&ctl->options, OPTION_AT);
        uint64_t usec;

        if (!text)
                return 0;
        if (parse_time(text, now_usec(CLOCK_REALTIME), &usec) < 0)
                return ctl_usage(
                        ctl,
                        "--at=%s is no time; write +5min, 14:30, \"2026-03-01 14:30\" or @SECONDS",
                        text);
        return form_set(job, "startAtUSec", json_integer((json_int_t)usec));
}

static int set_umask(const Ctl *ctl, json_t *job) {
        const char *text = options_get(&ctl->options, OPTION_UMASK);

        if (!text)
                return 0;
        if (text[0] == '\0' || strlen(text) > 4 || strspn(text, "01234567") != strlen(text) ||
            strtoul(text, NULL, 8) > 0777)
                return ctl_usage(ctl, "--umask=%s is no mode in octal digits, such as 0022", text);
        return form_set(job, "umask", json_integer((json_int_t)strtoul(text, NULL, 8)));
}

static int set_after(const Ctl *ctl, json_t *job) {
        json_t *after = NULL;
        const char *text;
        int r = 0;

        for (size_t i = 0; r == 0 && (text = options_get_nth(&ctl->options, OPTION_AFTER, i));
             i++) {
                _cleanup_(freep) char *number = strndup(text, strcspn(text, ":"));
                const char *on = strchrnul(text, ':');
                int64_t id;
                json_t *one;

                if (!number)
                        return ctl_errno(-ENOMEM, "cannot build the job");
                if (parse_integer(number, 1, INT64_MAX, &id) < 0 ||
                    (*on && !streq(on, ":finished") && !streq(on, ":success")))
                        r = ctl_usage(ctl, "--after=%s is not ID, ID:success or ID:finished", text);
                else {
                        one = json_pack("{s:I, s:s*}", "id", (json_int_t)id, "on",
                                        *on ? on + 1 : NULL);
                        after = after ?: json_array();
                        r = json_array_append_new(after, one) < 0
                                    ? ctl_errno(-ENOMEM, "cannot build the job")
                                    : 0;
                }
        }
        if (r == 0 && after)
                return form_set(job, "after", after);
        json_decref(after);
        return r;
}

static int set_retries(const Ctl *ctl, json_t *job) {
        const Options *o = &ctl->options;
        const IntegerOption max = { OPTION_RETRIES, "retries", "max", 0, 1000000 };
        const char *on = options_get(o, OPTION_RETRY_ON);
        json_t *retries;
        int r;

        if (!options_has(o, OPTION_RETRIES)) {
                if (on || options_has(o, OPTION_RETRY_DELAY))
                        return ctl_usage(ctl, "say how often to try again, by --retries=N");
                return 0;
        }

        retries = json_object();
        r = set_integer(ctl, retries, &max);
        if (r == 0)
                r = form_set_span(ctl, retries, OPTION_RETRY_DELAY, "retry-delay", "delayUSec");
        if (r == 0 && on)
                r = form_set(retries, "on", form_split(on));
        if (r == 0)
                return form_set(job, "retries", retries);
        json_decref(retries);
        return r;
}

json_t *form_split(const char *list) {
        json_t *a = json_array();

        while (*list) {
                size_t n = strcspn(list, ",");

                if (n > 0 && json_array_append_new(a, json_stringn(list, n)) < 0) {
                        json_decref(a);
                        return NULL;
                }
                list += n + (list[n] == ',');
        }
        return a;
}

/* ---- where it runs */

char *form_path_absolute(const char *path) {
        _cleanup_(freep) char *here = NULL;
        char *text;

        if (path[0] == '/')
                return strdup(path);
        here = getcwd(NULL, 0);
        if (!here)
                return NULL;
        return asprintf(&text, "%s%s%s", here, streq(here, "/") ? "" : "/", path) < 0 ? NULL : text;
}

static int set_directory(const Ctl *ctl, json_t *job, bool present) {
        const char *text = options_get(&ctl->options, OPTION_DIRECTORY);
        _cleanup_(freep) char *path = NULL;
        json_t *value;

        if (!text && !present)
                return 0;
        path = text ? form_path_absolute(text) : getcwd(NULL, 0);
        if (!path)
                return ctl_error("cannot find the present directory: %s; name one with --directory",
                                 strerror(errno));
        value = json_string(path);
        if (!value)
                return ctl_error("the directory '%s' is not UTF-8; name another with --directory",
                                 path);
        return form_set(job, "directory", value);
}

static int environment_add(const Ctl *ctl, json_t *environment, const char *assignment) {
        const char *equals = strchrnul(assignment, '=');
        json_t *value = json_string(*equals ? equals + 1 : "");
        int r;

        if (!value) {
                ctl_note(ctl, "ignoring the variable %.*s, which is not UTF-8",
                         (int)(equals - assignment), assignment);
                return 0;
        }
        /* what is no valid name cannot be passed on by anybody */
        if (equals == assignment) {
                json_decref(value);
                return 0;
        }
        r = json_object_setn_new(environment, assignment, (size_t)(equals - assignment), value);
        return r < 0 ? ctl_errno(-ENOMEM, "cannot build the environment") : 0;
}

static int environment_add_option(const Ctl *ctl, json_t *environment, const char *text) {
        _cleanup_(freep) char *assignment = NULL;
        const char *value;

        if (text[0] == '=' || text[0] == '\0')
                return ctl_usage(ctl, "--env=%s names no variable", text);
        if (strchr(text, '='))
                return environment_add(ctl, environment, text);
        value = getenv(text);
        if (!value)
                return 0;
        if (asprintf(&assignment, "%s=%s", text, value) < 0)
                return ctl_errno(-ENOMEM, "cannot build the environment");
        return environment_add(ctl, environment, assignment);
}

int form_set_environment(const Ctl *ctl, json_t *job, bool present) {
        const Options *o = &ctl->options;
        json_t *environment;
        const char *text;
        int r = 0;

        present = present && !options_has(o, OPTION_CLEAN_ENV);
        if (!present && !options_has(o, OPTION_ENV))
                return 0;

        environment = json_object();
        for (char **e = environ; present && r == 0 && *e; e++)
                r = environment_add(ctl, environment, *e);
        for (size_t i = 0; r == 0 && (text = options_get_nth(o, OPTION_ENV, i)); i++)
                r = environment_add_option(ctl, environment, text);
        if (r == 0)
                return form_set(job, "environment", environment);
        json_decref(environment);
        return r;
}

static int set_stdio(const Ctl *ctl, json_t *job, OptionId id, const char *field) {
        const char *text = options_get(&ctl->options, id);
        bool append = false;
        _cleanup_(freep) char *path = NULL;

        if (!text)
                return 0;
        if (streq(text, "null") || (id != OPTION_STDIN && streq(text, "file")) ||
            (id == OPTION_STDERR && streq(text, "stdout")))
                return form_set(job, field, json_string(text));
        if (id != OPTION_STDIN && strncmp(text, "append:", 7) == 0) {
                append = true;
                text += 7;
        }
        if (text[0] == '\0')
                return ctl_usage(ctl, "--%s needs %s", field,
                                 id == OPTION_STDIN ? "null or a path"
                                                    : "null, file, a path or append:PATH");
        path = form_path_absolute(text);
        if (!path)
                return ctl_errno(-errno, "cannot find the present directory");
        return form_set(job, field,
                        append ? json_pack("{s:s, s:b}", "path", path, "append", 1)
                               : json_pack("{s:s}", "path", path));
}

/* ---- all of it */

static int set_policy(const Ctl *ctl, json_t *job) {
        static const IntegerOption priority = { OPTION_PRIORITY, "priority", "priority", -20, 19 };
        static const IntegerOption nice_level = { OPTION_NICE, "nice", "nice", -20, 19 };
        int r;

        r = set_text(ctl, job, OPTION_KEY, "key");
        r = r ?: set_text(ctl, job, OPTION_NAME, "name");
        r = r ?: set_text(ctl, job, OPTION_QUEUE, "queue");
        r = r ?: set_text(ctl, job, OPTION_AS, "user");
        r = r ?: set_integer(ctl, job, &priority);
        r = r ?: set_integer(ctl, job, &nice_level);
        r = r ?: form_set_span(ctl, job, OPTION_TIMEOUT, "timeout", "timeoutUSec");
        r = r ?: form_set_span(ctl, job, OPTION_QUEUE_TIMEOUT, "queue-timeout", "queueTimeoutUSec");
        r = r ?: form_set_span(ctl, job, OPTION_GRACE, "grace", "graceUSec");
        r = r ?: set_time(ctl, job);
        r = r ?: set_umask(ctl, job);
        r = r ?: set_after(ctl, job);
        r = r ?: set_retries(ctl, job);
        r = r ?: form_set_limits(ctl, job);
        r = r ?: form_set_affinity(ctl, job);
        r = r ?: set_stdio(ctl, job, OPTION_STDIN, "stdin");
        r = r ?: set_stdio(ctl, job, OPTION_STDOUT, "stdout");
        r = r ?: set_stdio(ctl, job, OPTION_STDERR, "stderr");
        return r;
}

int job_from_options(const Ctl *ctl, json_t **ret) {
        json_t *job = json_object();
        int r;

        if (!job)
                return ctl_errno(-ENOMEM, "cannot build the job");
        r = form_set_work(ctl, job);
        r = r ?: set_policy(ctl, job);
        r = r ?: set_directory(ctl, job, true);
        r = r ?: form_set_environment(ctl, job, true);
        if (r != 0) {
                json_decref(job);
                return r;
        }
        *ret = job;
        return 0;
}

int job_complete_from_options(const Ctl *ctl, json_t *job) {
        json_t *said = json_object();
        int r;

        if (!said)
                return ctl_errno(-ENOMEM, "cannot build the job");
        r = set_policy(ctl, said);
        r = r ?: set_directory(ctl, said, false);
        r = r ?: form_set_environment(ctl, said, false);
        if (r == 0 && json_object_update_missing(job, said) < 0)
                r = ctl_errno(-ENOMEM, "cannot build the job");
        json_decref(said);
        return r;
}
