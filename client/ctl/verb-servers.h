/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of `forkctl servers`. Each returns 0 or an exit status, having complained. */

#include "verb.h"

/* What has become of it, in one line or as JSON; takes server over. */
int servers_report(const Ctl *ctl, json_t *server);
/* --spare=, which was given. */
int servers_read_spare(const Ctl *ctl, int64_t *ret);

/* verb-servers-start.c */
int servers_start(Ctl *ctl, const char *name);

/* verb-servers-show.c: what is known of forkservers, for people. */
int servers_print_list(const Ctl *ctl, const json_t *servers);
int servers_print(const Ctl *ctl, const json_t *reply);
