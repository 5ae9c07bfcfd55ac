/* SPDX-License-Identifier: Apache-2.0 */

/* closes-streams: a module whose preload makes a daemon of its process, as some libraries do. */

#include <forkd-module.h>

#include <unistd.h>

static int say(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        *ret_value = json_pack("{si}", "written", (int)write(STDOUT_FILENO, "said", 4));
        return 0;
}

static int preload(void) {
        close(STDIN_FILENO);
        close(STDOUT_FILENO);
        return 0;
}

static const ForkdEntry entries[] = { { "say", say, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "closes-streams",
        .preload = preload,
        .entries = entries,
};
