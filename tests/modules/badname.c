/* SPDX-License-Identifier: Apache-2.0 */

/* badname: a module with a name of an entry that is none. */

#include <forkd-module.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static const ForkdEntry entries[] = { { "no name", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "badname",
        .entries = entries,
};
