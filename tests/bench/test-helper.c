/* SPDX-License-Identifier: Apache-2.0 */
/* Tests that the helpers of bench-server do what they are timed for, and leave nothing. argv: the
 * helper fork-floor, and the one in Python. */

#include "helper-lane.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

#define MIB ((uint64_t)1024 * 1024)

static char *floor_path, *peers_path;

static void assert_times(Helper *helper, const char *method) {
        Samples *samples = calloc(1, sizeof(*samples));

        assert_non_null(samples);
        assert_int_equal(helper_time(helper, method, 3, 1000, samples), 0);
        assert_int_equal(helper_time(helper, method, 1, 0, samples), 0);
        assert_int_equal(samples->n, 4);
        for (size_t i = 0; i < samples->n; i++)
                assert_true(samples->usec[i] > 1 && samples->usec[i] < 60e6);
        free(samples);
}

/* The memory is looked at while they wait, and they are gone once they need not. */
static void assert_idle(Helper *helper, const char *method, uint64_t shared_min) {
        uint64_t private, shared;
        pid_t pids[2];

        assert_int_equal(helper_idle_begin(helper, method, pids, 2), 0);
        assert_int_not_equal(pids[0], pids[1]);
        for (size_t i = 0; i < 2; i++) {
                assert_int_equal(process_memory(pids[i], &private, &shared), 0);
                assert_true(private > 0);
                assert_true(shared >= shared_min);
        }
        assert_int_equal(helper_idle_end(helper), 0);
        assert_times(helper, method);
        for (size_t i = 0; i < 2; i++)
                assert_true(kill(pids[i], 0) < 0);
}

static void test_floor(void **state _unused_) {
        char *const argv[] = { floor_path, (char *)"8388608", NULL };
        Helper *helper = NULL;

        assert_int_equal(helper_new(&helper, argv), 0);
        assert_times(helper, "fork");
        assert_idle(helper, "fork", 8 * MIB);
        assert_null(helper_free(helper));
        assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void test_peers(void **state _unused_) {
        static const char *const methods[] = { "fork", "forkserver", "spawn" };
        char *const argv[] = { (char *)"/usr/bin/python3", peers_path, NULL };
        Helper *helper = NULL;

        if (access(argv[0], X_OK) < 0)
                skip();
        assert_int_equal(helper_new(&helper, argv), 0);
        assert_times(helper, "os.fork");
        for (size_t i = 0; i < ELEMENTSOF(methods); i++)
                assert_idle(helper, methods[i], 1);
        assert_null(helper_free(helper));
        assert_true(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

static void test_gone(void **state _unused_) {
        char *const argv[] = { (char *)"/bin/true", NULL };
        char *const absent[] = { (char *)"/no/such/helper", NULL };
        Samples *samples = calloc(1, sizeof(*samples));
        Helper *helper = NULL;

        assert_non_null(samples);
        assert_int_equal(helper_new(&helper, absent), -ENOENT);
        assert_int_equal(helper_new(&helper, argv), 0);
        assert_int_equal(helper_time(helper, "fork", 1, 0, samples), -EREMOTEIO);
        assert_int_equal(samples->n, 0);
        helper_free(helper);
        free(samples);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_floor),
                cmocka_unit_test(test_peers),
                cmocka_unit_test(test_gone),
        };

        if (argc != 3)
                return 2;
        floor_path = argv[1];
        peers_path = argv[2];
        signal(SIGPIPE, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
