/* SPDX-License-Identifier: Apache-2.0 */

/* No module: a library for LD_PRELOAD that wants to see every fork(). */

#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

pid_t fork(void) {
        pid_t (*next)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
        pid_t pid = next();

        if (pid == 0)
                setenv("TEST_FORK", "seen", 1);
        return pid;
}
