/* SPDX-License-Identifier: Apache-2.0 */

/* preload-hangs: a module whose preload says that it begins and never ends. */

#include <forkd-module.h>

#include <stdio.h>
#include <unistd.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        fprintf(stderr, "preload-hangs: waiting for a server that is not there\n");
        while (pause() < 0)
                ;
        return 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "preload-hangs",
        .preload = preload,
        .entries = entries,
};
