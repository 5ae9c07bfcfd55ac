/* SPDX-License-Identifier: Apache-2.0 */

/* What `forkctl servers` and `servers show` print: tables for people. The completion reads the
 * first column of the list, and of the entries of `show`. Lives in forkctl. */

#include "verb-servers.h"

#include "display.h"
#include "fields.h"
#include "table.h"

#include <pwd.h>

#define COLOUR_BAD     "\033[31m"
#define COLOUR_WAITING "\033[33m"

static json_int_t number(const json_t *object, const char *member) {
        return (json_int_t)json_number_value(json_object_get(object, member));
}

/* Empty when there is no such member. */
static const char *number_text(char buffer[static 24], const json_t *object, const char *member) {
        buffer[0] = '\0';
        if (json_is_number(json_object_get(object, member)))
                snprintf(buffer, 24, "%" JSON_INTEGER_FORMAT, number(object, member));
        return buffer;
}

static const char *figure_text(char buffer[static FORMAT_MAX], const json_t *object,
                               const char *member, FieldFormat format) {
        buffer[0] = '\0';
        if (json_is_number(json_object_get(object, member)))
                format(buffer, (uint64_t)json_number_value(json_object_get(object, member)));
        return buffer;
}

static void print_table(const Ctl *ctl, const Table *t) {
        table_print(t, stdout, table_terminal_width(STDOUT_FILENO), ctl->colour);
}

/* ---- list */

