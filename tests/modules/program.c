/* SPDX-License-Identifier: Apache-2.0 */

/* program: a program under forkd_serve(), which does before it what its arguments say, one word
 * each:
 *
 *     module     offers a module instead of itself
 *     thread     leaves a thread
 *     leak       leaves a descriptor open
 *     keep       … and declares it
 *     bad        offers a module without a name
 *
 * As "main" it writes what it knows and ends with the status that is its first argument. */

#include <forkd-serve.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int the_preloads;

static int preload(void) {
        the_preloads++;
        return 0;
}

static int count(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        *ret_value = json_pack("{si}", "preloads", the_preloads);
        return 0;
}

static const ForkdEntry entries[] = { { "count", count, "how often preload was called", "" },
                                      { 0 } };
static const ForkdModule module = { FORKD_MODULE_ABI, "program", preload, NULL, NULL, entries };
static const ForkdModule bad = { .abi = FORKD_MODULE_ABI, .entries = entries };

static void before(void) {
        printf("before\n");
}

static void after(void) {
        printf("after\n");
}

static void *run(void *userdata) {
        for (;;)
                pause();
        return userdata;
}

static const ForkdModule *prepare(const char *word, int *ret_kept) {
        pthread_t thread;

        if (strcmp(word, "module") == 0)
                return &module;
        if (strcmp(word, "bad") == 0)
                return &bad;
        if (strcmp(word, "thread") == 0 && pthread_create(&thread, NULL, run, NULL) != 0)
                abort();
        if (strcmp(word, "leak") == 0 || strcmp(word, "keep") == 0)
                *ret_kept = open("/dev/full", O_WRONLY | O_CLOEXEC);
        if (strcmp(word, "keep") == 0)
                forkd_module_keep_fd(*ret_kept);
        return NULL;
}

int main(int argc, char **argv) {
        const ForkdModule *offered = NULL;
        int r, kept = -1;

        for (int i = 1; i < argc; i++)
                offered = prepare(argv[i], &kept) ?: offered;
        atexit(before);
        printf("initialised\n"); /* unflushed */

        r = forkd_serve(offered, &argc, &argv);

        atexit(after);
        printf("%s %d", r == FORKD_SERVE_WORKER ? "worker" : "alone", argc);
        for (int i = 1; i < argc; i++)
                printf(" %s", argv[i]);
        printf(" %s %d %s\n", argv[argc] ? "unended" : "ended",
               kept >= 0 && fcntl(kept, F_GETFD) >= 0,
               json_string_value(json_object_get(forkd_module_arguments(), "model")) ?: "none");
        return argc > 1 && r == FORKD_SERVE_WORKER ? atoi(argv[1]) : 0;
}
