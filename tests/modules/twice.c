/* SPDX-License-Identifier: Apache-2.0 */

/* twice: a module with an entry that misbehave has too. */

#include <forkd-module.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static const ForkdEntry entries[] = { { "echo", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "twice",
        .entries = entries,
};
