/* SPDX-License-Identifier: Apache-2.0 */

/* The methods of org.forkd.servers. Lives in clients. */

#include "connection.h"

#define SERVERS "org.forkd.servers."

/* Calls with parameters, whose reference it takes over; NULL means that there was no memory for
 * them. member: which one of the reply is wanted, NULL for all of them; ret may be NULL. */
static int servers_call(Forkd *f, const char *method, json_t *parameters, uint64_t timeout_usec,
                        const char *member, json_t **ret) {
        const ForkdRequest request = { .method = method, .parameters = parameters };
        Waiting w = { .timeout_usec = timeout_usec };
        json_t *wanted;
        int r;

        if (!parameters)
                return connection_fault(f, -ENOMEM, "out of memory");
        r = call_wait(f, &request, &w);
        json_decref(parameters);
        if (r == 0 && ret) {
                wanted = member ? json_object_get(w.reply.parameters, member) : w.reply.parameters;
                if (wanted)
                        *ret = json_incref(wanted);
                else
                        r = connection_fault(f, -EBADMSG,
                                             "forkd's answer to %s lacks what it should have",
                                             method);
        }
        forkd_reply_done(&w.reply);
        return r;
}

int forkd_servers_list(Forkd *f, json_t **ret_servers) {
        return servers_call(f, SERVERS "List", json_object(), 0, "servers", ret_servers);
}

int forkd_servers_show(Forkd *f, const char *name, json_t **ret_reply) {
        return servers_call(f, SERVERS "Show", json_pack("{s:s}", "name", name), 0, NULL,
                            ret_reply);
}

int forkd_servers_start(Forkd *f, json_t *parameters, json_t **ret_server) {
        return servers_call(f, SERVERS "Start", json_incref(parameters), USEC_INFINITY, "server",
                            ret_server);
}

int forkd_servers_stop(Forkd *f, const char *name, bool kill) {
        json_t *p = kill ? json_pack("{s:s, s:b}", "name", name, "kill", 1)
                         : json_pack("{s:s}", "name", name);

        return servers_call(f, SERVERS "Stop", p, USEC_INFINITY, NULL, NULL);
}

int forkd_servers_reload(Forkd *f, const char *name, json_t **ret_server) {
        return servers_call(f, SERVERS "Reload", json_pack("{s:s}", "name", name), USEC_INFINITY,
                            "server", ret_server);
}

int forkd_servers_scale(Forkd *f, const char *name, unsigned spare, json_t **ret_server) {
        return servers_call(f, SERVERS "Scale",
                            json_pack("{s:s, s:i}", "name", name, "spare", (int)spare), 0, "server",
                            ret_server);
}
