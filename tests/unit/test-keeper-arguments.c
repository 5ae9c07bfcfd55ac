/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/keeper/arguments.h: what is the keeper's, what is forkd's, and what is wrong. */

#include "arguments.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ARGV_MAX 8

/* Parses "forkd-keeper" and the words of line; keeps quiet. */
static int parse(const char *line, Arguments *ret) {
        static char words[256];
        char *argv[ARGV_MAX + 1] = { (char *)"forkd-keeper" }, *save = NULL;
        int argc = 1, saved[2], null, r;

        snprintf(words, sizeof(words), "%s", line);
        for (char *w = strtok_r(words, " ", &save); w && argc < ARGV_MAX;
             w = strtok_r(NULL, " ", &save))
                argv[argc++] = w;

        fflush(stdout);
        null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        for (int i = 0; i < 2; i++) {
                saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
                dup2(null, i + 1);
        }
        r = arguments_parse(argc, argv, ret);
        fflush(stdout);
        for (int i = 0; i < 2; i++) {
                dup2(saved[i], i + 1);
                close(saved[i]);
        }
        close(null);
        return r;
}

static void test_passed_on(void **state) {
        _cleanup_(arguments_done) Arguments a = { 0 };

        (void)state;
        assert_int_equal(parse("--user --state=/x --watchdog=5 --forkd=/f -v", &a), 0);
        assert_string_equal(a.forkd, "/f");
        assert_true(a.watchdog_given);
        assert_int_equal(a.watchdog_usec, 5);
        assert_null(a.argv[0]); /* to be filled in */
        assert_string_equal(a.argv[1], "--user");
        assert_string_equal(a.argv[2], "--state=/x");
        assert_string_equal(a.argv[3], "-v");
        assert_null(a.argv[4]);
}

static void test_nothing(void **state) {
        _cleanup_(arguments_done) Arguments a = { 0 };

        (void)state;
        assert_int_equal(parse("", &a), 0);
        assert_null(a.forkd);
        assert_false(a.watchdog_given);
        assert_null(a.argv[0]);
        assert_null(a.argv[1]);
}

static void test_command(void **state) {
        _cleanup_(arguments_done) Arguments a = { 0 };

        (void)state;
        assert_int_equal(parse("--watchdog=0 -- /x/forkd --help --", &a), 0);
        assert_true(a.watchdog_given);
        assert_int_equal(a.watchdog_usec, 0);
        assert_string_equal(a.argv[0], "/x/forkd");
        assert_string_equal(a.argv[1], "--help");
        assert_string_equal(a.argv[2], "--");
        assert_null(a.argv[3]);
}

static void test_outcomes(void **state) {
        static const struct {
                const char *line;
                int r;
        } cases[] = {
                { "--help", ARGUMENTS_E_DONE },
                { "-h", ARGUMENTS_E_DONE },
                { "--version", ARGUMENTS_E_DONE },
                { "--watchdog=", ARGUMENTS_E_WRONG },
                { "--watchdog=1s", ARGUMENTS_E_WRONG },
                { "--watchdog=-1", ARGUMENTS_E_WRONG },
                { "--watchdog=99999999999999999999", ARGUMENTS_E_WRONG },
                { "--watchdog 5", ARGUMENTS_E_WRONG },
                { "--forkd=", ARGUMENTS_E_WRONG },
                { "--forkd /x", ARGUMENTS_E_WRONG },
                { "--", ARGUMENTS_E_WRONG },
                { "--user -- /x", ARGUMENTS_E_WRONG },
                { "--forkd=/f -- /x", ARGUMENTS_E_WRONG },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(arguments_done) Arguments a = { 0 };
                int r = parse(cases[i].line, &a);

                if (r != cases[i].r)
                        fail_msg("'%s': %d", cases[i].line, r);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_passed_on),
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_outcomes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
