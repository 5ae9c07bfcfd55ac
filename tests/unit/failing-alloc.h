/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An allocator that fails when told: linked with --wrap, so that it stands between the program's
 * own code (not its shared libraries) and the C library. */

#include "basic.h"

/* The n-th allocation from now on fails, counted from 0; the others succeed. */
void alloc_fail_at(size_t n);
/* No allocation fails any more. True when one did since alloc_fail_at(). */
bool alloc_failed(void);
