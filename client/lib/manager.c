/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.forkd.manager. Lives in clients. */

#include "connection.h"

#define MANAGER "org.forkd.manager."

int forkd_status(Forkd *f, json_t **ret_status) {
        const ForkdRequest request = { .method = MANAGER "Status" };
        Waiting w = { 0 };
        int r;

        r = call_wait(f, &request, &w);
        if (r == 0)
                *ret_status = steal(w.reply.parameters);
        forkd_reply_done(&w.reply);
        return r;
}

int forkd_reload(Forkd *f, json_t **ret_warnings) {
        const ForkdRequest request = { .method = MANAGER "Reload" };
        Waiting w = { 0 };
        json_t *warnings;
        int r;

        r = call_wait(f, &request, &w);
        if (r == 0) {
                warnings = json_object_get(w.reply.parameters, "warnings");
                *ret_warnings = json_is_array(warnings) ? json_incref(warnings) : json_array();
        }
        forkd_reply_done(&w.reply);
        return r;
}

typedef struct Draining {
        void (*on_left)(uint64_t running, uint64_t queued, void *userdata);
        void *userdata;
} Draining;

static int on_drain_reply(json_t *p, void *userdata) {
        const Draining *d = userdata;

        if (d->on_left)
                d->on_left((uint64_t)json_integer_value(json_object_get(p, "running")),
                           (uint64_t)json_integer_value(json_object_get(p, "queued")), d->userdata);
        return 0;
}

int forkd_drain(Forkd *f, bool wait,
                void (*on_left)(uint64_t running, uint64_t queued, void *userdata),
                void *userdata) {
        Draining d = { .on_left = on_left, .userdata = userdata };
        Waiting w = { .each = on_drain_reply, .userdata = &d, .timeout_usec = USEC_INFINITY };
        ForkdRequest request = {
                .method = MANAGER "Drain",
                .parameters = json_pack("{s:b}", "wait", wait),
                .flags = wait ? FORKD_CALL_MORE : 0,
        };
        int r;

        if (!request.parameters)
                return connection_fault(f, -ENOMEM, "out of memory");
        r = call_wait(f, &request, &w);
        json_decref(request.parameters);
        if (r == 0)
                (void)on_drain_reply(w.reply.parameters, &d);
        forkd_reply_done(&w.reply);
        return r;
}
