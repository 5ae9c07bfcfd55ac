/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/log.h: what a line looks like in the journal, and elsewhere. */

#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

/* What stands in a line when standard error is a pipe, and JOURNAL_STREAM names it, or another. */
static void log_to_pipe(bool named, char ret[static 128]) {
        int saved = dup(STDERR_FILENO), p[2];
        char stream[64];
        struct stat st;
        ssize_t n;

        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        assert_int_equal(fstat(p[1], &st), 0);
        snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
                 (unsigned long long)st.st_ino + (named ? 0 : 1));
        setenv("JOURNAL_STREAM", stream, 1);
        setenv("FORKD_JOURNAL", "/nonexistent", 1); /* only its stream */
        dup2(p[1], STDERR_FILENO);
        log_open("test", LOG_INFO);
        log_line(LOG_WARNING, ENOENT, "two\nlines");
        log_line(LOG_DEBUG, 0, "below the level");
        log_close();
        dup2(saved, STDERR_FILENO);
        close(saved);
        close(p[1]);
        n = read(p[0], ret, 127);
        assert_true(n > 0);
        ret[n] = '\0';
        close(p[0]);
        unsetenv("JOURNAL_STREAM");
}

static void test_journal(void **state) {
        char line[128];

        (void)state;
        log_to_pipe(true, line);
        assert_string_equal(line, "<4>two lines: No such file or directory\n");
}

static void test_elsewhere(void **state) {
        char line[128], expected[128];

        (void)state;
        log_to_pipe(false, line);
        snprintf(expected, sizeof(expected), "test[%d]: two lines: No such file or directory\n",
                 (int)getpid());
        assert_string_equal(line, expected);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_journal),
                cmocka_unit_test(test_elsewhere),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
