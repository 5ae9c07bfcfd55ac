/* SPDX-License-Identifier: Apache-2.0 */

/* threaded: a module whose preload leaves a thread. */

#include <forkd-module.h>

#include <pthread.h>
#include <unistd.h>

static int nothing(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        (void)ret_value;
        return 0;
}

static void *run(void *userdata) {
        for (;;)
                pause();
        return userdata;
}

static int preload(void) {
        pthread_t thread;
        int r = pthread_create(&thread, NULL, run, NULL);

        if (r == 0)
                pthread_setname_np(thread, "left-behind");
        return -r;
}

static const ForkdEntry entries[] = { { "idle", nothing, "", "" }, { 0 } };

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "threaded",
        .preload = preload,
        .entries = entries,
};
