/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where things are: system mode (uid 0, or --system) or user mode (--user). The daemon, the keeper
 * and libforkd agree by this file. Environment: RUNTIME_DIRECTORY, STATE_DIRECTORY and
 * CONFIGURATION_DIRECTORY as systemd.exec(5) sets them (the first of a colon list counts);
 * XDG_RUNTIME_DIR, XDG_STATE_HOME, XDG_CONFIG_HOME, HOME. */

#include "basic.h"

typedef enum PathMode {
        PATH_MODE_AUTO, /* system as uid 0, else user */
        PATH_MODE_SYSTEM,
        PATH_MODE_USER,
} PathMode;

typedef struct Paths {
        bool system;
        char *runtime; /* /run/forkd, $XDG_RUNTIME_DIR/forkd; the socket is RUNTIME/org.forkd */
        char *state;   /* /var/lib/forkd, $XDG_STATE_HOME/forkd (~/.local/state/forkd) */
        char **config; /* highest priority first, NULL-terminated: /run/forkd /etc/forkd
                        * /usr/lib/forkd; $XDG_CONFIG_HOME/forkd first in user mode; just one with
                        * an override */
        char *socket;  /* RUNTIME/org.forkd */
} Paths;

/* Overrides may be NULL; they win over the environment. -ENOENT when no runtime directory is known
 * (user mode without XDG_RUNTIME_DIR). */
int paths_new(Paths **ret, PathMode mode, const char *runtime, const char *state,
              const char *config);
Paths *paths_free(Paths *p);
static inline void paths_freep(Paths **p) {
        paths_free(*p);
}

/* The path of one of our own programs ("forkd-spawner"): in $FORKD_LIBEXEC_DIR, beside
 * /proc/self/exe, in the sibling folder of the build tree ("forkd-x" in x), then in libexecdir.
 * -ENOENT when it is nowhere. */
int paths_find_helper(const char *name, char **ret);
/* mkdir -p for the last three components (~/.local/state/forkd) with mode, the last one owned by
 * us; -ENOENT: more are missing, which is rather a mistyped path, -EPERM: it is somebody else's,
 * -ENOTDIR … */
int paths_make_directory(const char *path, unsigned mode);
