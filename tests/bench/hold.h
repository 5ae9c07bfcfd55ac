/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Memory that a floor holds, so that it costs as much to fork as a forkserver of that size. */

#include <stdbool.h>
#include <stddef.h>

/* For the rest of the process's life; huge_pages: on huge pages, where there are any. 0 or a
 * negative errno. */
int hold(size_t bytes, bool huge_pages);
