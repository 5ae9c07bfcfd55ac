/* SPDX-License-Identifier: Apache-2.0 */

/* badabi: a module of another version of the interface. */

#include <forkd-module.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI + 1,
        .name = "badabi",
        .entries = entries,
};
