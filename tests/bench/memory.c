/* SPDX-License-Identifier: Apache-2.0 */
/* What processes weigh: a worker, by what it has of its own and what it shares; an idle daemon with
 * all its processes, by proportional set sizes. Read from /proc. Keeps nothing; lives in the
 * benchmarks. */

#include "bench.h"

int process_memory(pid_t pid, uint64_t *ret_private, uint64_t *ret_shared) {
        uint64_t private = 0, resident = 0;
        char path[64], line[256];
        unsigned long long kib;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -errno;
        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "Private_Clean: %llu kB", &kib) == 1 ||
                    sscanf(line, "Private_Dirty: %llu kB", &kib) == 1)
                private += (uint64_t)kib * 1024;
                if (sscanf(line, "Rss: %llu kB", &kib) == 1)
                        resident = (uint64_t)kib * 1024;
        }
        fclose(f);
        if (resident < private)
                return -ENODATA;
        *ret_private = private;
        *ret_shared = resident - private;
        return 0;
}

static int process_pss(pid_t pid, uint64_t *ret) {
        char path[64], line[256];
        unsigned long long kib;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -errno;
        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "Pss: %llu kB", &kib) != 1)
                        continue;
                fclose(f);
                *ret = (uint64_t)kib * 1024;
                return 0;
        }
        fclose(f);
        return -ENODATA;
}

int process_tree_pss(pid_t pid, uint64_t *ret_pss, unsigned *ret_processes) {
        uint64_t pss = 0, below;
        unsigned n;
        char path[64];
        int child, r;
        FILE *f;

        r = process_pss(pid, &pss);
        if (r < 0)
                return r;
        *ret_pss += pss;
        *ret_processes += 1;

        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -errno;
        while (fscanf(f, "%d", &child) == 1) {
                below = 0;
                n = 0;
                /* one that ends under our eyes weighs nothing */
                if (process_tree_pss(child, &below, &n) < 0)
                        continue;
                *ret_pss += below;
                *ret_processes += n;
        }
        fclose(f);
        return 0;
}
