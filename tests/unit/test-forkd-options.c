/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/options.h: forkd's command line. */

#include "options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>

#include <cmocka.h>

/* Parses what stands after "forkd", in words without blanks; *ret_said is what it wrote to both of
 * its streams, to be freed. */
static int parse(Options *ret, char *words, char **ret_said) {
        char *argv[16] = { (char *)"forkd" }, *saved = NULL;
        int argc = 1, fd = memfd_create("said", MFD_CLOEXEC), out = dup(STDOUT_FILENO),
            err = dup(STDERR_FILENO), r;
        off_t n;

        for (char *w = strtok_r(words, " ", &saved); w; w = strtok_r(NULL, " ", &saved))
                argv[argc++] = w;

        fflush(stdout);
        assert_true(fd >= 0 && out >= 0 && err >= 0);
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        r = options_parse(ret, argc, argv);
        fflush(stdout);
        fflush(stderr);
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        close(out);
        close(err);

        n = lseek(fd, 0, SEEK_END);
        *ret_said = calloc(1, (size_t)n + 1);
        assert_int_equal(pread(fd, *ret_said, (size_t)n, 0), n);
        close(fd);
        return r;
}

static void check_good(Options *ret, char *words) {
        char *said;

        assert_int_equal(parse(ret, words, &said), 0);
        assert_string_equal(said, "");
        free(said);
}

static void test_none(void **state) {
        char words[] = "";
        Options o;

        (void)state;
        check_good(&o, words);
        assert_int_equal(o.mode, PATH_MODE_AUTO);
        assert_null(o.runtime);
        assert_null(o.state);
        assert_null(o.config);
        assert_false(o.debug);
        assert_false(o.check);
        assert_null(o.twin);
}

static void test_all(void **state) {
        char words[] = "--user --runtime=/r --state /s --config=/c --check --debug",
             system[] = "--system";
        Options o;

        (void)state;
        check_good(&o, words);
        assert_int_equal(o.mode, PATH_MODE_USER);
        assert_string_equal(o.runtime, "/r");
        assert_string_equal(o.state, "/s");
        assert_string_equal(o.config, "/c");
        assert_true(o.check);
        assert_true(o.debug);
        check_good(&o, system);
        assert_int_equal(o.mode, PATH_MODE_SYSTEM);
}

static void test_twin(void **state) {
        char words[] = "--twin -- spell /x/numbers.so", none[] = "--twin";
        Options o;

        (void)state;
        check_good(&o, words);
        assert_non_null(o.twin);
        assert_string_equal(o.twin[0], "spell");
        assert_string_equal(o.twin[1], "/x/numbers.so");
        assert_null(o.twin[2]);
        check_good(&o, none);
        assert_non_null(o.twin);
        assert_null(o.twin[0]);
}

static void test_refused(void **state) {
        static const struct {
                const char *words, *said;
        } cases[] = {
                { "--no-such", "--no-such" },
                { "--runtime=r", "--runtime=r is no absolute path" },
                { "--state=./s", "--state=./s is no absolute path" },
                { "--config= --check", "--config= is no absolute path" },
                { "--runtime", "requires an argument" },
                { "--check=1", "doesn't allow an argument" },
                { "start", "forkctl(1)" },
                { "--debug -- ls", "'ls'" },
                { "-x", "forkd --help" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Options o = { .check = true, .state = "untouched" };
                char *words = strdup(cases[i].words), *said;

                if (parse(&o, words, &said) != -EINVAL)
                        fail_msg("'%s' was not refused", cases[i].words);
                if (!strstr(said, cases[i].said))
                        fail_msg("'%s' was answered with '%s'", cases[i].words, said);
                assert_string_equal(o.state, "untouched");
                free(said);
                free(words);
        }
}

static void test_help_and_version(void **state) {
        static const char *const listed[] = { "--system",  "--user",    "--runtime=", "--state=",
                                              "--config=", "--check",   "--debug",    "--help",
                                              "--version", "forkctl(1)" };
        char help[] = "--help", h[] = "-h", version[] = "--version", *said, *again;
        Options o;

        (void)state;
        assert_int_equal(parse(&o, help, &said), OPTIONS_E_EXIT);
        for (size_t i = 0; i < ELEMENTSOF(listed); i++)
                if (!strstr(said, listed[i]))
                        fail_msg("the help does not mention %s", listed[i]);
        assert_null(strstr(said, "--twin")); /* nobody's business */
        assert_int_equal(parse(&o, h, &again), OPTIONS_E_EXIT);
        assert_string_equal(again, said);
        free(said);
        free(again);

        assert_int_equal(parse(&o, version, &said), OPTIONS_E_EXIT);
        assert_string_equal(said, "forkd " FORKD_VERSION "\n");
        free(said);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_none),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_twin),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_help_and_version),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
