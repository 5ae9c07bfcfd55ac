/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The keeper's command line. */

#include "basic.h"

typedef struct Arguments {
        const char *forkd;   /* --forkd= */
        bool watchdog_given; /* --watchdog= */
        uint64_t watchdog_usec;
        char **argv;       /* of forkd; [0] is NULL until the path is known */
        char *forkd_found; /* owned */
} Arguments;

enum {
        ARGUMENTS_E_DONE = 1, /* --help and --version */
        ARGUMENTS_E_WRONG,    /* said so */
};

/* Prints the help, the version or what is wrong. 0, ARGUMENTS_E_* or -ENOMEM. */
int arguments_parse(int argc, char **argv, Arguments *ret);
void arguments_done(Arguments *a);
