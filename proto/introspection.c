/* SPDX-License-Identifier: Apache-2.0 */

/* org.varlink.service: what every service says of itself. Its methods are those of any interface,
 * but that their userdata is the service. Constant; lives in the daemon. */

#include "interfaces.h"
#include "service-private.h"

static int method_get_info(Call *call, json_t *parameters, void *userdata) {
        const Service *service = userdata;
        const ServiceInfo *info = service->info;
        json_t *interfaces, *reply = NULL;
        const char *key;
        json_t *value;
        int r = -ENOMEM;

        json_object_foreach (parameters, key, value)
                return call_invalid_parameter(call, key, "GetInfo has no parameters");

        interfaces = json_pack("[s]", service_interface.name);
        for (size_t i = 0; interfaces && service->interfaces[i]; i++)
                if (json_array_append_new(interfaces, json_string(service->interfaces[i]->name)) <
                    0)
                        goto finish;

        reply = json_pack("{ss ss ss ss sO*}", "vendor", info->vendor, "product", info->product,
                          "version", info->version, "url", info->url, "interfaces", interfaces);
        if (interfaces && reply)
                r = call_reply(call, reply, false);

finish:
        json_decref(reply);
        json_decref(interfaces);
        return r;
}

static int method_get_interface_description(Call *call, json_t *parameters, void *userdata) {
        const char *key, *name;
        const Interface *interface;
        json_t *value, *reply;
        int r;

        json_object_foreach (parameters, key, value)
                if (!streq(key, "interface"))
                        return call_invalid_parameter(
                                call, key, "GetInterfaceDescription has one parameter, interface");
        name = json_string_value(json_object_get(parameters, "interface"));
        if (!name)
                return call_invalid_parameter(call, "interface",
                                              "interface is the name of one, a string");

        interface = service_find_interface(userdata, name, strlen(name));
        if (interface)
                reply = json_pack("{ss}", "description", interface->description);
        else
                reply = json_pack("{ss}", "interface", name);
        if (!reply)
                return -ENOMEM;

        r = interface ? call_reply(call, reply, false)
                      : call_error(call, "org.varlink.service.InterfaceNotFound", reply);
        json_decref(reply);
        return r;
}

static const Method methods[] = {
        { "GetInfo", method_get_info, 0, NULL },
        { "GetInterfaceDescription", method_get_interface_description, 0, NULL },
        { 0 },
};

const Interface service_interface = {
        .name = "org.varlink.service",
        .description = varlink_org_varlink_service,
        .methods = methods,
};
