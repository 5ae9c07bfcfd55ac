/* SPDX-License-Identifier: Apache-2.0 */

/* org.forkd.servers: its table, and the methods that act. Start, Reload and Stop answer when it is
 * done; until then a Waiter has the call, and goes with it. In forkd. */

#include "methods.h"

#include "interfaces.h"

/* ---- who and which */

/* Words for who may: "root and uid 1000". */
static bool refuse_control(Call *call, const NamedServer *n) {
        const ServerSettings *s = named_settings(n);

        if (named_permits_control(n, connection_peer(call_connection(call))))
                return false;
        if (s->origin == SERVER_FROM_REQUEST && s->user.uid != geteuid())
                (void)call_permission_denied(
                        call,
                        "uid %u has started the forkserver '%s', and only that user and root may do this",
                        s->user.uid, s->name);
        else
                (void)call_permission_denied(
                        call, "only root and uid %u may do this to the forkserver '%s'", geteuid(),
                        s->name);
        return true;
}

/* The forkserver, if it is there and the peer may tell it what to do; else the call is answered and
 * NULL returned. */
static NamedServer *named_for_call(Daemon *d, Call *call, json_t *parameters) {
        const char *name = server_name_for_call(call, parameters);
        NamedServer *n;

        if (!name)
                return NULL;
        if (server_name_built_in(name)) {
                (void)call_invalid_parameter(
                        call, "name",
                        "the %s is built into forkd, which starts it and ends with it; this is for "
                        "named forkservers",
                        name);
                return NULL;
        }
        n = named_find(d->named, name);
        if (!n) {
                (void)wire_no_such_server(d, call, WIRE_SERVERS_NO_SUCH_SERVER, name);
                return NULL;
        }
        return refuse_control(call, n) ? NULL : n;
}

static bool refuse_draining(const Daemon *d, Call *call) {
        if (!d->draining)
                return false;
        (void)wire_error(call, WIRE_SERVERS_DRAINING, NULL,
                         "forkd is draining and starts no forkserver");
        return true;
}

static int wrong_state(Call *call, const NamedServer *n, const char *sentence) {
        const char *state = named_state_to_string(named_state(n));

        return wire_error(call, WIRE_SERVERS_WRONG_STATE,
                          json_pack("{s:s,s:s}", "server", named_settings(n)->name, "state", state),
                          "the forkserver '%s' is %s%s", named_settings(n)->name, state, sentence);
}

/* ---- waiting */

typedef struct Waiter {
        Daemon *daemon;
        Call *call;
        char name[SERVER_NAME_MAX + 1];
} Waiter;

static void on_waiter_gone(Call *call, void *userdata) {
        Waiter *w = userdata;

        (void)call;
        named_unwait(w->daemon->named, w);
        free(w);
}

static void on_server_ready(NamedServer *n, const char *error, void *userdata) {
        Waiter *w = userdata;
        Call *call = w->call;

        call_set_gone(call, NULL, NULL);
        if (!error)
                (void)reply_server(call, n);
        else
                (void)wire_error(
                        call, WIRE_SERVERS_SERVER_FAILED,
                        json_pack("{s:s,s:s}", "server", w->name, "reason", error),
                        n && named_state(n) == NAMED_READY
                                ? "the next generation of '%s' has failed, and the present one goes on: %s"
                                : "the forkserver '%s' has failed: %s",
                        w->name, error);
        free(w);
}

static void on_server_stopped(NamedServer *n, const char *error, void *userdata) {
        Waiter *w = userdata;
        Call *call = w->call;

        (void)n;
        call_set_gone(call, NULL, NULL);
        if (error)
                (void)wire_error(call, WIRE_SERVERS_SERVER_FAILED,
                                 json_pack("{s:s,s:s}", "server", w->name, "reason", error),
                                 "the forkserver '%s' has not ended: %s", w->name, error);
        else
                (void)call_reply(call, NULL, false);
        free(w);
}

typedef int (*WaitFunction)(NamedServer *n, NamedWait function, void *userdata);

/* Keeps the call. It may be answered, and n be gone, by the time this returns. */
static int wait_for(Daemon *d, Call *call, NamedServer *n, WaitFunction wait, NamedWait function) {
        Waiter *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->daemon = d;
        w->call = call;
        snprintf(w->name, sizeof(w->name), "%s", named_settings(n)->name);
        call_set_gone(call, on_waiter_gone, w);
        r = wait(n, function, w);
        if (r < 0) {
                call_set_gone(call, NULL, NULL);
                free(w);
        }
        return r;
}

