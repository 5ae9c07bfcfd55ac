/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Makes a program a forkserver: one line after its initialisation. See forkd_serve(3). */

#include "forkd-module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What forkd_serve() returns. */
enum {
        FORKD_SERVE_ALONE = 0,  /* not started by forkd: the program goes on as ever */
        FORKD_SERVE_WORKER = 1, /* this is a worker: the program goes on as the job */
};

/* To be called once, when all that workers shall share is there, and while the process has one
 * thread.
 *
 * Started by hand, it returns FORKD_SERVE_ALONE and has done nothing.
 *
 * Started by forkd, it serves until forkd lets go and then ends the process by _exit(); if forking
 * would be unsafe (another thread, an undeclared descriptor, SIGCHLD ignored) it tells forkd so,
 * naming the culprit, and exits with status 1.
 *
 * module: what the program offers, as a module would; its preload is not called. Workers then run
 * entries and end; forkd_serve() does not return in them.
 *
 * With module NULL the program itself is the entry, named "main": in each worker forkd_serve()
 * returns FORKD_SERVE_WORKER, with standard streams, environment, directory, limits as the job has
 * them, and *argc and *argv (either may be NULL) replaced by the job's: the program's name and the
 * texts of "argv" in the job's arguments. The worker's exit status is the job's; exit() runs the
 * handlers that were registered after forkd_serve() returned and none from before. */
int forkd_serve(const ForkdModule *module, int *argc, char ***argv);

#ifdef __cplusplus
}
#endif
