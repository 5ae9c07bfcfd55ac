/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A forkd module: a shared object that is preloaded once and whose entries then run in forked
 * workers. It exports one symbol, `forkd_module`. See forkd-module(7). */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FORKD_MODULE_ABI 1

/* One running call of an entry; belongs to the host, valid while the entry runs. */
typedef struct ForkdCall ForkdCall;

/* Runs in a worker. arguments is a JSON object, borrowed. On success returns 0 and sets *ret_value
 * to a new reference of a JSON object (NULL: {}; another value becomes {"value": …}). A negative
 * errno is an error of the entry too (code "ENOENT" and so on, text strerror()); better is `return
 * forkd_call_fail(call, "NotFound", "no such word");`. */
typedef int (*ForkdFunction)(ForkdCall *call, json_t *arguments, json_t **ret_value);

typedef struct ForkdEntry {
        const char *name; /* [A-Za-z][A-Za-z0-9_-]*, at most 63 bytes; NULL ends the list */
        ForkdFunction function;
        const char *help;      /* one line: what it does */
        const char *arguments; /* one line: what it takes, "path=FILE | text=TEXT" */
} ForkdEntry;

typedef struct ForkdModule {
        uint32_t abi; /* FORKD_MODULE_ABI */
        const char *name;
        /* Once, before any worker: load what workers shall share. 0 or a negative errno; what was
         * missing it says on standard error, which is the host's log. May be NULL. Must not leave
         * threads, and no open descriptor that it has not declared with forkd_module_keep_fd(). */
        int (*preload)(void);
        /* In each worker, before and after its calls. May be NULL. */
        int (*worker_start)(void);
        void (*worker_stop)(void);
        const ForkdEntry *entries;
} ForkdModule;

/* Defined by the module: `const ForkdModule forkd_module = { … };` */
extern const ForkdModule forkd_module;

/* Ends the call with an error of the entry: code is a short word, text a sentence. Returns
 * -ECANCELED, to be passed on. */
int forkd_call_fail(ForkdCall *call, const char *code, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* Tells the caller how far it is; value is borrowed. 0 or a negative errno. */
int forkd_call_progress(ForkdCall *call, json_t *value);
/* True once the caller has cancelled or the deadline has passed. Cheap enough for an inner loop. */
bool forkd_call_cancelled(ForkdCall *call);
/* In preload, or in a program before forkd_serve(): this descriptor stays open in workers. */
void forkd_module_keep_fd(int fd);
/* The object that Arguments= of the forkserver, or servers.Start, has given; {} without. Borrowed,
 * and the same in preload and in workers. */
const json_t *forkd_module_arguments(void);

#ifdef __cplusplus
}
#endif
