/* SPDX-License-Identifier: Apache-2.0 */

/* opensocket: a module whose preload leaves a connection open and undeclared. */

#include <forkd-module.h>

#include <errno.h>
#include <sys/socket.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        int pair[2];

        return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "opensocket",
        .preload = preload,
        .entries = entries,
};
