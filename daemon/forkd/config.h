/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* forkd.conf(5): the keys, their defaults and what they mean stand in one table in config.c. */

#include "basic.h"

#define CONFIG_RUNNING_MAX  10000 /* the most that MaxRunning= takes */
#define CONFIG_ATTACHED_MAX 10000 /* the most that MaxAttached= takes */

typedef struct Config {
        char **modules; /* Module=, NULL-terminated */
        unsigned max_running;
        unsigned max_attached;
        unsigned queue_max;
        unsigned keep_finished;
        uint64_t output_max;    /* bytes */
        uint64_t drain_timeout; /* µs */
        bool log_to_journal;    /* where output of durable jobs goes */
        char **warnings;        /* what was ignored, "FILE:LINE: sentence", NULL-terminated */
} Config;

/* Reads forkd.conf and its drop-ins from dirs. Bad lines become warnings (and log lines); only a
 * file that cannot be read, or no memory, is an error. */
int config_load(Config **ret, char *const *dirs);
Config *config_free(Config *c);
static inline void config_freep(Config **c) {
        config_free(*c);
}
