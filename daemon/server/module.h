/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Modules that a process has preloaded, and their entries. Lives in hosts of modules: forkd itself
 * (whose twin serves them), forkd-server, and programs in forkd_serve(). */

#include "basic.h"
#include "forkd-module.h"

typedef struct ModuleSet ModuleSet;

enum {
        MODULES_E_FAILED = 1, /* *ret_reason says which module and why, in one sentence */
};

/* dlopen()s each (RTLD_NOW; a bare name is NAME.so in FORKD_MODULE_PATH, a colon list from the
 * environment, then in moduledir), checks the ABI, that entries exist and that no two modules have
 * an entry of the same name, and calls preload(). What a preload wrote to standard error still goes
 * there. names is NULL-terminated. */
int modules_load(ModuleSet **ret, char *const *names, char **ret_reason);
/* The same with that colon list from elsewhere; it may be NULL. */
int modules_load_from(ModuleSet **ret, char *const *names, const char *path, char **ret_reason);
/* Of a program that has initialised itself: its module (NULL: it has none, the set is empty), which
 * is checked and not preloaded, and the descriptors that it has declared so far. */
int modules_of_program(ModuleSet **ret, const ForkdModule *module, char **ret_reason);
ModuleSet *modules_free(ModuleSet *set); /* does not dlclose(): preloaded code may be anywhere */
static inline void modules_freep(ModuleSet **set) {
        modules_free(*set);
}
const ForkdEntry *modules_find(const ModuleSet *set, const char *entry,
                               const ForkdModule **ret_module);
size_t modules_count(const ModuleSet *set);
const ForkdModule *modules_get(const ModuleSet *set, size_t i);
/* Descriptors that modules declared. */
const int *modules_kept_fds(const ModuleSet *set, size_t *ret_n);

/* What forkd_module_arguments() returns from now on: FORKD_ARGUMENTS of the environment, {}
 * without. -EINVAL when that is no JSON object. */
int modules_read_arguments(void);

/* May this process fork user code? Exactly one thread, no descriptor open but 0-2 and those
 * declared, SIGCHLD and the others at their default. 0, or MODULES_E_FAILED with the culprit named
 * in *ret_reason: "thread 4711 'worker' is running", "descriptor 7 (/var/lib/x.db) is open and
 * undeclared", "SIGCHLD is ignored". SIGCHLD and SIGPIPE are reset to default first when a handler
 * was installed. */
int modules_check_safety(const int *declared_fds, size_t n, char **ret_reason);
