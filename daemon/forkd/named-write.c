/* SPDX-License-Identifier: Apache-2.0 */

/* What is told of named forkservers in replies and events; stateless, in forkd. */

#include "named-private.h"

#include "attempt.h"
#include "daemon.h"
#include "process-id.h"
#include "server-private.h"
#include "spare.h"

#include <utlist.h>

#define LISTED_MAX ((size_t)14 * 1024) /* bytes of one: NAMED_MAX of them fit a message */

/* Of one generation, or of those of n whose generation is gone. */
static unsigned count_workers(const Attempt *list, const NamedServer *n) {
        const Attempt *a;
        unsigned count = 0;

        DL_FOREACH (list, a)
                count += a->job && (!n || (a->job->spec->start_method == START_METHOD_FORKSERVER &&
                                           streq_null(a->job->spec->server, n->settings->name)));
        return count;
}

unsigned named_count_workers(const NamedServer *n) {
        unsigned count = count_workers(n->set->daemon->servers->orphans, n);

        for (const Server *s = named_next_generation(n, NULL); s; s = named_next_generation(n, s))
                count += count_workers(s->attempts, NULL);
        return count;
}

static const Server *present(const NamedServer *n) {
        return n->serving ?: n->starting;
}

static void write_memory(const Server *s, JsonText *t) {
        uint64_t own, shared;

        if (process_memory(s->pid, &own, &shared) < 0)
                return;
        json_text_int(t, "privateBytes", (int64_t)own);
        json_text_int(t, "sharedBytes", (int64_t)shared);
}

void named_write(const NamedServer *n, JsonText *t, const char *key, bool measure) {
        const ServerSettings *settings = n->settings;
        const Server *s = present(n);

        json_text_open(t, key, '{');
        json_text_string(t, "name", settings->name);
        json_text_string(t, "startMethod", start_method_to_string(START_METHOD_FORKSERVER));
        json_text_string(t, "state", named_state_to_string(n->state));
        json_text_string(t, "origin",
                         settings->origin == SERVER_FROM_REQUEST ? "request" : "configuration");
        json_text_int(t, "uid", settings->user.uid);
        if (n->generation > 0)
                json_text_int(t, "generation", s ? s->generation : n->generation);
        if (s && s->pid > 0)
                json_text_int(t, "pid", s->pid);
        json_text_int(t, "workers", named_count_workers(n));
        json_text_int(t, "spares", s ? spare_count_ready(s) : 0);
        json_text_int(t, "spare", settings->spare);
        json_text_int(t, "starts", n->starts);
        if (s && s->ready_at > 0)
                json_text_int(t, "preloadUSec", (int64_t)s->preload_usec);
        if (measure && s && s->pid > 0 && s->host)
                write_memory(s, t);
        json_text_strings(t, "modules", settings->modules);
        json_text_strings(t, "command", settings->command);
        json_text_open(t, "entries", '[');
        for (size_t i = 0; i < json_array_size(n->entries); i++) {
                json_t *e = json_array_get(n->entries, i);

                json_text_open(t, NULL, '{');
                json_text_string(t, "name", json_string_value(json_object_get(e, "name")));
                json_text_string(t, "help", json_string_value(json_object_get(e, "help")));
                json_text_string(t, "arguments",
                                 json_string_value(json_object_get(e, "arguments")));
                json_text_close(t, '}');
        }
        json_text_close(t, ']');
        json_text_string(t, "reason", n->reason);
        if (n->state == NAMED_FAILED && n->start_timer)
                json_text_int(t, "nextStartAtUSec", (int64_t)n->start_at);
        json_text_close(t, '}');
}

/* One that is complete, with no more in it than LISTED_MAX. */
static void write_bounded(JsonText *t, const char *key, JsonText *one) {
        static const char *const long_ones[] = { "entries", "command", "modules", "reason" };
        _cleanup_(freep) char *text = NULL;
        json_t *server;

        if (json_text_finish(one) < 0)
                return;
        if (one->length <= LISTED_MAX) {
                json_text_raw(t, key, one->text, one->length);
                return;
        }
        server = json_loads(one->text, 0, NULL);
        for (size_t i = 0; server && i < ELEMENTSOF(long_ones); i++) {
                if (i == 0)
                        (void)json_object_set_new(server, long_ones[i], json_array());
                else
                        (void)json_object_del(server, long_ones[i]);
                free(text);
                text = json_dumps(server, JSON_COMPACT);
                if (text && strlen(text) <= LISTED_MAX)
                        break;
        }
        json_decref(server);
        if (text)
                json_text_raw(t, key, text, strlen(text));
}

void named_write_listed(const NamedServer *n, JsonText *t) {
        _cleanup_(json_text_done) JsonText one = JSON_TEXT_NULL;

        named_write(n, &one, NULL, false);
        write_bounded(t, NULL, &one);
}

static void write_summary(const NamedServer *n, JsonText *t) {
        const Server *s = present(n);

        json_text_open(t, NULL, '{');
        json_text_string(t, "name", n->settings->name);
        json_text_string(t, "startMethod", start_method_to_string(START_METHOD_FORKSERVER));
        json_text_string(t, "state", named_state_to_string(n->state));
        if (s && s->pid > 0)
                json_text_int(t, "pid", s->pid);
        json_text_int(t, "workers", named_count_workers(n));
        json_text_int(t, "starts", n->starts);
        if (s && s->ready_at > 0)
                json_text_int(t, "preloadUSec", (int64_t)s->preload_usec);
        json_text_open(t, "entries", '[');
        for (size_t i = 0; i < json_array_size(n->entries); i++)
                json_text_string(
                        t, NULL,
                        json_string_value(json_object_get(json_array_get(n->entries, i), "name")));
        json_text_close(t, ']');
        json_text_string(t, "reason", n->reason);
        json_text_close(t, '}');
}

void named_write_summary(const NamedServer *n, JsonText *t, const char *key) {
        _cleanup_(json_text_done) JsonText one = JSON_TEXT_NULL;

        write_summary(n, &one);
        write_bounded(t, key, &one);
}

/* Not those that are no more than a process on its way to its end. */
static const char *generation_state(const Server *s) {
        switch (s->state) {
        case SERVER_STARTING:
                return s->refused ? NULL : "starting";
        case SERVER_READY:
                return "ready";
        case SERVER_RETIRED:
                return s->refused ? NULL : "retired";
        default:
                return NULL;
        }
}

void named_write_generations(const NamedServer *n, JsonText *t, const char *key) {
        json_text_open(t, key, '[');
        for (const Server *s = named_next_generation(n, NULL); s; s = named_next_generation(n, s)) {
                const char *state = generation_state(s);

                if (!state)
                        continue;
                json_text_open(t, NULL, '{');
                json_text_int(t, "generation", s->generation);
                json_text_string(t, "state", state);
                if (s->pid > 0)
                        json_text_int(t, "pid", s->pid);
                json_text_int(t, "workers", count_workers(s->attempts, NULL));
                json_text_int(t, "spares", spare_count_ready(s));
                json_text_int(t, "startedAtUSec", (int64_t)s->started_at);
                if (s->ready_at > 0)
                        json_text_int(t, "preloadUSec", (int64_t)s->preload_usec);
                json_text_close(t, '}');
        }
        json_text_close(t, ']');
}

void named_write_output(const NamedServer *n, JsonText *t, const char *key) {
        host_lines_write(n->lines, t, key);
}
