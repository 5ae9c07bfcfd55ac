/* SPDX-License-Identifier: Apache-2.0 */

/* The module of the flow suite: preloaded by forkd, its entry `work {"argv": [WORD, ARGUMENT…]}`
 * does in a worker of method fork what the command `work` does in one of method spawn. preload()
 * appends a line to the file named by $FORKD_TEST_COUNT, so that the suite, not forkd, counts
 * preloads. */

#include "behave.h"
#include "forkd-module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS_MAX 16

static int flow_preload(void) {
        const char *path = getenv("FORKD_TEST_COUNT");
        int fd, r = 0;

        if (!path)
                return 0;
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (fd < 0)
                return -errno;
        if (write(fd, "preload\n", 8) != 8)
                r = -EIO;
        close(fd);
        return r;
}

static int entry_work(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_t *words = json_object_get(arguments, "argv");
        char *argv[WORDS_MAX + 1] = { NULL };
        size_t n = json_array_size(words);
        int status;

        if (n == 0 || n > WORDS_MAX)
                return forkd_call_fail(call, "Usage", "argv has %zu words, 1 to %d work", n,
                                       WORDS_MAX);
        for (size_t i = 0; i < n; i++) {
                argv[i] = (char *)json_string_value(json_array_get(words, i));
                if (!argv[i])
                        return forkd_call_fail(call, "Usage", "argv[%zu] is no string", i);
        }

        status = behave((int)n, argv);
        if (status != 0)
                return forkd_call_fail(call, "Status", "%s ended with status %d", argv[0], status);
        *ret_value = json_pack("{s:s}", "word", argv[0]);
        return *ret_value ? 0 : -ENOMEM;
}

static int entry_echo(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        *ret_value = json_incref(arguments);
        return 0;
}

/* Leaves a mark in the worker's memory and says what it found: two jobs must not see each other. */
static int entry_stain(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        static int stains;

        (void)call;
        (void)arguments;
        *ret_value = json_pack("{s:i,s:i}", "found", stains, "random", (int)random());
        stains++;
        return *ret_value ? 0 : -ENOMEM;
}

static int entry_fail(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const char *code = json_string_value(json_object_get(arguments, "code"));
        const char *text = json_string_value(json_object_get(arguments, "text"));

        (void)ret_value;
        return forkd_call_fail(call, code ? code : "Failed", "%s", text ? text : "told to fail");
}

/* Looks for its cancellation and for nothing else. */
static int entry_patient(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)arguments;
        while (!forkd_call_cancelled(call))
                usleep(1000);
        *ret_value = json_pack("{s:b}", "cancelled", 1);
        return *ret_value ? 0 : -ENOMEM;
}

static int entry_advance(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        json_int_t n = json_integer_value(json_object_get(arguments, "n"));

        for (json_int_t i = 0; i < n; i++) {
                json_t *value = json_pack("{s:I}", "done", i);
                int r = forkd_call_progress(call, value);

                json_decref(value);
                if (r < 0)
                        return r;
        }
        *ret_value = json_pack("{s:I}", "n", n);
        return 0;
}

static const ForkdEntry entries[] = {
        { "work", entry_work, "does what it is told", "argv=[WORD, ARGUMENT…]" },
        { "advance", entry_advance, "tells n times how far it is, then returns n", "n=N" },
        { "mirror", entry_echo, "returns its arguments", "anything" },
        { "stain", entry_stain, "says whether another job was here", "" },
        { "complain", entry_fail, "fails", "code=WORD text=TEXT" },
        { "patient", entry_patient, "waits until it is cancelled", "" },
        { NULL, NULL, NULL, NULL },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "flow",
        .preload = flow_preload,
        .entries = entries,
};
