/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the medians and ratios that the benchmarks report. */

#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_median(void **state _unused_) {
        Samples s = { 0 };

        assert_true(samples_median(&s) == 0);
        samples_add(&s, 30);
        assert_true(samples_median(&s) == 30);
        samples_add(&s, 10);
        assert_true(samples_median(&s) == 20);
        samples_add(&s, 1000);
        assert_true(samples_median(&s) == 30);
        assert_true(s.usec[0] == 30); /* the order of rounds stays */
}

static void test_quantile(void **state _unused_) {
        Samples s = { 0 };

        assert_true(samples_quantile(&s, 0.99) == 0);
        samples_add(&s, 7);
        assert_true(samples_quantile(&s, 0.99) == 7);
        s.n = 0;
        for (int i = 200; i > 0; i--)
                samples_add(&s, i);
        assert_true(samples_quantile(&s, 0.99) == 198);
        assert_true(samples_quantile(&s, 0.5) == 100);
        assert_true(samples_quantile(&s, 1) == 200);
        assert_true(samples_quantile(&s, 0.001) == 1);
        assert_true(s.usec[0] == 200);
}

static void test_ratio_is_of_one_round(void **state _unused_) {
        Samples a = { 0 }, b = { 0 };

        assert_true(samples_ratio(&a, &b) == 0);
        /* a slow round slows both, and says nothing */
        for (int i = 0; i < 5; i++) {
                double noise = i == 2 ? 100 : 1 + i;

                samples_add(&a, 3 * noise);
                samples_add(&b, 2 * noise);
        }
        assert_true(samples_ratio(&a, &b) == 1.5);
}

static void test_bound(void **state _unused_) {
        Samples s = { 0 };

        for (int i = 0; i < SAMPLES_MAX + 10; i++)
                samples_add(&s, 1);
        assert_int_equal(s.n, SAMPLES_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_median),
                cmocka_unit_test(test_quantile),
                cmocka_unit_test(test_ratio_is_of_one_round),
                cmocka_unit_test(test_bound),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
