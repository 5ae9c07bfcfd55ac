/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl status`, `reload`, `drain`: the daemon itself. Lives in forkctl. */

#include "format.h"
#include "table.h"
#include "verb.h"

#include <inttypes.h>

static json_int_t number(const json_t *status, const char *name) {
        return json_integer_value(json_object_get(status, name));
}

static const char *text(const json_t *status, const char *name) {
        return json_string_value(json_object_get(status, name)) ?: "?";
}

static void print_line(const char *name, const char *value) {
        printf("%-10s ", name);
        ctl_print_escaped(stdout, value);
        putchar('\n');
}

static void print_servers(const Ctl *ctl, const json_t *servers) {
        static const TableColumn columns[] = {
                { .title = "SERVER" },
                { .title = "STATE" },
                { .title = "METHOD", .drop = 1 },
                { .title = "PID", .right = true, .drop = 2 },
                { .title = "WORKERS", .right = true },
                { .title = "STARTS", .right = true, .drop = 3 },
                { .title = "PRELOAD", .right = true, .drop = 4, .when_used = true },
                { .title = "REASON", .shrink = 10, .when_used = true },
        };
        _cleanup_(table_freep) Table *t = NULL;
        const json_t *s;
        size_t i;

        if (table_new(&t, columns, ELEMENTSOF(columns)) < 0)
                return;
        json_array_foreach (servers, i, s) {
                char pid[24] = "", workers[24], starts[24], span[FORMAT_MAX] = "";
                const char *cells[] = { text(s, "name"),
                                        text(s, "state"),
                                        text(s, "startMethod"),
                                        pid,
                                        workers,
                                        starts,
                                        span,
                                        json_string_value(json_object_get(s, "reason")) };

                if (number(s, "pid") > 0)
                        snprintf(pid, sizeof(pid), "%" JSON_INTEGER_FORMAT, number(s, "pid"));
                snprintf(workers, sizeof(workers), "%" JSON_INTEGER_FORMAT, number(s, "workers"));
                snprintf(starts, sizeof(starts), "%" JSON_INTEGER_FORMAT, number(s, "starts"));
                if (json_object_get(s, "preloadUSec"))
                        format_span(span, (uint64_t)number(s, "preloadUSec"));
                if (table_add(t, cells, streq(cells[1], "failed") ? "\033[31m" : NULL) < 0)
                        return;
        }
        if (table_rows(t) == 0)
                return;
        putchar('\n');
        table_print(t, stdout, table_terminal_width(STDOUT_FILENO), ctl->colour);
}

static void print_status(const Ctl *ctl, const json_t *s) {
        uint64_t now = now_usec(CLOCK_REALTIME), started = (uint64_t)number(s, "startedAtUSec");
        char since[FORMAT_MAX], span[FORMAT_MAX], line[256];
        const json_t *w;
        size_t i;

        snprintf(line, sizeof(line), "forkd %s, %s mode, pid %" JSON_INTEGER_FORMAT "%s",
                 text(s, "version"), text(s, "mode"), number(s, "pid"),
                 json_is_true(json_object_get(s, "draining")) ? ", draining: takes no new work"
                                                              : "");
        ctl_print_escaped(stdout, line);
        putchar('\n');
        snprintf(line, sizeof(line), "%s (%s)", format_time(since, started),
                 format_span(span, now > started ? now - started : 0));
        print_line("since:", line);
        if (number(s, "keeperPid") > 0) {
                snprintf(line, sizeof(line), "pid %" JSON_INTEGER_FORMAT, number(s, "keeperPid"));
                print_line("keeper:", line);
        } else
                print_line("keeper:", "none; if forkd dies, nobody starts it again");
        print_line("address:", text(s, "address"));
        print_line("state:", text(s, "stateDirectory"));
        print_line("cgroups:", text(s, "cgroups"));
        snprintf(line, sizeof(line),
                 "%" JSON_INTEGER_FORMAT " queued of %" JSON_INTEGER_FORMAT
                 ", %" JSON_INTEGER_FORMAT " running of %" JSON_INTEGER_FORMAT
                 ", %" JSON_INTEGER_FORMAT " attached of %" JSON_INTEGER_FORMAT
                 ", %" JSON_INTEGER_FORMAT " paused, %" JSON_INTEGER_FORMAT
                 " parked, %" JSON_INTEGER_FORMAT " finished",
                 number(s, "queued"), number(s, "queueMax"), number(s, "running"),
                 number(s, "maxRunning"), number(s, "attached"), number(s, "maxAttached"),
                 number(s, "paused"), number(s, "parked"), number(s, "finished"));
        print_line("jobs:", line);
        snprintf(line, sizeof(line),
                 "%" JSON_INTEGER_FORMAT " jobs started, %" JSON_INTEGER_FORMAT
                 " finished, %" JSON_INTEGER_FORMAT " clients now",
                 number(s, "totalStarted"), number(s, "totalFinished"), number(s, "clients"));
        print_line("so far:", line);
        json_array_foreach (json_object_get(s, "warnings"), i, w)
                print_line("warning:", json_string_value(w) ?: "?");
        print_servers(ctl, json_object_get(s, "servers"));
}

int verb_status(Ctl *ctl) {
        json_t *status;
        int r;

        r = forkd_status(ctl->forkd, &status);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json)
                ctl_print_json(ctl, status);
        else
                print_status(ctl, status);
        json_decref(status);
        return STATUS_OK;
}

int verb_reload(Ctl *ctl) {
        json_t *warnings, *out;
        const json_t *w;
        size_t i;
        int r;

        r = forkd_reload(ctl->forkd, &warnings);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json) {
                out = json_pack("{s:O}", "warnings", warnings);
                ctl_print_json(ctl, out);
                json_decref(out);
        } else
                json_array_foreach (warnings, i, w)
                        (void)ctl_error("warning: %s", json_string_value(w) ?: "?");
        json_decref(warnings);
        return STATUS_OK;
}

typedef struct DrainVerb {
        const Ctl *ctl;
        uint64_t running, queued;
        bool told;
} DrainVerb;

static void on_left(uint64_t running, uint64_t queued, void *userdata) {
        DrainVerb *d = userdata;

        if (!d->ctl->json && !d->ctl->quiet && d->ctl->terminal && running > 0 &&
            (!d->told || running != d->running))
                printf("%" PRIu64 " still running\n", running);
        fflush(stdout);
        d->told = true;
        d->running = running;
        d->queued = queued;
}

int verb_drain(Ctl *ctl) {
        DrainVerb d = { .ctl = ctl };
        int r;

        r = forkd_drain(ctl->forkd, !options_has(&ctl->options, OPTION_NO_WAIT), on_left, &d);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json)
                printf("{\"running\":%" PRIu64 ",\"queued\":%" PRIu64 "}\n", d.running, d.queued);
        else if (!ctl->quiet)
                printf("draining: %" PRIu64 " running, %" PRIu64 " queued\n", d.running, d.queued);
        return STATUS_OK;
}
