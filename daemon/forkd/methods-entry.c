/* SPDX-License-Identifier: Apache-2.0 */

/* What a job that names an entry is refused for: no such forkserver, no such entry, not this
 * peer's. Looked at once, when the job comes; what changes later ends the job. Stateless, in forkd.
 */

#include "methods.h"

#include "text.h"

/* "check, suggest": the names of a list of entries. */
static void entries_text(const json_t *entries, char *ret, size_t size) {
        size_t i, n = 0;
        json_t *e;

        *ret = '\0';
        json_array_foreach ((json_t *)entries, i, e) {
                text_format(ret + n, size - n, "%s%s", n > 0 ? ", " : "",
                            json_string_value(json_object_get(e, "name")) ?: "");
                n += strlen(ret + n);
        }
}

static bool entry_listed(const json_t *entries, const char *entry) {
        size_t i;
        json_t *e;

        json_array_foreach ((json_t *)entries, i, e)
                if (streq_null(json_string_value(json_object_get(e, "name")), entry))
                        return true;
        return false;
}

/* The entries of Module=, by a fork of the twin or in a host of their own. */
static bool refuse_entry_of_forkd(Daemon *d, Call *call, const JobSpec *spec) {
        const Peer *peer = connection_peer(call_connection(call));
        const JobSpec like = { .start_method = START_METHOD_FORK, .entry = spec->entry };
        char entries[512];
        Server *server;
        int r;

        r = server_set_pick(d->servers, &like, &server); /* the twin knows what there is */
        if (r == SERVER_E_NONE) {
                (void)wire_error(
                        call, WIRE_NO_SUCH_ENTRY, json_pack("{s:s}", "entry", spec->entry),
                        "there is no entry '%s': forkd has preloaded no module; Module= in forkd.conf names "
                        "them, and 'server' names a forkserver that has some",
                        spec->entry);
                return true;
        }
        if (r == SERVER_E_NO_ENTRY) {
                server_set_entries_text(d->servers, entries, sizeof(entries));
                (void)wire_error(call, WIRE_NO_SUCH_ENTRY, json_pack("{s:s}", "entry", spec->entry),
                                 "there is no entry '%s'; there are: %s", spec->entry, entries);
                return true;
        }
        if (peer->uid != 0 && peer->uid != geteuid()) {
                (void)call_permission_denied(
                        call,
                        "entries of Module= run as uid %u, and only this uid and root may run "
                        "them; a command, or a forkserver of your own, would run as you",
                        geteuid());
                return true;
        }
        return false;
}

/* One that has failed for good, or has been stopped, lets nobody wait for it. It is only looked at:
 * one of Start=use has time until the job may start. */
static bool refuse_state(Daemon *d, Call *call, const JobSpec *spec, const NamedServer *n) {
        char sentence[768];
        Server *server;

        if (named_look(n, spec->entry, &server) != SERVER_E_FAILED)
                return false;
        server_set_pick_reason(d->servers, spec, sentence, sizeof(sentence));
        (void)wire_error(call, WIRE_SERVER_FAILED,
                         json_pack("{s:s,s:s}", "server", spec->server, "reason",
                                   named_state(n) == NAMED_FAILED && named_reason(n)
                                           ? named_reason(n)
                                           : "it has been stopped"),
                         "%s", sentence);
        return true;
}

/* A host of its own would be what the readable lines of its file say, and run as whom they say. */
static bool refuse_invalid(Call *call, const JobSpec *spec, const NamedServer *n) {
        const char *invalid = named_invalid(n);

        if (!invalid)
                return false;
        (void)wire_error(call, WIRE_SERVER_FAILED,
                         json_pack("{s:s,s:s}", "server", spec->server, "reason", invalid),
                         "nothing is started by the configuration of the forkserver '%s': %s",
                         spec->server, invalid);
        return true;
}

/* The entries of a named forkserver, by a fork of it or in a host of their own. What it has is
 * known once it was ready: before that, everything is believed. */
static bool refuse_entry_of_named(Daemon *d, Call *call, const JobSpec *spec) {
        const NamedServer *n = named_find(d->named, spec->server);
        const json_t *known;
        char entries[512];

        if (!n) {
                (void)wire_no_such_server(d, call, WIRE_NO_SUCH_SERVER, spec->server);
                return true;
        }
        if (!named_permits(n, connection_peer(call_connection(call)))) {
                (void)call_permission_denied(
                        call,
                        "entries of the forkserver '%s' run as uid %u, and only that user, root and "
                        "whom AllowUsers= in its configuration names may run them; a forkserver of "
                        "your own would run as you",
                        spec->server, named_settings(n)->user.uid);
                return true;
        }
        known = named_entries(n);
        if (known && !entry_listed(known, spec->entry)) {
                entries_text(known, entries, sizeof(entries));
                (void)wire_error(call, WIRE_NO_SUCH_ENTRY, json_pack("{s:s}", "entry", spec->entry),
                                 "the forkserver '%s' has no entry '%s'; there are: %s",
                                 spec->server, spec->entry, entries);
                return true;
        }
        return spec->start_method == START_METHOD_FORKSERVER ? refuse_state(d, call, spec, n)
                                                             : refuse_invalid(call, spec, n);
}

bool refuse_entry(Daemon *d, Call *call, const JobSpec *spec) {
        if (!spec->entry)
                return false;
        return spec->server ? refuse_entry_of_named(d, call, spec)
                            : refuse_entry_of_forkd(d, call, spec);
}
