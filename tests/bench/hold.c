/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps nothing but the memory itself; lives in the floors' processes. */

#include "hold.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE ((size_t)2 << 20)

int hold(size_t bytes, bool huge_pages) {
        char *memory;

        if (bytes == 0)
                return 0;
        memory = mmap(NULL, bytes + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
        if (memory == MAP_FAILED)
                return -errno;
        memory = (char *)(((uintptr_t)memory + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
        /* a kernel without huge pages is fine: the floor is then what it can do */
        (void)madvise(memory, bytes, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        memset(memory, 1, bytes);
        return 0;
}
