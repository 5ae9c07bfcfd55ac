/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.forkd.servers that only look: List and Show. Everybody may; whose job a worker
 * runs, and what a forkserver has written, is for those whom it concerns. In forkd. */

#include "methods.h"

#include "process-id.h"
#include "server-private.h"

#include <utlist.h>

#define WORKERS_LISTED_MAX 4096
#define WORKERS_MEASURED   64
#define MEASURING_USEC_MAX (50 * USEC_PER_MSEC)

const char *server_name_for_call(Call *call, json_t *parameters) {
        const char *name;

        if (string_read_refused(call, parameters, "name", &name))
                return NULL;
        if (!name)
                (void)call_invalid_parameter(call, "name", "%s needs 'name', that of a forkserver",
                                             call_method(call));
        return name;
}

int wire_no_such_server(Daemon *d, Call *call, WireError error, const char *name) {
        const Peer *peer = connection_peer(call_connection(call));
        char names[512] = "";

        named_names_text(d->named, peer, names, sizeof(names));
        if (*names)
                return wire_error(call, error, json_pack("{s:s}", "server", name),
                                  "there is no forkserver '%s'; there are: %s", name, names);
        return wire_error(call, error, json_pack("{s:s}", "server", name),
                          "there is no forkserver '%s', nor any other; 'forkctl servers start' and "
                          "files servers/NAME.conf make some",
                          name);
}

/* ---- the built-in ones */

static const char *const built_in_names[] = { "spawner", "twin", NULL };

bool server_name_built_in(const char *name) {
        for (const char *const *n = built_in_names; *n; n++)
                if (streq(*n, name))
                        return true;
        return false;
}

static void write_entries(JsonText *t, const json_t *entries) {
        size_t i;
        json_t *e;

        json_text_open(t, "entries", '[');
        json_array_foreach ((json_t *)entries, i, e) {
                json_text_open(t, NULL, '{');
                json_text_string(t, "name", json_string_value(json_object_get(e, "name")));
                json_text_string(t, "help", json_string_value(json_object_get(e, "help")));
                json_text_string(t, "arguments",
                                 json_string_value(json_object_get(e, "arguments")));
                json_text_close(t, '}');
        }
        json_text_close(t, ']');
}

static void write_built_in(const Server *s, JsonText *t, const char *key) {
        const Attempt *a;
        size_t workers = 0;

        DL_FOREACH (s->attempts, a)
                workers += a->job != NULL;

        json_text_open(t, key, '{');
        json_text_string(t, "name", server_name(s));
        json_text_string(t, "startMethod", s->kind == SERVER_TWIN ? "fork" : "spawn");
        json_text_string(t, "state",
                         s->state == SERVER_RETIRED ? "stopping"
                                                    : server_state_to_string(s->state));
        json_text_string(t, "origin", "built-in");
        json_text_int(t, "uid", server_uid(s));
        if (s->channel >= 0)
                json_text_int(t, "pid", s->pid);
        json_text_int(t, "workers", (int64_t)workers);
        json_text_int(t, "spares", 0);
        json_text_int(t, "starts", s->starts);
        if (s->kind == SERVER_TWIN)
                json_text_int(t, "preloadUSec", (int64_t)s->preload_usec);
        write_entries(t, s->kind == SERVER_TWIN ? s->entries : NULL);
        if (s->state == SERVER_FAILED)
                json_text_string(t, "reason", s->reason);
        json_text_close(t, '}');
}

/* The next one with this name (NULL: any) after s (NULL: from the first). */
static Server *next_built_in(const Daemon *d, const Server *s, const char *name) {
        Server *next = s ? s->next : d->servers->servers;

        while (next && (next->kind == SERVER_HOST || (name && !streq(server_name(next), name))))
                next = next->next;
        return next;
}

/* ---- List */

int method_servers_list(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { NULL };
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        Daemon *d = userdata;

        if (refuse_unknown(call, parameters, known))
                return 0;

        json_text_open(&t, NULL, '{');
        json_text_open(&t, "servers", '[');
        for (const Server *s = next_built_in(d, NULL, NULL); s; s = next_built_in(d, s, NULL))
                write_built_in(s, &t, NULL);
        for (const NamedServer *n = named_next(d->named, NULL); n; n = named_next(d->named, n))
                named_write_listed(n, &t);
        json_text_close(&t, ']');
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        return call_reply_text(call, t.text, t.length, false);
}

/* ---- Show */

typedef struct Showing {
        JsonText *text;
        const Peer *peer;
        uint64_t until; /* CLOCK_MONOTONIC: no measuring after that */
        unsigned n_measured, n_listed;
} Showing;

/* Of a forkserver with large memory this takes milliseconds each: some are told soon rather than
 * all of them late, as nobody else is served meanwhile. */
