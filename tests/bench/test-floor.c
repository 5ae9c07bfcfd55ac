/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that floors do the work that they are compared for: the program runs, its exit is known,
 * and nothing is left. */

#include "floor.h"

#include "cgroup.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

static size_t descriptors_open(void) {
        DIR *dir = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static void assert_nothing_left(size_t descriptors) {
        assert_int_equal(descriptors_open(), descriptors);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* A script that adds a byte to a file: the runs are counted by what ran. */
static void program_make(char path[static 64], char count[static 128]) {
        FILE *f;

        snprintf(path, 64, "/tmp/forkd-floor-XXXXXX");
        assert_non_null(mkdtemp(path));
        snprintf(count, 128, "%s/count", path);
        strcat(path, "/run");
        f = fopen(path, "we");
        assert_non_null(f);
        fprintf(f, "#!/bin/sh\nprintf x >>%s\n", count);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(chmod(path, 0700), 0);
}

static void program_remove(char *path, const char *count) {
        unlink(count);
        unlink(path);
        *strrchr(path, '/') = '\0';
        assert_int_equal(rmdir(path), 0);
}

static void run_batches(BatchFunction batch, void *userdata, bool counts) {
        char path[64], count[128];
        struct stat st = { 0 };

        program_make(path, count);
        for (unsigned in_flight = 1; in_flight <= 2; in_flight++) {
                const Batch good = { .program = path, .in_flight = in_flight, .n = 5 };

                assert_int_equal(batch(userdata, &good), 0);
        }
        if (counts) {
                assert_int_equal(stat(count, &st), 0);
                assert_int_equal(st.st_size, 10);
        }
        program_remove(path, count);
}

static void test_direct(void **state _unused_) {
        const Batch bad = { .program = "/bin/false", .in_flight = 1, .n = 2 };
        size_t descriptors = descriptors_open();

        run_batches(floor_direct_batch, NULL, true);
        assert_int_equal(floor_direct_batch(NULL, &bad), -EREMOTEIO);
        assert_nothing_left(descriptors);
}

static void test_floor(FloorKind kind) {
        const Batch bad = { .program = "/bin/false", .in_flight = 2, .n = 2 };
        size_t descriptors = descriptors_open();
        Floor *floor = NULL;
        int r;

        r = floor_new(&floor, kind);
        if (floor_has_cgroups(kind) && r > 0) {
                print_message("no cgroups here: %s\n", cgroup_error_string(r));
                return;
        }
        assert_int_equal(r, 0);
        run_batches(floor_batch, floor, !floor_forks(kind));
        if (!floor_forks(kind))
                assert_int_equal(floor_batch(floor, &bad), -EREMOTEIO);
        assert_null(floor_free(floor));
        assert_nothing_left(descriptors);
}

static void test_bare(void **state _unused_) {
        test_floor(FLOOR_BARE);
}

static void test_hops(void **state _unused_) {
        test_floor(FLOOR_HOPS);
}

static void test_hops_cgroup(void **state _unused_) {
        test_floor(FLOOR_HOPS_CGROUP);
}

static void test_fork(void **state _unused_) {
        test_floor(FLOOR_FORK);
        test_floor(FLOOR_FORK_CGROUP);
}

/* The last one of its children's children; 0: there are none. */
static pid_t descendant(pid_t pid, unsigned depth) {
        pid_t found = 0, below;
        char path[64];
        int child;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
        f = fopen(path, "re");
        while (f && fscanf(f, "%d", &child) == 1) {
                below = depth == 0 ? child : descendant(child, depth - 1);
                found = below > 0 ? below : found;
        }
        if (f)
                fclose(f);
        return found;
}

/* It is there before the first request, and another one after it. */
static void test_spare_is_ready(void **state _unused_) {
        const Batch one = { .in_flight = 1, .n = 1 };
        uint64_t end = now_usec(CLOCK_MONOTONIC) + 10 * USEC_PER_SEC;
        pid_t spare, former = 0;
        Floor *floor = NULL;

        assert_int_equal(floor_new(&floor, FLOOR_SPARE), 0);
        for (int i = 0; i < 2; i++) {
                while ((spare = descendant(getpid(), 1)) == 0 || spare == former)
                        assert_true(now_usec(CLOCK_MONOTONIC) < end);
                former = spare;
                assert_int_equal(floor_batch(floor, &one), 0);
        }
        floor_free(floor);
}

static void test_spare(void **state _unused_) {
        test_floor(FLOOR_SPARE);
        test_floor(FLOOR_SPARE_CGROUP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_direct),         cmocka_unit_test(test_bare),
                cmocka_unit_test(test_hops),           cmocka_unit_test(test_fork),
                cmocka_unit_test(test_hops_cgroup),    cmocka_unit_test(test_spare),
                cmocka_unit_test(test_spare_is_ready),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
