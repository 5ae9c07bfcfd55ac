/* SPDX-License-Identifier: Apache-2.0 */

/* worker-start-crashes: a module that preloads well and whose workers die at their start. */

#include <forkd-module.h>

#include <signal.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int worker_start(void) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make an exit of it */
        raise(SIGSEGV);
        return 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "worker-start-crashes",
        .worker_start = worker_start,
        .entries = entries,
};
