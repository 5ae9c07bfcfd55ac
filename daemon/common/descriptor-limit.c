/* SPDX-License-Identifier: Apache-2.0 */

/* The limit of descriptors of this process; see setrlimit(2). */

#include "descriptor-limit.h"

#include "basic.h"

int descriptor_limit_raise(struct rlimit *ret_before) {
        struct rlimit before, raised;

        if (getrlimit(RLIMIT_NOFILE, &before) < 0)
                return -errno;
        raised = before;
        raised.rlim_cur = before.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
                return -errno;
        if (ret_before)
                *ret_before = before;
        return 0;
}
