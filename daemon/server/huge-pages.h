/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a forkserver has preloaded, in huge pages: then a fork copies page tables of 2 MiB instead
 * of 4 KiB pages, and workers miss the TLB less. */

#include "basic.h"

/* Puts the private memory of this process into huge pages, mapping by mapping, where a mapping
 * holds a whole one: asks for them, and on Linux 6.1 and later waits until it is done. *ret_bytes:
 * how much is in huge pages now. 0, or -errno when nothing could be done although there was
 * something to do. */
int huge_pages_collapse(uint64_t *ret_bytes);
