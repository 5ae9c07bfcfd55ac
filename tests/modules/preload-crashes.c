/* SPDX-License-Identifier: Apache-2.0 */

/* preload-crashes: a module whose preload dies of SIGSEGV. */

#include <forkd-module.h>

#include <signal.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer's handler would make an exit of it */
        raise(SIGSEGV);
        return 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "preload-crashes",
        .preload = preload,
        .entries = entries,
};
