/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl servers start`: a forkserver as the command line describes it. Lives in forkctl. */

#include "fields.h"
#include "format.h"
#include "job-form.h"
#include "verb-servers.h"

/* What has a slash is a file here; what has none is looked up by the daemon. */
static int add_path(const Ctl *ctl, json_t *array, const char *word, bool path) {
        _cleanup_(freep) char *absolute = NULL;
        json_t *text;

        if (path && strchr(word, '/')) {
                while (strncmp(word, "./", 2) == 0)
                        word += 2 + strspn(word + 2, "/");
                absolute = form_path_absolute(word);
                if (!absolute)
                        return ctl_errno(-errno, "cannot find the present directory");
                word = absolute;
        }
        text = json_string(word);
        if (!text)
                return ctl_usage(ctl, "'%s' is not UTF-8, so it cannot be sent", word);
        return json_array_append_new(array, text) < 0
                       ? ctl_errno(-ENOMEM, "cannot start the forkserver")
                       : 0;
}

static int set_program(const Ctl *ctl, json_t *start) {
        const Options *o = &ctl->options;
        const bool modules = options_has(o, OPTION_MODULE);
        json_t *words;
        const char *module;
        int r = 0;

        if (!o->dashes && !modules)
                return 0;
        if (o->dashes && modules)
                return ctl_usage(ctl, "give either --module or a command behind --, not both");
        if (o->dashes && o->n_arguments == o->n_before)
                return ctl_usage(ctl, "a command is missing behind --");
        words = json_array();
        if (!words)
                return ctl_errno(-ENOMEM, "cannot start the forkserver");
        for (size_t i = 0; r == 0 && (module = options_get_nth(o, OPTION_MODULE, i)); i++)
                r = *module ? add_path(ctl, words, module, true)
                            : ctl_usage(ctl, "--module= names nothing; give a name or a path");
        for (size_t i = o->n_before; r == 0 && i < o->n_arguments; i++)
                r = add_path(ctl, words, o->arguments[i], i == o->n_before);
        if (r == 0)
                return form_set(start, modules ? "modules" : "command", words);
        json_decref(words);
        return r;
}

static int set_start_arguments(const Ctl *ctl, json_t *start) {
        const char *text = options_get(&ctl->options, OPTION_ARGUMENTS);
        json_error_t error;
        json_t *arguments;

        if (!text)
                return 0;
        arguments = json_loads(text, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
        if (!arguments)
                return ctl_usage(ctl, "--arguments is no JSON: %s (at byte %d)", error.text,
                                 error.position);
        if (!json_is_object(arguments)) {
                json_decref(arguments);
                return ctl_usage(ctl, "--arguments=%s is no JSON object, such as {\"size\": 3}",
                                 text);
        }
        return form_set(start, "arguments", arguments);
}

/* Words are passed on as they are, and the program does not run here. */
static void mention_directory(const Ctl *ctl) {
        const Options *o = &ctl->options;
        _cleanup_(freep) char *absolute = NULL;

        for (size_t i = o->n_before + 1; i < o->n_arguments; i++) {
                const char *word = o->arguments[i];

                if (word[0] == '/' || access(word, F_OK) < 0)
                        continue;
                absolute = form_path_absolute(word);
                if (absolute)
                        ctl_note(ctl,
                                 "it does not run in this directory: for the file '%s' write %s",
                                 word, absolute);
                return;
        }
}

/* Its last line is part of the reason when that says nothing else.
 * What was stopped is soon gone. */
static void mention_output(const Ctl *ctl, const char *name) {
        json_t *reply;

        if (forkd_servers_show(ctl->forkd, name, &reply) != 0)
                return;
        if (json_array_size(json_object_get(reply, "output")) > 1 &&
            streq(field_text(json_object_get(reply, "server"), "state") ?: "", "failed"))
                ctl_note(ctl, "what it has written: `forkctl servers show %s`", name);
        json_decref(reply);
}

int servers_start(Ctl *ctl, const char *name) {
        const Options *o = &ctl->options;
        json_t *start = json_pack("{s:s}", "name", name), *server = NULL;
        int64_t spare;
        int r, status = 0;

        r = set_program(ctl, start);
        r = r ?: set_start_arguments(ctl, start);
        r = r ?: form_set_environment(ctl, start, false);
        if (r == 0)
                r = form_set_span(ctl, start, OPTION_PRELOAD_TIMEOUT, "preload-timeout",
                                  "preloadTimeoutUSec");
        /* infinity: without a word it would be the default */
        if (r == 0 && options_has(o, OPTION_PRELOAD_TIMEOUT) &&
            !json_object_get(start, "preloadTimeoutUSec"))
                r = form_set(start, "preloadTimeoutUSec", json_integer(INT64_MAX));
        if (r == 0 && options_has(o, OPTION_SPARE)) {
                r = servers_read_spare(ctl, &spare);
                if (r == 0)
                        r = form_set(start, "spare", json_integer(spare));
        }
        if (r == 0 && options_has(o, OPTION_HUGE_PAGES))
                r = form_set(start, "hugePages", json_true());
        if (r == 0) {
                r = forkd_servers_start(ctl->forkd, start, &server);
                if (r != 0)
                        status = ctl_fault(ctl->forkd, r);
                if (r == FORKD_E_SERVER_FAILED) {
                        mention_directory(ctl);
                        mention_output(ctl, name);
                }
                if (r == FORKD_E_NO_SUCH_SERVER)
                        ctl_note(ctl, "a new one needs --module=MODULE, or a command behind --");
                r = status;
        }
        json_decref(start);
        return r ?: servers_report(ctl, server);
}
