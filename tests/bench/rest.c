/* SPDX-License-Identifier: Apache-2.0 */
/* A module with one entry, `rest`: its worker waits, with everything that was preloaded beside it,
 * until bench-answer has looked at its memory. Lives in the twin, in forkservers and in workers. */

#include "forkd-module.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The writer's end of the FIFO is opened when the worker is looked at, and closed afterwards. */
static int rest(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *path = json_string_value(json_object_get(arguments, "path"));
        char byte;
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

        if (fd < 0)
                return forkd_call_fail(call, "CannotRest",
                                       "'path' names no FIFO that can be opened");
        while (read(fd, &byte, 1) > 0)
                ;
        close(fd);
        *ret_value = json_object();
        return *ret_value ? 0 : -ENOMEM;
}

static const ForkdEntry entries[] = {
        { "rest", rest, "wait until the other end of a FIFO is closed", "path=FIFO" },
        { 0 },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "rest",
        .entries = entries,
};
