/* SPDX-License-Identifier: Apache-2.0 */

/* noentries: a module that offers nothing. */

#include <forkd-module.h>

static const ForkdEntry entries[] = { { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "noentries",
        .entries = entries,
};
