/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A keeper and a daemon of the benchmark's own, in a directory of their own. */

#include "bench.h"

typedef struct PrivateDaemon PrivateDaemon;

/* Where the build's programs and modules are. */
typedef struct Programs {
        const char *keeper, *forkd, *spawner, *server, *forkctl;
        const char *modules; /* directories, as in FORKD_MODULE_PATH */
        const char *true_nolibc, *fork_floor, *peers;
} Programs;

/* Paths in the build folder, which are never freed. 0, or -errno when there is no such folder. */
int programs_find(Programs *ret, const char *build);

/* preload: what Module= says. Returns when the daemon is ready (it says so by sd_notify);
 * -ETIMEDOUT when it is not within 10 s. */
int private_daemon_new(PrivateDaemon **ret, const Programs *programs, const char *preload);
PrivateDaemon *private_daemon_free(PrivateDaemon *daemon); /* stops it and removes the directory */
static inline void private_daemon_freep(PrivateDaemon **d) {
        private_daemon_free(*d);
}
const char *private_daemon_address(const PrivateDaemon *daemon);
const char *private_daemon_directory(const PrivateDaemon *daemon);
pid_t private_daemon_pid(const PrivateDaemon *daemon); /* the keeper's */
