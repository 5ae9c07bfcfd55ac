/* SPDX-License-Identifier: Apache-2.0 */

/* huge_pages_collapse(), each time in a child, as it changes the whole process. */

#include "basic.h"

#include "huge-pages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SIZE ((size_t)16 * 1024 * 1024)

static int run(int (*body)(void)) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(body());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static char *filled(int flags) {
        char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);

        if (p == MAP_FAILED)
                _exit(99);
        madvise(p, SIZE, MADV_NOHUGEPAGE);
        for (size_t i = 0; i < SIZE; i += 4096)
                p[i] = (char)(i >> 12);
        return p;
}

/* 0: most of it is, 77: this kernel cannot */
static int body_collapse(void) {
        char *p = filled(MAP_PRIVATE | MAP_ANONYMOUS);
        uint64_t bytes = 0;
        int r = huge_pages_collapse(&bytes);

        if (r < 0 || (madvise(p, SIZE, 25) < 0 && errno == EINVAL))
                return 77;
        for (size_t i = 0; i < SIZE; i += 4096)
                if (p[i] != (char)(i >> 12))
                        return 2;
        /* its ends may be in other huge pages */
        return bytes >= SIZE - 2 * 2 * 1024 * 1024 ? 0 : 1;
}

/* Have huge pages been asked for where p is? */
static bool is_advised(const void *p) {
        FILE *f = fopen("/proc/self/smaps", "re");
        bool inside = false, advised = false;
        unsigned long start, end;
        char line[4352];

        while (f && fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
                        inside = start <= (uintptr_t)p && (uintptr_t)p < end;
                if (inside && strncmp(line, "VmFlags:", 8) == 0)
                        advised = strstr(line, " hg");
        }
        if (f)
                fclose(f);
        return advised;
}

static int body_others(void) {
        const char *own = filled(MAP_PRIVATE | MAP_ANONYMOUS);
        const char *shared = filled(MAP_SHARED | MAP_ANONYMOUS);
        char *constant = filled(MAP_PRIVATE | MAP_ANONYMOUS);
        uint64_t bytes;

        if (mprotect(constant, SIZE, PROT_READ) < 0 || huge_pages_collapse(&bytes) < 0)
                return 77;
        /* the middle, as mappings need not begin with a huge page */
        if (!is_advised(own + SIZE / 2))
                return 1;
        return is_advised(shared + SIZE / 2) || is_advised(constant + SIZE / 2) ? 2 : 0;
}

/* The process has been told to do without. */
static int body_impossible(void) {
        uint64_t bytes = 0;

        filled(MAP_PRIVATE | MAP_ANONYMOUS);
        if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0)
                return 77;
        if (madvise(NULL, 0, 25) < 0)
                return 77;
        return huge_pages_collapse(&bytes) == -EOPNOTSUPP && bytes == 0 ? 0 : 1;
}

static void test_collapse(void **state) {
        int r = run(body_collapse);

        (void)state;
        if (r == 77)
                skip();
        assert_int_equal(r, 0);
}

static void test_other_memory_stays(void **state) {
        int r = run(body_others);

        (void)state;
        if (r == 77)
                skip();
        assert_int_equal(r, 0);
}

static void test_impossible(void **state) {
        int r = run(body_impossible);

        (void)state;
        if (r == 77)
                skip();
        assert_int_equal(r, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_collapse),
                cmocka_unit_test(test_other_memory_stays),
                cmocka_unit_test(test_impossible),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
