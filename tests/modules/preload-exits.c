/* SPDX-License-Identifier: Apache-2.0 */

/* preload-exits: a module whose preload leaves the process, with a word on standard error. */

#include <forkd-module.h>

#include <stdio.h>
#include <stdlib.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        fprintf(stderr, "preload-exits: no licence\n");
        exit(3);
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "preload-exits",
        .preload = preload,
        .entries = entries,
};
