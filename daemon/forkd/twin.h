/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The twin: a copy of forkd, made right after forkd preloaded its own modules. */

#include "server.h"

/* Preloads modules (NULL-terminated, at least one), checks that forking is safe, and forks the
 * twin. Sentences go to the log. known_fds are forkd's own descriptors that are open by now: the
 * twin closes them. */
int twin_start(char *const *modules, const int *known_fds, size_t n_known, Server **ret);
/* A new process that replaces a twin that died: preloads once more and serves. Returns an exit
 * status. */
int twin_main(char *const *modules);
