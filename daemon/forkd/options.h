/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* forkd's command line. */

#include "paths.h"

typedef struct Options {
        PathMode mode;
        const char *runtime, *state, *config; /* NULL: not given */
        bool debug;
        bool check; /* read the configuration, load the modules, and leave */
        char *const
                *twin; /* internal: serve these modules on $FORKD_CHANNEL as a new twin; NULL: no */
} Options;

enum {
        OPTIONS_E_EXIT = 1, /* help or version was printed */
};

/* 0, OPTIONS_E_EXIT, or -EINVAL after a message on standard error. */
int options_parse(Options *ret, int argc, char *const *argv);
