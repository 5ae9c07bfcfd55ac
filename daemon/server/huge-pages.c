/* SPDX-License-Identifier: Apache-2.0 */

/* Huge pages for preloaded memory (HugePages=). Lives in hosts, between their preload and their
 * first fork. Owns nothing. */

#include "huge-pages.h"

#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; Debian 12 has the kernel but not the name */
#endif

#define HUGE_PAGE_DEFAULT ((uintptr_t)2 * 1024 * 1024)
#define MAPPINGS_MAX      4096

typedef struct Mapping {
        uintptr_t start, end; /* whole huge pages */
} Mapping;

static void fclosep(FILE **f) {
        if (*f)
                fclose(*f);
}

static uintptr_t huge_page_size(void) {
        _cleanup_(fclosep) FILE *f =
                fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
        unsigned long size = 0;

        if (!f || fscanf(f, "%lu", &size) != 1 || size == 0 || (size & (size - 1)))
                return HUGE_PAGE_DEFAULT;
        return size;
}

/* "7f00-7f40 rw-p 00000000 00:00 0   [heap]": private, writable, of no file and not a stack. */
static bool mapping_parse(const char *line, uintptr_t page, Mapping *ret) {
        unsigned long start, end, inode;
        char mode[5];
        int name = 0;

        if (sscanf(line, "%lx-%lx %4s %*x %*s %lu %n", &start, &end, mode, &inode, &name) < 4)
                return false;
        if (!streq(mode, "rw-p") || inode != 0 || strncmp(line + name, "[stack", 6) == 0)
                return false;
        ret->start = (start + page - 1) & ~(page - 1);
        ret->end = end & ~(page - 1);
        return ret->start < ret->end;
}

/* All of them first: what is advised changes the list. */
static int mappings_read(Mapping *mappings, size_t *ret_n) {
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/maps", "re");
        uintptr_t page = huge_page_size();
        char line[4352]; /* a path and what stands before it */
        size_t n = 0;

        if (!f)
                return -errno;
        while (n < MAPPINGS_MAX && fgets(line, sizeof(line), f))
                n += mapping_parse(line, page, &mappings[n]);
        *ret_n = n;
        return 0;
}

static uint64_t bytes_in_huge_pages(void) {
        _cleanup_(fclosep) FILE *f = fopen("/proc/self/smaps_rollup", "re");
        unsigned long kib;
        char line[256];

        while (f && fgets(line, sizeof(line), f))
                if (sscanf(line, "AnonHugePages: %lu kB", &kib) == 1)
                        return (uint64_t)kib * 1024;
        return 0;
}

int huge_pages_collapse(uint64_t *ret_bytes) {
        _cleanup_(freep) Mapping *mappings = calloc(MAPPINGS_MAX, sizeof(Mapping));
        bool advised = false;
        int r, error = 0;
        size_t n = 0;

        if (!mappings)
                return -ENOMEM;
        r = mappings_read(mappings, &n);
        if (r < 0)
                return r;
        for (size_t i = 0; i < n; i++) {
                void *start = (void *)mappings[i].start;
                size_t length = mappings[i].end - mappings[i].start;

                if (madvise(start, length, MADV_HUGEPAGE) < 0) {
                        error = errno;
                        continue;
                }
                advised = true;
                /* fails for what is not in memory too, and on a kernel without it the kernel's own
                 * daemon comes by later */
                (void)madvise(start, length, MADV_COLLAPSE);
        }
        *ret_bytes = bytes_in_huge_pages();
        if (n == 0 || *ret_bytes > 0)
                return 0;
        if (!advised)
                return -error;
        /* a kernel that could have done it now will not do it later */
        return madvise(NULL, 0, MADV_COLLAPSE) == 0 ? -EOPNOTSUPP : 0;
}
