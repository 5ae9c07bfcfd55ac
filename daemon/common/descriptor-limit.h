/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Our own number of descriptors: raised to the hard limit in forkd and in forkservers, which hold
 * several a job; jobs get what we were started with. */

#include <sys/resource.h>

/* ret_before may be NULL. 0 or -errno. */
int descriptor_limit_raise(struct rlimit *ret_before);
