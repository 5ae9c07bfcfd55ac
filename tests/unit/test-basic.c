/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/basic.h: the ownership helpers do what their names say. */

#include "basic.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_steal(void **state) {
        char *p = strdup("x"), *q;

        (void)state;
        q = steal(p);
        assert_null(p);
        assert_string_equal(q, "x");
        free(q);
}

static void test_steal_fd(void **state) {
        int fd = 7, taken;

        (void)state;
        taken = steal_fd(&fd);
        assert_int_equal(taken, 7);
        assert_int_equal(fd, -1);
}

static void test_close_fd_keeps_errno(void **state) {
        (void)state;
        errno = ENOENT;
        assert_int_equal(close_fd(-1), -1);
        assert_int_equal(close_fd(9999), -1);
        assert_int_equal(errno, ENOENT);
}

static void test_streq_null(void **state) {
        (void)state;
        assert_true(streq_null(NULL, NULL));
        assert_false(streq_null("a", NULL));
        assert_false(streq_null(NULL, "a"));
        assert_true(streq_null("a", "a"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_steal),
                cmocka_unit_test(test_steal_fd),
                cmocka_unit_test(test_close_fd_keeps_errno),
                cmocka_unit_test(test_streq_null),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
