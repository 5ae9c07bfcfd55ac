/* SPDX-License-Identifier: Apache-2.0 */

/* journal-cached: a module whose preload leaves a socket like that of sd_journal_send(3), which its
 * library keeps for ever. */

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
        return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 ? -errno : 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "journal-cached",
        .preload = preload,
        .entries = entries,
};
