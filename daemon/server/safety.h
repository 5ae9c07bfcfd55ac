/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What would make forking user code unsafe, as Ready reports it. */

#include "basic.h"

#include <jansson.h>

/* {"threads": 1, "descriptors": ["7 (/var/lib/x.db)"], "signals": ["SIGCHLD is ignored"]}, and
 * *ret_culprit the first of it as a sentence, or NULL when all is well. Either may be NULL. */
int safety_look(const int *declared, size_t n, json_t **ret, char **ret_culprit);
