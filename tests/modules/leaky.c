/* SPDX-License-Identifier: Apache-2.0 */

/* leaky: a module whose preload leaves a descriptor open and undeclared. */

#include <forkd-module.h>

#include <errno.h>
#include <fcntl.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        return open("/dev/full", O_RDONLY | O_CLOEXEC) < 0 ? -errno : 0;
}

static const ForkdEntry entries[] = { { "leak", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "leaky",
        .preload = preload,
        .entries = entries,
};
