/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl show`: all that is known of one job, its sentence first. Lives in forkctl. */

#include "fields.h"
#include "format.h"
#include "verb.h"

#include <inttypes.h>

static void print_output(const char *name, const json_t *certificate, const char *bytes,
                         const char *lost) {
        const json_t *b = json_object_get(certificate, bytes);
        uint64_t given_up = (uint64_t)json_integer_value(json_object_get(certificate, lost));
        char line[3 * FORMAT_MAX], first[FORMAT_MAX], second[FORMAT_MAX];

        if (!json_is_number(b))
                return;
        format_bytes(first, (uint64_t)json_number_value(b));
        if (given_up > 0)
                snprintf(line, sizeof(line), "%s, of which the first %s were given up", first,
                         format_bytes(second, given_up));
        else
                snprintf(line, sizeof(line), "%s", first);
        field_print(name, line);
}

static void print_head(const json_t *status) {
        const json_t *certificate = json_object_get(status, "certificate");
        const char *state = field_text(status, "state") ?: "?", *head;
        char since[FORMAT_MAX], line[2 * FORMAT_MAX];
        uint64_t now = now_usec(CLOCK_REALTIME), t;

        if (json_is_object(certificate))
                head = certificate_sentence(certificate);
        else {
                t = (uint64_t)json_integer_value(json_object_get(
                        status, json_object_get(status, "startedAtUSec") ? "startedAtUSec"
                                                                         : "queuedAtUSec"));
                snprintf(line, sizeof(line), "%s for %s", state,
                         format_span(since, now > t ? now - t : 0));
                head = line;
        }
        printf("job %" JSON_INTEGER_FORMAT ": ", json_integer_value(json_object_get(status, "id")));
        ctl_print_escaped(stdout, head);
        putchar('\n');
}

static void print_job(const json_t *status, const json_t *job) {
        _cleanup_(freep) char *work = job_work_text(status);
        const json_t *environment = json_object_get(job, "environment");
        const json_t *certificate = json_object_get(status, "certificate"),
                     *whose = field_text(certificate, "server") ? certificate : status;
        char line[64], server[SERVER_TEXT_MAX];

        if (json_array_size(json_object_get(status, "command")) > 0)
                field_print("command", work);
        field_print_text("entry", status, "entry");
        field_print("server", server_text(server, whose, "server"));
        field_print_json("arguments", job, "arguments");
        field_print_text("name", status, "name");
        field_print_text("state", status, "state");
        field_print_text("queue", status, "queue");
        field_print_json("priority", job, "priority");
        field_print_text("method", status, "startMethod");
        field_print("kept", json_is_true(json_object_get(status, "attached"))
                                    ? "no, it is attached to its client"
                                    : NULL);
        field_print_json("uid", status, "uid");
        field_print_json("pid", status, "pid");
        field_print_json("attempt", status, "attempt");
        field_print_memory("memory", status);
        field_print_text("key", status, "key");
        field_print_json("after", job, "after");
        field_print_text("directory", job, "directory");
        if (json_object_size(environment) > 0) {
                snprintf(line, sizeof(line), "%zu variable%s (--json shows them)",
                         json_object_size(environment),
                         json_object_size(environment) == 1 ? "" : "s");
                field_print("environment", line);
        }
        field_print_json("stdin", job, "stdin");
        field_print_json("stdout", job, "stdout");
        field_print_json("stderr", job, "stderr");
        field_print_json("limits", job, "limits");
        field_print_json("nice", job, "nice");
        field_print_json("affinity", job, "affinity");
        field_print_json("retries", job, "retries");
        field_print_figure("timeout", job, "timeoutUSec", format_span);
        field_print_figure("queue timeout", job, "queueTimeoutUSec", format_span);
        field_print_figure("grace", job, "graceUSec", format_span);
        field_print_figure("start at", job, "startAtUSec", format_time);
        field_print_figure("queued", status, "queuedAtUSec", format_time);
        field_print_figure("started", status, "startedAtUSec", format_time);
        field_print_figure("finished", status, "finishedAtUSec", format_time);
}

static void print_tail(const char *tail) {
        puts("last of stderr:");
        while (*tail) {
                size_t n = strcspn(tail, "\n");
                _cleanup_(freep) char *line = strndup(tail, n);

                fputs("  ", stdout);
                ctl_print_escaped(stdout, line ?: "");
                putchar('\n');
                tail += n + (tail[n] == '\n');
        }
}

static void print_certificate(const json_t *c) {
        const json_t *error = json_object_get(c, "errno");
        char line[160], name[FORMAT_MAX];

        field_print_text("result", c, "result");
        field_print_json("exit status", c, "status");
        if (json_integer_value(json_object_get(c, "signal")) > 0)
                field_print("signal", format_signal(name, (int)json_integer_value(
                                                                  json_object_get(c, "signal"))));
        if (field_text(c, "stage")) {
                snprintf(line, sizeof(line), "%s: %s", field_text(c, "stage"),
                         error ? strerror((int)json_integer_value(error)) : "?");
                field_print("failed at", line);
        }
        field_print_text("error", c, "code");
        field_print_text("text", c, "text");
        if (json_object_get(c, "cancelledByUid")) {
                snprintf(line, sizeof(line),
                         "uid %" JSON_INTEGER_FORMAT ", pid %" JSON_INTEGER_FORMAT,
                         json_integer_value(json_object_get(c, "cancelledByUid")),
                         json_integer_value(json_object_get(c, "cancelledByPid")));
                field_print("cancelled by", line);
        }
        field_print_figure("waited", c, "queueUSec", format_span);
        field_print_figure("ran", c, "runUSec", format_span);
        field_print_figure("CPU, user", c, "userUSec", format_span);
        field_print_figure("CPU, system", c, "systemUSec", format_span);
        field_print_figure("memory peak", c, "memoryPeak", format_bytes);
        print_output("wrote", c, "stdoutBytes", "stdoutLost");
        print_output("wrote, stderr", c, "stderrBytes", "stderrLost");
        field_print_json("left behind", c, "leftBehind");
        field_print_json("value", c, "value");
        if (field_text(c, "stderrTail") && field_text(c, "stderrTail")[0] != '\0')
                print_tail(field_text(c, "stderrTail"));
}

int verb_show(Ctl *ctl) {
        _cleanup_(freep) uint64_t *ids = NULL;
        json_t *status, *job, *out;
        int r;

        r = ctl_ids(ctl, &ids);
        if (r != 0)
                return r;
        r = forkd_show(ctl->forkd, ids[0], &status, &job);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);

        if (ctl->json) {
                out = json_pack("{s:O, s:O}", "status", status, "job", job);
                ctl_print_json(ctl, out);
                json_decref(out);
        } else {
                print_head(status);
                print_job(status, job);
                if (json_is_object(json_object_get(status, "certificate")))
                        print_certificate(json_object_get(status, "certificate"));
        }
        json_decref(status);
        json_decref(job);
        return STATUS_OK;
}