static int cannot_start(Call *call, const char *name, int r) {
        return wire_error(call, WIRE_SERVERS_SERVER_FAILED,
                          json_pack("{s:s,s:s}", "server", name, "reason", strerror(-r)),
                          "the forkserver '%s' cannot be started: %s", name, strerror(-r));
}

/* ---- Start */

/* As whom it runs: the peer, where forkd can make it so. */
static int settings_set_user(ServerSettings *s, const Peer *peer) {
        Owner owner;
        int r;

        if (geteuid() != 0)
                return 0; /* its own user, the default: nobody else but root can be here */
        r = owner_from_peer(&owner, peer);
        if (r < 0)
                return r;
        free(s->user.groups);
        s->user = owner;
        return 0;
}

/* The name is another's, or what it names is too well to be replaced. */
static bool refuse_taken(Call *call, const NamedServer *n, const char *name) {
        const ServerSettings *s = n ? named_settings(n) : NULL;

        if (server_name_built_in(name))
                (void)wire_error(call, WIRE_SERVERS_NAME_TAKEN, json_pack("{s:s}", "server", name),
                                 "the name '%s' is that of a built-in forkserver: choose another",
                                 name);
        else if (!n)
                return false;
        else if (s->origin == SERVER_FROM_CONFIGURATION)
                (void)wire_error(
                        call, WIRE_SERVERS_NAME_TAKEN, json_pack("{s:s}", "server", name),
                        "the forkserver '%s' is one of servers/%s.conf: change that file and reload it, or "
                        "choose another name",
                        name, name);
        else if (named_state(n) == NAMED_FAILED &&
                 named_permits_control(n, connection_peer(call_connection(call))))
                return false;
        else if (named_state(n) == NAMED_STOPPING)
                (void)wire_error(
                        call, WIRE_SERVERS_NAME_TAKEN, json_pack("{s:s}", "server", name),
                        "the forkserver '%s' of uid %u is stopping: the name is free when its last job "
                        "has ended, or choose another",
                        name, s->user.uid);
        else
                (void)wire_error(
                        call, WIRE_SERVERS_NAME_TAKEN, json_pack("{s:s}", "server", name),
                        "there is a forkserver '%s' already, of uid %u, which is %s: stop it, or choose "
                        "another name",
                        name, s->user.uid, named_state_to_string(named_state(n)));
        return true;
}

static bool refuse_name(Call *call, const char *name) {
        if (server_name_valid(name) || server_name_built_in(name))
                return false;
        (void)call_invalid_parameter(
                call, "name",
                "'%s' is no name for a forkserver: a letter, then letters, digits, '.', '_' and '-', at "
                "most %d",
                name, SERVER_NAME_MAX);
        return true;
}

/* One that there is: stopped or failed, it is started; starting, waited for; ready, it is what was
 * asked for. */
static int start_again(Daemon *d, Call *call, json_t *parameters, const char *name) {
        NamedServer *n = named_find(d->named, name);
        const char *key;
        json_t *value;
        int r;

        if (!n)
                return call_invalid_parameter(
                        call, "modules",
                        "there is no forkserver '%s' yet: 'modules' or 'command' say what a new one is; a new "
                        "servers/%s.conf is read when forkd reloads its configuration",
                        name, name);
        if (refuse_control(call, n))
                return 0;
        json_object_foreach (parameters, key, value)
                if (!streq(key, "name") && !json_is_null(value))
                        return call_invalid_parameter(
                                call, key,
                                "'%s' is for a new forkserver, which needs 'modules' or 'command'; '%s' has its own",
                                key, name);

        switch (named_state(n)) {
        case NAMED_READY:
                return reply_server(call, n);
        case NAMED_STOPPING:
                return wrong_state(call, n,
                                   "; it can be started again when its last job has ended");
        case NAMED_STARTING:
                break;
        default:
                r = named_start_again(n);
                if (r < 0)
                        return cannot_start(call, name, r);
        }
        return wait_for(d, call, n, named_wait_ready, on_server_ready);
}

