/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a forkserver tells forkd: the parameters of its packets. A new reference each, or NULL when
 * memory is short. */

#include "forked.h"
#include "serve.h"

/* Looks at the process for what would make forking unsafe. 0 or -errno. */
int report_ready(const ServeOptions *options, json_t **ret);
json_t *report_running(json_t *epoch, Forked *attempts); /* epoch is borrowed, may be NULL */
json_t *report_started(const Forked *a);
json_t *report_exited(const Forked *a);
json_t *report_failed(const ForkedKey *key, const ChildReport *failure);
