/* SPDX-License-Identifier: Apache-2.0 */

/* client/lib/address.c: where clients look for the daemon. */

#include "connection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static void check(const char *address, const char *path) {
        _cleanup_(freep) char *p = NULL;

        assert_int_equal(address_parse(address, &p), path ? 0 : -EINVAL);
        assert_true(streq_null(p, path));
}

static void test_parse(void **state) {
        char longest[160] = "/";

        (void)state;
        check("/run/x", "/run/x");
        check("./x", "./x");
        check("unix:/run/x", "/run/x");
        check("unix:x", "./x");
        check("", NULL);
        check("unix:", NULL);
        check("unix:@x", NULL);
        check("x", NULL);
        check("tcp:127.0.0.1:80", NULL);
        memset(longest + 1, 'x', 106);
        check(longest, longest);
        memset(longest + 1, 'x', 107);
        check(longest, NULL);
}

static void find(ForkdMode mode, int expected, const char *path) {
        _cleanup_(freep) char *p = NULL;

        assert_int_equal(forkd_find_address(mode, &p), expected);
        assert_true(streq_null(p, path));
}

static void test_find(void **state) {
        char directory[] = "/tmp/test-address-XXXXXX";
        _cleanup_(freep) char *below = NULL, *socket = NULL;
        int fd;

        (void)state;
        assert_non_null(mkdtemp(directory));
        assert_true(asprintf(&below, "%s/forkd", directory) > 0);
        assert_true(asprintf(&socket, "%s/org.forkd", below) > 0);

        unsetenv("FORKD_ADDRESS");
        unsetenv("XDG_RUNTIME_DIR");
        setenv("RUNTIME_DIRECTORY", directory,
               1); /* of the service that we are in, not the daemon's */
        find(FORKD_MODE_AUTO, 0, "/run/forkd/org.forkd");
        find(FORKD_MODE_SYSTEM, 0, "/run/forkd/org.forkd");
        find(FORKD_MODE_USER, -ENOENT, NULL);

        setenv("XDG_RUNTIME_DIR", directory, 1);
        find(FORKD_MODE_USER, 0, socket);
        find(FORKD_MODE_AUTO, 0, "/run/forkd/org.forkd"); /* nothing is there */
        assert_int_equal(mkdir(below, 0700), 0);
        fd = open(socket, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        find(FORKD_MODE_AUTO, 0, socket);
        find(FORKD_MODE_SYSTEM, 0, "/run/forkd/org.forkd");

        setenv("FORKD_ADDRESS", "unix:/x", 1);
        find(FORKD_MODE_AUTO, 0, "/x");
        find(FORKD_MODE_USER, 0, socket);
        setenv("FORKD_ADDRESS", "nonsense", 1);
        find(FORKD_MODE_AUTO, -EINVAL, NULL);
        setenv("FORKD_ADDRESS", "", 1);
        find(FORKD_MODE_AUTO, 0, socket);

        unlink(socket);
        rmdir(below);
        rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_find),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
