/* SPDX-License-Identifier: Apache-2.0 */

/* No module: a library that registers a handler for fork() as it is loaded. */

#include <pthread.h>
#include <stdlib.h>

static void child(void) {
        setenv("TEST_ATFORK", "child", 1);
}

__attribute__((constructor)) static void init(void) {
        (void)pthread_atfork(NULL, NULL, child);
}
