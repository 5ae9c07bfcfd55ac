/* SPDX-License-Identifier: Apache-2.0 */

/* syslog-cached: a module whose preload logs to syslog, so that the C library keeps the socket.
 * With FORKD_TEST_CLOSELOG in its environment it does what the refusal says would work. It wants a
 * /dev/log that somebody listens on. */

#include <forkd-module.h>

#include <stdlib.h>
#include <syslog.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static int preload(void) {
        openlog("syslog-cached", LOG_NDELAY, LOG_USER);
        syslog(LOG_INFO, "preloaded");
        if (getenv("FORKD_TEST_CLOSELOG"))
                closelog();
        return 0;
}

static const ForkdEntry entries[] = { { "nothing", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "syslog-cached",
        .preload = preload,
        .entries = entries,
};
