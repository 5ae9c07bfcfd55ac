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

static bool entry_name_valid(const char *s) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

        if (*s == '\0' || !strchr(letters, *s))
                return false;
        s += strspn(s, letters);
        while (*s && (strchr(letters, *s) || strchr("0123456789_-", *s)))
                s++;
        return *s == '\0';
}

/* The words behind "--" are what a program would have on its command line. */
static int add_argv(const Ctl *ctl, json_t *job) {
        const Options *o = &ctl->options;
        json_t *arguments = json_object_get(job, "arguments"), *argv;

        if (json_object_get(arguments, "argv"))
                return ctl_usage(ctl, "the argument 'argv' is given twice: as such, and behind --");
        argv = json_array();
        if (json_object_set_new(arguments, "argv", argv) < 0)
                return ctl_errno(-ENOMEM, "cannot build the arguments");
        for (size_t i = o->n_before; i < o->n_arguments; i++) {
                json_t *word = json_string(o->arguments[i]);

                if (!word || json_array_append_new(argv, word) < 0)
                        return ctl_usage(ctl, "the word '%s' is not UTF-8, so it cannot be sent",
                                         o->arguments[i]);
        }
        return 0;
}

static int no_entry(const Ctl *ctl) {
        const Options *o = &ctl->options;
        const char *word = o->n_before > 0 ? o->arguments[0] : NULL;

        if (!word && o->dashes)
                return ctl_usage(ctl, "name the entry to run, before --");
        if (!word)
                return ctl_usage(ctl, "name the entry to run, behind the options%s",
                                 options_has(o, OPTION_SERVER)
                                         ? "; the entry main of a program may be left out before --"
                                         : "");
        if (strchr(word, '=') || strchr(word, '{'))
                return ctl_usage(ctl, "name the entry to run, before its arguments: ENTRY %s",
                                 word);
        return ctl_usage(ctl, "'%s' is no name of an entry; a command is run by `forkctl %s -- %s`",
                         word, ctl->verb->name, word);
}

static int set_entry(const Ctl *ctl, json_t *job, const char *server) {
        const Options *o = &ctl->options;
        const bool program = server && o->dashes && o->n_before == 0;
        json_t *name;
        int r;

        if (!program && (o->n_before == 0 || !entry_name_valid(o->arguments[0])))
                return no_entry(ctl);
        r = form_set(job, "entry", json_string(program ? "main" : o->arguments[0]));
        if (r == 0 && server) {
                name = json_string(server);
                r = name ? form_set(job, "server", name)
                         : ctl_usage(ctl, "the server's name is not UTF-8");
        }
        if (r == 0)
                r = set_arguments(ctl, job, o->arguments + 1, program ? 0 : o->n_before - 1);
        return r == 0 && o->dashes ? add_argv(ctl, job) : r;
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

/* --method=spawn has both: words before "--" name an entry, words behind it alone are a command. */
static bool names_entry(const Options *o) {
        const char *method = options_get(o, OPTION_METHOD);

        return options_has(o, OPTION_SERVER) ||
               (method && (!streq(method, "spawn") || o->n_before > 0));
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
        if (method && server && streq(method, "fork"))
                return ctl_usage(
                        ctl,
                        "--method=fork runs entries of the daemon itself, and --server=%s contradicts "
                        "it; leave --method out, or name spawn for a fresh process",
                        server);
        if (method && streq(method, "forkserver") && !server)
                return ctl_usage(ctl, "--method=forkserver needs --server=NAME");

        if (method)
                r = form_set(job, "startMethod", json_string(method));
        if (r != 0)
                return r;
        return names_entry(&ctl->options) ? set_entry(ctl, job, server) : set_command(ctl, job);
}

int job_fault(const Ctl *ctl, const Forkd *f, int r) {
        const Options *o = &ctl->options;
        int status = ctl_fault(f, r);

        if (r == FORKD_E_NO_SUCH_ENTRY && !options_has(o, OPTION_SERVER) && o->n_before > 0 &&
            streq(options_get(o, OPTION_METHOD) ?: "", "spawn"))
                ctl_note(ctl, "if '%s' is a command, write -- before it", o->arguments[0]);
        return status;
}
