/* SPDX-License-Identifier: Apache-2.0 */
/* A module that holds as much memory as its arguments say ({"bytes": N}; none without), with an
 * entry that answers at once: a forkserver of any size, for bench-server. Lives in forkservers and
 * their workers. */

#include "forkd-module.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* volatile: else a compiler may see that nobody reads it, and hold nothing */
static char *volatile ballast;

static int preload(void) {
        json_int_t bytes = json_integer_value(json_object_get(forkd_module_arguments(), "bytes"));

        if (bytes <= 0)
                return 0;
        ballast = malloc((size_t)bytes);
        if (!ballast)
                return -ENOMEM;
        memset(ballast, 1, (size_t)bytes);
        return 0;
}

static int answer(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t n = json_integer_value(json_object_get(arguments, "n")), product = 1;

        if (n < 0 || n > 20)
                return forkd_call_fail(call, "TooLarge", "'n' is from 0 to 20");
        for (json_int_t i = 2; i <= n; i++)
                product *= i;
        *ret_value = json_pack("{s:I}", "value", product);
        return *ret_value ? 0 : -ENOMEM;
}

static const ForkdEntry entries[] = {
        { "answer", answer, "the factorial of n", "n=NUMBER" },
        { 0 },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "ballast",
        .preload = preload,
        .entries = entries,
};
