/* SPDX-License-Identifier: Apache-2.0 */

/* sigchld-ignored: a module whose preload has the kernel reap our workers. */

#include <forkd-module.h>

#include <errno.h>
#include <signal.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        return signal(SIGCHLD, SIG_IGN) == SIG_ERR ? -errno : 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "sigchld-ignored",
        .preload = preload,
        .entries = entries,
};
