/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl servers`: named forkservers are listed, started, stopped, reloaded and scaled. What is
 * known of them is printed by verb-servers-show.c. Lives in forkctl. */

#include "verb-servers.h"

#include "format.h"

#define SPARE_MAX 1000000 /* the daemon knows better */

typedef struct Action {
        const char *name;
        size_t names;        /* how many names of forkservers it takes: 0 or 1 */
        OptionId options[8]; /* those of this verb that it has */
        size_t n_options;
        int (*function)(Ctl *ctl, const char *name);
} Action;

int servers_report(const Ctl *ctl, json_t *server) {
        char name[SERVER_TEXT_MAX], span[FORMAT_MAX];
        const json_t *preload = json_object_get(server, "preloadUSec"),
                     *entries = json_object_get(server, "entries"), *entry;
        json_t *out;
        size_t i;

        if (ctl->json) {
                out = json_pack("{s:O}", "server", server);
                ctl_print_json(ctl, out);
                json_decref(out);
        } else if (!ctl->quiet) {
                ctl_print_escaped(stdout, server_text(name, server, "name") ?: "?");
                fputs(": ", stdout);
                ctl_print_escaped(stdout,
                                  json_string_value(json_object_get(server, "state")) ?: "?");
                if (json_is_number(preload))
                        printf(", preloaded in %s",
                               format_span(span, (uint64_t)json_number_value(preload)));
                json_array_foreach (entries, i, entry) {
                        fputs(i == 0 ? ", entries: " : ", ", stdout);
                        ctl_print_escaped(stdout,
                                          json_string_value(json_object_get(entry, "name")) ?: "?");
                }
                putchar('\n');
        }
        json_decref(server);
        return STATUS_OK;
}

int servers_read_spare(const Ctl *ctl, int64_t *ret) {
        const char *text = options_get(&ctl->options, OPTION_SPARE);

        if (parse_integer(text, 0, SPARE_MAX, ret) < 0)
                return ctl_usage(ctl, "--spare=%s is no number from 0 on", text);
        return 0;
}

/* ---- what is done */

static int servers_list(Ctl *ctl, const char *name _unused_) {
        json_t *servers;
        int r;

        r = forkd_servers_list(ctl->forkd, &servers);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        r = servers_print_list(ctl, servers);
        json_decref(servers);
        return r;
}

static int server_show(Ctl *ctl, const char *name) {
        json_t *reply;
        int r;

        r = forkd_servers_show(ctl->forkd, name, &reply);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json)
                ctl_print_json(ctl, reply);
        else
                r = servers_print(ctl, reply);
        json_decref(reply);
        return r;
}

static int server_stop(Ctl *ctl, const char *name) {
        json_t *out;
        int r;

        r = forkd_servers_stop(ctl->forkd, name, options_has(&ctl->options, OPTION_KILL));
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json) {
                out = json_pack("{s:s}", "name", name);
                ctl_print_json(ctl, out);
                json_decref(out);
        } else if (!ctl->quiet) {
                ctl_print_escaped(stdout, name);
                puts(": stopped");
        }
        return STATUS_OK;
}

static int server_reload(Ctl *ctl, const char *name) {
        json_t *server = NULL;
        int r;

        r = forkd_servers_reload(ctl->forkd, name, &server);
        return r != 0 ? ctl_fault(ctl->forkd, r) : servers_report(ctl, server);
}

static int server_scale(Ctl *ctl, const char *name) {
        json_t *server = NULL;
        int64_t spare;
        int r;

        if (!options_has(&ctl->options, OPTION_SPARE))
                return ctl_usage(ctl, "say how many spares are to be kept: --spare=N");
        r = servers_read_spare(ctl, &spare);
        if (r != 0)
                return r;
        r = forkd_servers_scale(ctl->forkd, name, (unsigned)spare, &server);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json || ctl->quiet)
                return servers_report(ctl, server);
        json_decref(server);
        ctl_print_escaped(stdout, name);
        printf(": keeps %lld spare%s\n", (long long)spare, spare == 1 ? "" : "s");
        return STATUS_OK;
}

/* ---- which of them */

#define OPTIONS(...)                                                                               \
        .options = { __VA_ARGS__ },                                                                \
        .n_options = sizeof((const OptionId[]){ __VA_ARGS__ }) / sizeof(OptionId)

static const Action actions[] = {
        { .name = "list", .function = servers_list },
        { .name = "start",
          .names = 1,
          OPTIONS(OPTION_MODULE, OPTION_ARGUMENTS, OPTION_ENV, OPTION_SPARE, OPTION_PRELOAD_TIMEOUT,
                  OPTION_HUGE_PAGES),
          .function = servers_start },
        { .name = "stop", .names = 1, OPTIONS(OPTION_KILL), .function = server_stop },
        { .name = "reload", .names = 1, .function = server_reload },
        { .name = "show", .names = 1, .function = server_show },
        { .name = "scale", .names = 1, OPTIONS(OPTION_SPARE), .function = server_scale },
};

static bool action_has(const Action *a, OptionId id) {
        for (size_t i = 0; i < a->n_options; i++)
                if (a->options[i] == id)
                        return true;
        return false;
}

static const char *action_name(size_t i, const void *userdata _unused_) {
        return actions[i].name;
}

static int find_action(const Ctl *ctl, const Action **ret) {
        const Options *o = &ctl->options;
        const char *word = o->n_before > 0 ? o->arguments[0] : "list", *nearest;

        for (size_t i = 0; i < ELEMENTSOF(actions); i++)
                if (streq(actions[i].name, word)) {
                        *ret = &actions[i];
                        return 0;
                }
        nearest = nearest_name(word, ELEMENTSOF(actions), action_name, NULL);
        if (nearest)
                return ctl_usage(ctl, "there is no `servers %s`; did you mean `servers %s`?", word,
                                 nearest);
        return ctl_usage(
                ctl,
                "there is no `servers %s`; there are list, start, stop, reload, show and scale",
                word);
}

/* Every option of this verb belongs to some of its actions. */
static int check_options(const Ctl *ctl, const Action *a) {
        for (size_t i = 0; i < n_option_definitions; i++) {
                const OptionDefinition *d = &option_definitions[i];

                if (!(d->verbs & VERB_SERVERS) || (d->verbs & VERB_NONE) ||
                    !options_has(&ctl->options, d->id) || action_has(a, d->id))
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(actions); k++)
                        if (action_has(&actions[k], d->id))
                                return ctl_usage(
                                        ctl,
                                        "`servers %s` has no option --%s; it belongs to `servers %s`",
                                        a->name, d->name, actions[k].name);
        }
        return 0;
}

static int check_words(const Ctl *ctl, const Action *a) {
        const Options *o = &ctl->options;
        const bool command = a->function == servers_start;

        if (a->names > 0 && o->n_before < 2)
                return ctl_usage(ctl,
                                 "name the forkserver, as in `forkctl servers %s spell`; `forkctl "
                                 "servers` lists them",
                                 a->name);
        if (o->n_before > a->names + 1 && command)
                return ctl_usage(ctl, "'%s' is one argument too many; a command goes behind --",
                                 o->arguments[a->names + 1]);
        if (o->n_before > a->names + 1)
                return ctl_usage(ctl, "'%s' is one argument too many", o->arguments[a->names + 1]);
        if (o->dashes && !command)
                return ctl_usage(ctl, "`servers %s` takes no command, so nothing stands behind --",
                                 a->name);
        return 0;
}

int verb_servers(Ctl *ctl) {
        const Options *o = &ctl->options;
        const Action *a = NULL;
        const char *name = o->n_before > 1 ? o->arguments[1] : NULL;
        json_t *text;
        int r;

        r = find_action(ctl, &a);
        r = r ?: check_options(ctl, a);
        r = r ?: check_words(ctl, a);
        if (r != 0)
                return r;
        if (name) {
                text = json_string(name);
                if (!text || *name == '\0')
                        r = ctl_usage(ctl, "'%s' is no name of a forkserver", name);
                json_decref(text);
        }
        return r ?: a->function(ctl, name);
}
