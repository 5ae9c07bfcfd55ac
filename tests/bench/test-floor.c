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
        if (kind == FLOOR_HOPS_CGROUP && r > 0) {
                print_message("no cgroups here: %s\n", cgroup_error_string(r));
                return;
        }
        assert_int_equal(r, 0);
        run_batches(floor_batch, floor, kind != FLOOR_FORK);
        if (kind != FLOOR_FORK)
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
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_direct),      cmocka_unit_test(test_bare),
                cmocka_unit_test(test_hops),        cmocka_unit_test(test_fork),
                cmocka_unit_test(test_hops_cgroup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