static int start_new(Daemon *d, Call *call, ServerSettings *taken) {
        _cleanup_(server_settings_freep) ServerSettings *s = taken;
        _cleanup_(freep) char *name = strdup(s->name);
        uid_t uid = s->user.uid;
        NamedServer *n;
        int r;

        if (!name)
                return -ENOMEM;
        if (refuse_taken(call, named_find(d->named, name), name))
                return 0;
        r = named_start(d->named, steal(s), &n);
        if (r == NAMED_E_TAKEN)
                return wire_error(
                        call, WIRE_SERVERS_NAME_TAKEN, json_pack("{s:s}", "server", name),
                        "there is a forkserver '%s' already: stop it, or choose another name",
                        name);
        if (r == NAMED_E_LIMIT)
                return wire_error(
                        call, WIRE_SERVERS_LIMIT_REACHED, json_pack("{s:s}", "limit", "servers"),
                        "there are as many forkservers as there may be, %d, or half as many of uid %u: stop one",
                        NAMED_MAX, uid);
        if (r < 0)
                return cannot_start(call, name, r);
        return wait_for(d, call, n, named_wait_ready, on_server_ready);
}

static int method_start(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "name",
                                             "modules",
                                             "command",
                                             "arguments",
                                             "environment",
                                             "spare",
                                             "preloadTimeoutUSec",
                                             "hugePages",
                                             NULL };
        _cleanup_(server_settings_freep) ServerSettings *s = NULL;
        const Peer *peer = connection_peer(call_connection(call));
        Daemon *d = userdata;
        const char *name;
        int r;

        if (refuse_unknown(call, parameters, known))
                return 0;
        name = server_name_for_call(call, parameters);
        if (!name || refuse_name(call, name) || refuse_draining(d, call))
                return 0;

        r = server_settings_new(&s, name);
        if (r < 0)
                return r;
        s->origin = SERVER_FROM_REQUEST;
        if (server_settings_read_refused(call, parameters, s))
                return 0;
        if (!s->modules && !s->command)
                return server_name_built_in(name) ? (refuse_taken(call, NULL, name), 0)
                                                  : start_again(d, call, parameters, name);
        r = settings_set_user(s, peer);
        if (r < 0)
                return r;
        return start_new(d, call, steal(s));
}

/* ---- the others */

static int method_stop(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "name", "kill", NULL };
        Daemon *d = userdata;
        bool kill = false;
        NamedServer *n;

        if (refuse_unknown(call, parameters, known) ||
            bool_read_refused(call, parameters, "kill", &kill))
                return 0;
        n = named_for_call(d, call, parameters);
        if (!n)
                return 0;
        named_stop(n, kill);
        return wait_for(d, call, n, named_wait_stopped, on_server_stopped);
}

static int method_reload(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "name", NULL };
        Daemon *d = userdata;
        NamedServer *n;
        int r;

        if (refuse_unknown(call, parameters, known))
                return 0;
        n = named_for_call(d, call, parameters);
        if (!n || refuse_draining(d, call))
                return 0;
        if (named_state(n) == NAMED_STOPPED || named_state(n) == NAMED_STOPPING)
                return wrong_state(call, n, " and cannot be reloaded; it can be started");
        r = named_reload(n);
        if (r < 0)
                return cannot_start(call, named_settings(n)->name, r);
        return wait_for(d, call, n, named_wait_ready, on_server_ready);
}

static int method_scale(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "name", "spare", NULL };
        Daemon *d = userdata;
        int64_t spare = -1;
        NamedServer *n;

        if (refuse_unknown(call, parameters, known) ||
            int_read_refused(call, parameters, "spare", 0, SERVER_SPARE_MAX, &spare))
                return 0;
        if (spare < 0)
                return call_invalid_parameter(call, "spare",
                                              "Scale needs 'spare', how many spares are kept");
        n = named_for_call(d, call, parameters);
        if (!n)
                return 0;
        if (named_state(n) == NAMED_STOPPING)
                return wrong_state(call, n, " and keeps no spares");
        named_scale(n, (unsigned)spare);
        return reply_server(call, n);
}

static const Method servers_methods[] = {
        { "List", method_servers_list, 0, NULL },
        { "Show", method_servers_show, 0, NULL },
        { "Start", method_start, 0, NULL },
        { "Stop", method_stop, 0, NULL },
        { "Reload", method_reload, 0, NULL },
        { "Scale", method_scale, 0, NULL },
        { NULL, NULL, 0, NULL },
};

const Interface interface_servers = {
        .name = "org.forkd.servers",
        .description = varlink_org_forkd_servers,
        .methods = servers_methods,
};