/* Their names, separated by spaces. */
static char *entries_text(const json_t *entries) {
        const json_t *entry;
        size_t i, length;
        char *text = NULL;
        FILE *f = open_memstream(&text, &length);

        if (!f)
                return NULL;
        json_array_foreach (entries, i, entry)
                fprintf(f, "%s%s", i > 0 ? " " : "", field_text(entry, "name") ?: "?");
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static const char *state_colour(const char *state) {
        if (streq(state, "failed"))
                return COLOUR_BAD;
        return streq(state, "starting") || streq(state, "stopping") ? COLOUR_WAITING : NULL;
}

static int add_server(Table *t, const json_t *s) {
        char generation[24], workers[24], spares[24], preload[FORMAT_MAX];
        _cleanup_(freep) char *entries = entries_text(json_object_get(s, "entries"));
        const char *state = field_text(s, "state") ?: "?";
        const char *cells[] = {
                field_text(s, "name") ?: "?",
                state,
                number_text(generation, s, "generation"),
                number_text(workers, s, "workers"),
                number_text(spares, s, "spares"),
                figure_text(preload, s, "preloadUSec", format_span),
                /* one that has failed has none to show, but a reason */
                streq(state, "failed") ? field_text(s, "reason") : entries,
        };

        return entries ? table_add(t, cells, state_colour(state)) : -ENOMEM;
}

/* One line each below the table, where nothing cuts them; cut: those in the table may be. */
static void print_reasons(const Ctl *ctl, const json_t *servers, bool cut) {
        bool any = false;
        const json_t *s;
        size_t i;

        json_array_foreach (servers, i, s) {
                const char *reason = field_text(s, "reason");
                bool bad = streq(field_text(s, "state") ?: "", "failed");

                if (!reason || reason[0] == '\0' || (bad && !cut))
                        continue;
                if (!any)
                        putchar('\n');
                any = true;
                if (ctl->colour && bad)
                        fputs(COLOUR_BAD, stdout);
                ctl_print_escaped(stdout, field_text(s, "name") ?: "?");
                fputs(": ", stdout);
                ctl_print_escaped(stdout, reason);
                fputs(ctl->colour && bad ? "\033[0m\n" : "\n", stdout);
        }
}

static void print_list_json(const json_t *servers) {
        const json_t *s;
        size_t i;

        /* as `list --json`: one a line, so that lines can be searched, and all of it one array */
        json_array_foreach (servers, i, s) {
                fputs(i == 0 ? "[\n" : ",\n", stdout);
                (void)json_dumpf(s, stdout, JSON_COMPACT);
        }
        fputs(json_array_size(servers) == 0 ? "[]\n" : "\n]\n", stdout);
}

int servers_print_list(const Ctl *ctl, const json_t *servers) {
        static const TableColumn columns[] = {
                { .title = "NAME" },
                { .title = "STATE" },
                { .title = "GEN", .right = true, .drop = 2 },
                { .title = "WORKERS", .right = true },
                { .title = "SPARES", .right = true, .drop = 3 },
                { .title = "PRELOAD", .right = true, .drop = 4 },
                { .title = "ENTRIES", .shrink = 10, .drop = 1 },
        };
        _cleanup_(table_freep) Table *t = NULL;
        const json_t *s;
        size_t i;
        int r;

        if (ctl->json) {
                print_list_json(servers);
                return STATUS_OK;
        }
        r = table_new(&t, columns, ELEMENTSOF(columns));
        json_array_foreach (servers, i, s)
                if (r == 0)
                        r = add_server(t, s);
        if (r < 0)
                return ctl_errno(r, "cannot list the forkservers");
        print_table(ctl, t);
        print_reasons(ctl, servers, table_terminal_width(STDOUT_FILENO) != SIZE_MAX);
        return STATUS_OK;
}

/* ---- show */

static void print_head(const json_t *server) {
        char name[SERVER_TEXT_MAX];

        ctl_print_escaped(stdout, server_text(name, server, "name") ?: "?");
        fputs(": ", stdout);
        ctl_print_escaped(stdout, field_text(server, "state") ?: "?");
        putchar('\n');
}

static void print_user(const json_t *server) {
        const uid_t uid = (uid_t)number(server, "uid");
        const struct passwd *p = getpwuid(uid);
        char line[128];

        if (p)
                snprintf(line, sizeof(line), "%s (uid %u)", p->pw_name, uid);
        else
                snprintf(line, sizeof(line), "uid %u", uid);
        field_print("user", line);
}

static void print_counts(const json_t *server) {
        const json_t *kept = json_object_get(server, "spare");
        char line[128], more[48] = "";

        if (json_is_number(kept))
                snprintf(more, sizeof(more), " of %" JSON_INTEGER_FORMAT, number(server, "spare"));
        snprintf(line, sizeof(line),
                 "%" JSON_INTEGER_FORMAT " running, %" JSON_INTEGER_FORMAT "%s spare",
                 number(server, "workers"), number(server, "spares"), more);
        field_print("workers", line);
}

static void print_next_start(const json_t *server) {
        const uint64_t now = now_usec(CLOCK_REALTIME),
                       at = (uint64_t)number(server, "nextStartAtUSec");
        char line[FORMAT_MAX + 8], span[FORMAT_MAX];

        if (at == 0)
                return;
        snprintf(line, sizeof(line), "in %s", format_span(span, at > now ? at - now : 0));
        field_print("next start", line);
}

static void print_server(const json_t *server) {
        print_head(server);
        /* what serves, or is about to, may still have one: that of a start or reload before */
        field_print_text(streq(field_text(server, "state") ?: "", "failed") ? "reason"
                                                                            : "last failure",
                         server, "reason");
        print_next_start(server);
        field_print_text("method", server, "startMethod");
        field_print_text("origin", server, "origin");
        print_user(server);
        field_print_json("pid", server, "pid");
        field_print_words("modules", server, "modules");
        field_print_words("command", server, "command");
        field_print_figure("preload", server, "preloadUSec", format_span);
        field_print_memory("memory", server);
        print_counts(server);
        field_print_json("starts", server, "starts");
}

/* A table with a row for each of the array, behind an empty line; nothing if there are none. */
typedef int (*AddRow)(Table *t, const json_t *object);

static int print_rows(const Ctl *ctl, const TableColumn *columns, size_t n, const json_t *array,
                      AddRow add) {
        _cleanup_(table_freep) Table *t = NULL;
        const json_t *object;
        size_t i;
        int r;

        if (json_array_size(array) == 0)
                return 0;
        r = table_new(&t, columns, n);
        json_array_foreach (array, i, object)
                if (r == 0)
                        r = add(t, object);
        if (r < 0)
                return ctl_errno(r, "cannot show the forkserver");
        putchar('\n');
        print_table(ctl, t);
        return 0;
}

static int add_entry(Table *t, const json_t *entry) {
        const char *cells[] = { field_text(entry, "name") ?: "?", field_text(entry, "arguments"),
                                field_text(entry, "help") };

        return table_add(t, cells, NULL);
}

static int add_generation(Table *t, const json_t *g) {
        char generation[24], pid[24], workers[24], spares[24], preload[FORMAT_MAX],
                started[FORMAT_MAX];
        const char *cells[] = {
                number_text(generation, g, "generation"),
                field_text(g, "state"),
                number_text(pid, g, "pid"),
                number_text(workers, g, "workers"),
                number_text(spares, g, "spares"),
                figure_text(preload, g, "preloadUSec", format_span),
                figure_text(started, g, "startedAtUSec", format_time),
        };

        return table_add(t, cells, NULL);
}

static int add_worker(Table *t, const json_t *w) {
        char pid[24], generation[24], own[FORMAT_MAX], shared[FORMAT_MAX];
        _cleanup_(freep) char *job = NULL;
        const char *cells[] = {
                number_text(pid, w, "pid"),
                number_text(generation, w, "generation"),
                NULL,
                figure_text(own, w, "privateBytes", format_bytes),
                figure_text(shared, w, "sharedBytes", format_bytes),
        };

        if (!json_is_number(json_object_get(w, "job")))
                cells[2] = field_text(w, "state");
        else if (asprintf(&job, "job %" JSON_INTEGER_FORMAT "%s%s", number(w, "job"),
                          field_text(w, "entry") ? " " : "", field_text(w, "entry") ?: "") < 0)
                return -ENOMEM;
        cells[2] = cells[2] ?: job;
        return table_add(t, cells, NULL);
}

static void print_output(const json_t *output) {
        const json_t *line;
        size_t i;

        if (json_array_size(output) > 0)
                puts("\nlast output:");
        json_array_foreach (output, i, line) {
                fputs("  ", stdout);
                ctl_print_escaped(stdout, json_string_value(line) ?: "");
                putchar('\n');
        }
}

int servers_print(const Ctl *ctl, const json_t *reply) {
        static const TableColumn entries[] = {
                { .title = "ENTRY" },
                { .title = "ARGUMENTS", .shrink = 12, .when_used = true },
                { .title = "HELP", .shrink = 12, .when_used = true },
        };
        static const TableColumn generations[] = {
                { .title = "GEN", .right = true },
                { .title = "STATE" },
                { .title = "PID", .right = true },
                { .title = "WORKERS", .right = true },
                { .title = "SPARES", .right = true },
                { .title = "PRELOAD", .right = true, .when_used = true },
                { .title = "STARTED", .drop = 1 },
        };
        static const TableColumn workers[] = {
                { .title = "PID", .right = true },
                { .title = "GEN", .right = true },
                { .title = "WORK", .shrink = 8 },
                { .title = "PRIVATE", .right = true, .when_used = true },
                { .title = "SHARED", .right = true, .when_used = true },
        };
        const json_t *server = json_object_get(reply, "server");
        int r;

        print_server(server);
        r = print_rows(ctl, entries, ELEMENTSOF(entries), json_object_get(server, "entries"),
                       add_entry);
        r = r
                    ?: print_rows(ctl, generations, ELEMENTSOF(generations),
                                  json_object_get(reply, "generations"), add_generation);
        r = r
                    ?: print_rows(ctl, workers, ELEMENTSOF(workers),
                                  json_object_get(reply, "workers"), add_worker);
        if (r == 0)
                print_output(json_object_get(reply, "output"));
        return r;
}
