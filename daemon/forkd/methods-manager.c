/* SPDX-License-Identifier: Apache-2.0 */

/* org.forkd.manager: the daemon itself; in forkd. */

#include "methods.h"

#include "interfaces.h"

static const char *const no_parameters[] = { NULL };

static void write_warnings(JsonText *t, const Daemon *d) {
        json_text_open(t, "warnings", '[');
        for (char **w = d->config->warnings; w && *w; w++)
                json_text_string(t, NULL, *w);
        json_text_close(t, ']');
}

static int method_status(Call *call, json_t *parameters, void *userdata) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const Daemon *d = userdata;
        char cgroups[160] = "one cgroup per attempt";

        if (refuse_unknown(call, parameters, no_parameters))
                return 0;

        json_text_open(&t, NULL, '{');
        json_text_string(&t, "version", FORKD_VERSION);
        json_text_int(&t, "pid", getpid());
        if (d->keeper)
                json_text_int(&t, "keeperPid", keeper_link_pid(d->keeper));
        json_text_string(&t, "mode", d->paths->system ? "system" : "user");
        json_text_string(&t, "address", d->paths->socket);
        json_text_string(&t, "stateDirectory", d->paths->state);
        json_text_bool(&t, "draining", d->draining);
        json_text_int(&t, "startedAtUSec", (int64_t)d->started_at);
        if (!d->cgroups)
                snprintf(cgroups, sizeof(cgroups),
                         "none (%s): jobs are ended as far as their session reaches",
                         cgroup_error_string(d->cgroup_error));
        json_text_string(&t, "cgroups", cgroups);
        json_text_int(&t, "clients", (int64_t)service_n_connections(d->service));
        json_text_int(&t, "queued", (int64_t)d->n_states[JOB_QUEUED]);
        json_text_int(&t, "running",
                      (int64_t)(d->n_states[JOB_STARTING] + d->n_states[JOB_RUNNING] +
                                d->n_states[JOB_STOPPING]));
        json_text_int(&t, "attached", (int64_t)d->n_attached);
        json_text_int(&t, "paused", (int64_t)d->n_states[JOB_PAUSED]);
        json_text_int(&t, "parked", (int64_t)d->n_states[JOB_PARKED]);
        json_text_int(&t, "finished", (int64_t)d->n_states[JOB_FINISHED]);
        json_text_int(&t, "maxRunning", d->config->max_running);
        json_text_int(&t, "maxAttached", d->config->max_attached);
        json_text_int(&t, "queueMax", d->config->queue_max);
        json_text_int(&t, "totalStarted", (int64_t)d->total_started);
        json_text_int(&t, "totalFinished", (int64_t)d->total_finished);
        write_warnings(&t, d);
        server_set_write(d->servers, &t, "servers");
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        return call_reply_text(call, t.text, t.length, false);
}

/* Who may tell the daemon itself what to do. */
static bool refuse_stranger(Call *call) {
        const Peer *peer = connection_peer(call_connection(call));

        if (peer->uid == 0 || peer->uid == geteuid())
                return false;
        (void)call_permission_denied(call, "only root and uid %u may do this", geteuid());
        return true;
}

static int method_reload(Call *call, json_t *parameters, void *userdata) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        Daemon *d = userdata;
        int r;

        if (refuse_unknown(call, parameters, no_parameters) || refuse_stranger(call))
                return 0;
        r = daemon_reload(d);
        if (r == -ESHUTDOWN)
                return wire_error(call, WIRE_MANAGER_DRAINING, NULL,
                                  "forkd is stopping and does not read its configuration again");
        if (r < 0)
                return wire_error(call, WIRE_RELOAD_FAILED, NULL,
                                  "the configuration could not be read and stays as it was: %s",
                                  strerror(-r));
        json_text_open(&t, NULL, '{');
        write_warnings(&t, d);
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        return call_reply_text(call, t.text, t.length, false);
}

static void on_drain_gone(Call *call, void *userdata) {
        Daemon *d = userdata;

        for (size_t i = 0; i < d->n_drain_calls; i++)
                if (d->drain_calls[i] == call) {
                        d->drain_calls[i] = d->drain_calls[--d->n_drain_calls];
                        return;
                }
}

static int method_drain(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "wait", NULL };
        Daemon *d = userdata;
        bool wait = true;
        Call **calls;
        char text[96];

        if (refuse_unknown(call, parameters, known) || refuse_stranger(call) ||
            bool_read_refused(call, parameters, "wait", &wait))
                return 0;

        calls = realloc(d->drain_calls, (d->n_drain_calls + 1) * sizeof(*calls));
        if (!calls)
                return -ENOMEM;
        d->drain_calls = calls;

        daemon_drain(d);
        if (!wait)
                return call_reply_text(call, text, (size_t)daemon_drain_text(d, text, sizeof(text)),
                                       false);
        if (call_wants_more(call))
                (void)call_reply_text(call, text, (size_t)daemon_drain_text(d, text, sizeof(text)),
                                      true);
        call_set_gone(call, on_drain_gone, d);
        d->drain_calls[d->n_drain_calls++] = call;
        daemon_check_drained(d);
        return 0;
}

static int method_subscribe(Call *call, json_t *parameters, void *userdata) {
        Daemon *d = userdata;

        if (refuse_unknown(call, parameters, no_parameters))
                return 0;
        return watch_subscribe(d->watch, call);
}

static const Method manager_methods[] = {
        { "Status", method_status, 0, NULL },
        { "Reload", method_reload, 0, NULL },
        { "Drain", method_drain, 0, NULL },
        { "Subscribe", method_subscribe, METHOD_MORE_REQUIRED, NULL },
        { NULL, NULL, 0, NULL },
};

const Interface interface_manager = {
        .name = "org.forkd.manager",
        .description = varlink_org_forkd_manager,
        .methods = manager_methods,
};
