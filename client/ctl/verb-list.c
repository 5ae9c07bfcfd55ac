/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl list`: one job a line. Lives in forkctl. */

#include "format.h"
#include "job-form.h"
#include "table.h"
#include "verb.h"

#include <inttypes.h>
#include <pwd.h>

#define COLOUR_GOOD    "\033[32m"
#define COLOUR_BAD     "\033[31m"
#define COLOUR_WAITING "\033[33m"

static const TableColumn columns[] = {
        { .title = "ID", .right = true },
        { .title = "STATE" },
        { .title = "RESULT", .shrink = 12, .drop = 1 },
        { .title = "USER", .drop = 4, .when_used = true },
        { .title = "QUEUE", .shrink = 6, .drop = 3, .when_used = true },
        { .title = "NAME", .shrink = 8, .drop = 2, .when_used = true },
        { .title = "COMMAND", .shrink = 10 },
};

typedef struct ListVerb {
        Ctl *ctl;
        Table *table;
        uint64_t now;
        size_t n;
        int error;
} ListVerb;

static const char *text(const json_t *status, const char *name) {
        return json_string_value(json_object_get(status, name));
}

static uint64_t since(const json_t *status, const char *name, uint64_t now) {
        uint64_t t = (uint64_t)json_integer_value(json_object_get(status, name));

        return now > t ? now - t : 0;
}

/* How it ended, or since when it is as it is. */
static const char *result_text(const ListVerb *l, const json_t *status,
                               char buffer[static 2 * FORMAT_MAX]) {
        const json_t *certificate = json_object_get(status, "certificate");
        const char *state = text(status, "state") ?: "?";
        char span[FORMAT_MAX];

        if (json_is_object(certificate))
                return certificate_sentence(certificate);
        if (streq(state, "queued") || streq(state, "parked"))
                snprintf(buffer, 2 * FORMAT_MAX, "for %s",
                         format_span(span, since(status, "queuedAtUSec", l->now)));
        else if (json_object_get(status, "startedAtUSec"))
                snprintf(buffer, 2 * FORMAT_MAX, "for %s",
                         format_span(span, since(status, "startedAtUSec", l->now)));
        else
                buffer[0] = '\0';
        return buffer;
}

static const char *state_colour(const json_t *status) {
        const char *state = text(status, "state") ?: "?";
        const char *result = text(json_object_get(status, "certificate"), "result");

        if (streq(state, "finished"))
                return result && streq(result, "success") ? NULL : COLOUR_BAD;
        if (streq(state, "running") || streq(state, "starting"))
                return COLOUR_GOOD;
        return COLOUR_WAITING;
}

static const char *user_text(const json_t *status, char buffer[static 24]) {
        const uid_t uid = (uid_t)json_integer_value(json_object_get(status, "uid"));
        const struct passwd *p;

        if (uid == geteuid())
                return NULL; /* one's own: that goes without saying */
        p = getpwuid(uid);
        if (p)
                return p->pw_name;
        snprintf(buffer, 24, "%u", uid);
        return buffer;
}

static int add_row(ListVerb *l, const json_t *status) {
        _cleanup_(freep) char *work = job_work_text(status);
        char id[24], result[2 * FORMAT_MAX], user[24];
        const char *cells[] = {
                id,
                text(status, "state"),
                result_text(l, status, result),
                user_text(status, user),
                text(status, "queue"),
                text(status, "name"),
                work,
        };

        snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT,
                 json_integer_value(json_object_get(status, "id")));
        return work ? table_add(l->table, cells, state_colour(status)) : -ENOMEM;
}

static int on_job(json_t *status, void *userdata) {
        ListVerb *l = userdata;

        if (!l->ctl->json)
                return l->error = add_row(l, status);
        /* one job a line, so that lines can be searched, and all of it one array */
        fputs(l->n++ == 0 ? "[\n" : ",\n", stdout);
        (void)json_dumpf(status, stdout, JSON_COMPACT);
        return 0;
}

static int list(ListVerb *l, const ForkdListFilter *filter) {
        Ctl *ctl = l->ctl;
        int r;

        r = forkd_list(ctl->forkd, filter, on_job, l);
        if (ctl->json)
                fputs(l->n == 0 ? "[]\n" : "\n]\n", stdout);
        if (l->error < 0)
                return ctl_errno(l->error, "cannot list the jobs");
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json)
                return STATUS_OK;
        if (table_rows(l->table) > 0)
                table_print(l->table, stdout, table_terminal_width(STDOUT_FILENO), ctl->colour);
        else if (ctl->terminal && !ctl->quiet)
                puts("no jobs");
        return STATUS_OK;
}

/* The states wanted, as an array that ends with NULL and borrows from *ret_json. */
static int states_from_options(const Ctl *ctl, json_t **ret_json, const char ***ret) {
        static const char *const names[] = { "queued",   "starting", "running", "paused",
                                             "stopping", "finished", "parked" };
        json_t *all = json_array();
        const char **states, *list_;
        size_t n;

        for (size_t i = 0; (list_ = options_get_nth(&ctl->options, OPTION_STATE, i)); i++) {
                json_t *some = form_split(list_);

                json_array_extend(all, some);
                json_decref(some);
        }
        n = json_array_size(all);
        states = calloc(n + 1, sizeof(*states));
        for (size_t i = 0; states && i < n; i++) {
                bool known = false;

                states[i] = json_string_value(json_array_get(all, i));
                for (size_t k = 0; k < ELEMENTSOF(names); k++)
                        known = known || streq(names[k], states[i]);
                if (!known) {
                        int r = ctl_usage(
                                ctl,
                                "there is no state '%s'; there are queued, starting, running, paused, stopping, finished and parked",
                                states[i]);

                        free(states);
                        json_decref(all);
                        return r;
                }
        }
        *ret_json = all;
        *ret = states;
        return states ? 0 : ctl_errno(-ENOMEM, "cannot list the jobs");
}

int verb_list(Ctl *ctl) {
        const char *limit = options_get(&ctl->options, OPTION_MAX);
        ForkdListFilter filter = {
                .queue = options_get(&ctl->options, OPTION_QUEUE),
                .name = options_get(&ctl->options, OPTION_NAME),
        };
        ListVerb l = { .ctl = ctl, .now = now_usec(CLOCK_REALTIME) };
        _cleanup_(freep) const char **states = NULL;
        json_t *json = NULL;
        int64_t n = 0;
        int r;

        if (limit && parse_integer(limit, 1, INT32_MAX, &n) < 0)
                return ctl_usage(ctl, "--limit=%s is no number from 1 on", limit);
        filter.limit = (uint64_t)n;
        r = states_from_options(ctl, &json, &states);
        if (r != 0)
                return r;
        filter.states = states;

        r = table_new(&l.table, columns, ELEMENTSOF(columns));
        r = r < 0 ? ctl_errno(r, "cannot list the jobs") : list(&l, &filter);
        table_free(l.table);
        json_decref(json);
        return r;
}
