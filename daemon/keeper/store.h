/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The descriptors that outlive forkd, by name. */

#include "basic.h"

#define STORE_MAX 1024

typedef struct Store Store;

int store_new(Store **ret);
Store *store_free(Store *store); /* closes all */
static inline void store_freep(Store **s) {
        store_free(*s);
}

/* Takes fd over, success or not. A name that is there gets the new descriptor. -ENOSPC above
 * STORE_MAX, -EINVAL without a name. */
int store_put(Store *store, const char *name, int fd);
/* -ENOENT when there is none. */
int store_drop(Store *store, const char *name);
void store_drop_all(Store *store);
size_t store_count(const Store *store);

/* Handing over: after store_rewind() each descriptor comes once, also when others come and go in
 * between. *ret_name and *ret_fd are borrowed. The next is the same until it is marked as handed
 * over. */
void store_rewind(Store *store);
bool store_next(Store *store, const char **ret_name, int *ret_fd);
void store_mark(Store *store);
