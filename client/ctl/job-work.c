/* SPDX-License-Identifier: Apache-2.0 */

/* What a job does: a command, or an entry with its arguments. Lives in forkctl. */

#include "job-form.h"

/* A copy of the word that reads KEY=TEXT or KEY:=JSON goes into arguments. */
static int add_argument(const Ctl *ctl, json_t *arguments, const char *word) {
        const size_t n = strcspn(word, "=:");
        const bool json = word[n] == ':' && word[n + 1] == '=';
        _cleanup_(freep) char *key = NULL;
        const char *text = word + n + (json ? 2 : 1);
        json_error_t error;
        json_t *value;

        if (n == 0 || (!json && word[n] != '='))
                return ctl_usage(ctl, "the argument '%s' is none of KEY=TEXT, KEY:=JSON and {…}",
                                 word);
        key = strndup(word, n);
        if (!key)
                return ctl_errno(-ENOMEM, "cannot build the arguments");
        if (json_object_get(arguments, key))
                return ctl_usage(ctl, "the argument '%s' is given twice", key);

        value = json ? json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error)
                     : json_string(text);
        if (!value && json)
                return ctl_usage(ctl, "the value of '%s' is no JSON (%s); for text, write %s=%s",
                                 key, error.text, key, text);
        if (!value || json_object_set_new(arguments, key, value) < 0)
                return ctl_usage(ctl, "the argument '%s' is not UTF-8", word);
        return 0;
}

static int set_arguments(const Ctl *ctl, json_t *job, char **words, size_t n) {
        json_t *arguments;
        json_error_t error;
        int r = 0;

        if (n == 1 && words[0][strspn(words[0], " \t\n")] == '{') {
                arguments = json_loads(words[0], JSON_REJECT_DUPLICATES, &error);
                if (!arguments)
                        return ctl_usage(ctl, "the arguments are no JSON: %s (at byte %d)",
                                         error.text, error.position);
                return form_set(job, "arguments", arguments);
        }

        arguments = json_object();
        for (size_t i = 0; r == 0 && i < n; i++)
                r = add_argument(ctl, arguments, words[i]);
        if (r == 0)
                return form_set(job, "arguments", arguments);
        json_decref(arguments);
        return r;
}

static int set_entry(const Ctl *ctl, json_t *job, const char *server) {
        const Options *o = &ctl->options;
        json_t *entry;
        int r;

        if (o->n_arguments == 0)
                return ctl_usage(ctl, "name the entry to run, behind the options");
        entry = json_string(o->arguments[0]);
        if (!entry)
                return ctl_usage(ctl, "the entry's name is not UTF-8");
        r = form_set(job, "entry", entry);
        if (r == 0 && server) {
                json_t *name = json_string(server);

                r = name ? form_set(job, "server", name)
                         : ctl_usage(ctl, "the server's name is not UTF-8");
        }
        return r ?: set_arguments(ctl, job, o->arguments + 1, o->n_arguments - 1);
}

static int set_command(const Ctl *ctl, json_t *job) {
        const Options *o = &ctl->options;
        json_t *command = json_array();

        if (o->n_arguments == 0) {
                json_decref(command);
                return ctl_usage(ctl, "give a command, as in `forkctl %s -- make`",
                                 ctl->verb->name);
        }
        for (size_t i = 0; i < o->n_arguments; i++) {
                json_t *word = json_string(o->arguments[i]);

                if (!word || json_array_append_new(command, word) < 0) {
                        json_decref(command);
                        return ctl_usage(
                                ctl,
                                "the word '%s' is not UTF-8, so it cannot be sent; pass it by a file",
                                o->arguments[i]);
                }
        }
        return form_set(job, "command", command);
}

int form_set_work(const Ctl *ctl, json_t *job) {
        const char *server = options_get(&ctl->options, OPTION_SERVER);
        const char *method = options_get(&ctl->options, OPTION_METHOD);
        int r = 0;

        if (method && !streq(method, "spawn") && !streq(method, "fork") &&
            !streq(method, "forkserver"))
                return ctl_usage(
                        ctl, "there is no start method '%s'; there are spawn, fork and forkserver",
                        method);
        if (method && server && !streq(method, "forkserver"))
                return ctl_usage(
                        ctl,
                        "--server=%s means --method=forkserver, and --method=%s contradicts it",
                        server, method);
        if (method && streq(method, "forkserver") && !server)
                return ctl_usage(ctl, "--method=forkserver needs --server=NAME");

        if (method)
                r = form_set(job, "startMethod", json_string(method));
        if (r != 0)
                return r;
        return server || (method && !streq(method, "spawn")) ? set_entry(ctl, job, server)
                                                             : set_command(ctl, job);
}