static void write_memory(Showing *sh, const Attempt *a) {
        uint64_t own, shared;

        if (a->phase == ATTEMPT_ENDED || sh->n_measured >= WORKERS_MEASURED ||
            now_usec(CLOCK_MONOTONIC) >= sh->until)
                return;
        sh->n_measured++;
        if (process_memory(a->pid, &own, &shared) < 0)
                return;
        json_text_int(sh->text, "privateBytes", (int64_t)own);
        json_text_int(sh->text, "sharedBytes", (int64_t)shared);
}

static void write_worker(Showing *sh, const Attempt *a, unsigned generation) {
        JsonText *t = sh->text;

        if (a->pid <= 0 || a->kind == ATTEMPT_HOST || sh->n_listed >= WORKERS_LISTED_MAX)
                return;
        if (!a->job && (a->kind == ATTEMPT_JOB || a->phase == ATTEMPT_ENDED))
                return; /* it has ended; what it left behind has not */
        sh->n_listed++;
        json_text_open(t, NULL, '{');
        json_text_int(t, "pid", a->pid);
        json_text_int(t, "generation", generation);
        json_text_string(t, "state", a->job ? "running" : "spare");
        if (a->job && job_permits(a->job, sh->peer)) {
                json_text_int(t, "job", (int64_t)a->job->id);
                json_text_string(t, "entry", a->job->spec->entry);
        }
        write_memory(sh, a);
        json_text_close(t, '}');
}

static void write_workers_of(Showing *sh, const Server *s) {
        const Attempt *a;

        DL_FOREACH (s->attempts, a)
                write_worker(sh, a, server_generation(s));
}

/* Those whose generation has died run on without it. */
static void write_orphans_of(Showing *sh, const Daemon *d, const NamedServer *n) {
        const Attempt *a;

        DL_FOREACH (d->servers->orphans, a)
                if (a->job && a->job->spec->start_method == START_METHOD_FORKSERVER &&
                    streq_null(a->job->spec->server, named_settings(n)->name))
                        write_worker(sh, a, a->job->server_generation);
}

static void write_named(Showing *sh, const Daemon *d, const NamedServer *n) {
        JsonText *t = sh->text;

        named_write(n, t, "server", true); /* first: there is time for it */
        named_write_generations(n, t, "generations");
        json_text_open(t, "workers", '[');
        for (const Server *s = named_next_generation(n, NULL); s; s = named_next_generation(n, s))
                write_workers_of(sh, s);
        write_orphans_of(sh, d, n);
        json_text_close(t, ']');
        if (named_permits_control(n, sh->peer))
                named_write_output(n, t, "output");
        else {
                json_text_open(t, "output", '[');
                json_text_close(t, ']');
        }
}

static void write_built_in_all(Showing *sh, const Daemon *d, const Server *first) {
        JsonText *t = sh->text;
        const char *name = server_name(first);

        write_built_in(first, t, "server");
        json_text_open(t, "generations", '[');
        json_text_close(t, ']');
        json_text_open(t, "workers", '[');
        for (const Server *s = first; s; s = next_built_in(d, s, name))
                write_workers_of(sh, s);
        json_text_close(t, ']');
        json_text_open(t, "output", '[');
        json_text_close(t, ']');
}

static int reply_bounded(Call *call, const char *name, JsonText *t) {
        int r;

        if (json_text_finish(t) < 0)
                return -ENOMEM;
        r = call_reply_text(call, t->text, t->length, false);
        if (r != -EMSGSIZE)
                return r;
        return wire_error(call, WIRE_SERVERS_LIMIT_REACHED, json_pack("{s:s}", "limit", "message"),
                          "what there is to tell of the forkserver '%s' does not fit one message",
                          name);
}

int reply_server(Call *call, const NamedServer *n) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        json_text_open(&t, NULL, '{');
        named_write(n, &t, "server", false);
        json_text_close(&t, '}');
        return reply_bounded(call, named_settings(n)->name, &t);
}

int method_servers_show(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "name", NULL };
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        Showing sh = { .text = &t,
                       .peer = connection_peer(call_connection(call)),
                       .until = now_usec(CLOCK_MONOTONIC) + MEASURING_USEC_MAX };
        const Server *built_in = NULL;
        const NamedServer *n = NULL;
        Daemon *d = userdata;
        const char *name;

        if (refuse_unknown(call, parameters, known))
                return 0;
        name = server_name_for_call(call, parameters);
        if (!name)
                return 0;
        if (server_name_built_in(name))
                built_in = next_built_in(d, NULL, name);
        else
                n = named_find(d->named, name);
        if (!built_in && !n)
                return wire_no_such_server(d, call, WIRE_SERVERS_NO_SUCH_SERVER, name);

        json_text_open(&t, NULL, '{');
        if (n)
                write_named(&sh, d, n);
        else
                write_built_in_all(&sh, d, built_in);
        json_text_close(&t, '}');
        return reply_bounded(call, name, &t);
}
