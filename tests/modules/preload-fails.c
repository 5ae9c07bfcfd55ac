/* SPDX-License-Identifier: Apache-2.0 */

/* preload-fails: a module whose preload fails, with a word on standard error. */

#include <forkd-module.h>

#include <errno.h>
#include <stdio.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        fprintf(stderr, "preload-fails: there is no such model\n");
        return -ENOENT;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "preload-fails",
        .preload = preload,
        .entries = entries,
};
