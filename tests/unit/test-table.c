/* SPDX-License-Identifier: Apache-2.0 */

/* client/ctl/table.c and display.c: nothing of a stranger's text moves the terminal, and no line is
 * wider than the terminal. */

#include "display.h"
#include "table.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const TableColumn columns[] = {
        { .title = "ID", .right = true },
        { .title = "STATE" },
        { .title = "RESULT", .shrink = 8, .drop = 1 },
        { .title = "NAME", .shrink = 5, .drop = 2, .when_used = true },
        { .title = "COMMAND", .shrink = 10 },
};

static char *print(size_t width, bool colour, const char *name) {
        const char *one[] = { "1", "finished", "exited with status 3 after 3 ms", name,
                              "make all" };
        const char *two[] = { "1234", "queued", NULL, NULL, "sh -c 'sleep 100 && echo something'" };
        _cleanup_(table_freep) Table *t = NULL;
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        assert_non_null(f);
        assert_int_equal(table_new(&t, columns, ELEMENTSOF(columns)), 0);
        assert_int_equal(table_add(t, one, "\033[31m"), 0);
        assert_int_equal(table_add(t, two, NULL), 0);
        assert_int_equal(table_rows(t), 2);
        table_print(t, f, width, colour);
        fclose(f);
        return text;
}

static void test_all_of_it(void **state) {
        _cleanup_(freep) char *text = print(SIZE_MAX, false, NULL);

        (void)state;
        assert_string_equal(
                text,
                "  ID  STATE     RESULT                           COMMAND\n"
                "   1  finished  exited with status 3 after 3 ms  make all\n"
                "1234  queued                                     sh -c 'sleep 100 && echo something'\n");
}

static void test_every_width(void **state) {
        (void)state;
        for (size_t width = 30; width < 120; width++) {
                _cleanup_(freep) char *text = print(width, false, "漢字の名前");

                for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
                        assert_true(display_width(line) <= width);
                        assert_true(line[strlen(line) - 1] != ' ');
                }
        }
}

static void test_no_blanks_at_the_end(void **state) {
        const char *empty[] = { "1", "queued", NULL, NULL, NULL };
        _cleanup_(table_freep) Table *t = NULL;
        _cleanup_(freep) char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        (void)state;
        assert_int_equal(table_new(&t, columns, ELEMENTSOF(columns)), 0);
        assert_int_equal(table_add(t, empty, NULL), 0);
        table_print(t, f, SIZE_MAX, false);
        fclose(f);
        assert_string_equal(text, "ID  STATE   RESULT  COMMAND\n 1  queued\n");
}

static void test_narrow(void **state) {
        _cleanup_(freep) char *text = print(30, false, "a name");

        (void)state;
        /* no name, no result: the command is what is worth most */
        assert_null(strstr(text, "NAME"));
        assert_null(strstr(text, "RESULT"));
        assert_non_null(strstr(text, "COMMAND"));
        assert_non_null(strstr(text, "…"));
}

static void test_colour(void **state) {
        _cleanup_(freep) char *plain = print(80, false, NULL), *coloured = print(80, true, NULL);

        (void)state;
        assert_null(strchr(plain, '\033'));
        assert_non_null(strstr(coloured, "\033[31mfinished\033[0m"));
}

static void test_terminal_width(void **state) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        (void)state;
        unsetenv("COLUMNS");
        assert_int_equal(table_terminal_width(fd), SIZE_MAX);
        setenv("COLUMNS", "77", 1);
        assert_int_equal(table_terminal_width(fd), 77);
        setenv("COLUMNS", "-5", 1);
        assert_int_equal(table_terminal_width(fd), SIZE_MAX);
        unsetenv("COLUMNS");
        close(fd);
}

static void check_escape(const char *from, const char *to) {
        _cleanup_(freep) char *text = display_escape(from);

        assert_string_equal(text, to);
}

static void test_escape(void **state) {
        (void)state;
        check_escape("", "");
        check_escape("näme 漢字", "näme 漢字");
        check_escape("a\nb\tc", "a\\nb\\tc");
        check_escape("\033[2J\007\177", "\\x1b[2J\\x07\\x7f");
        check_escape("\xff\xc3(", "\\xff\\xc3(");
        check_escape("\xc2\x9b"
                     "1m",
                     "\\u{9b}1m"); /* CSI in one character */
        check_escape("a\xe2\x80\xae"
                     "b",
                     "a\\u{202e}b"); /* right-to-left override */
        check_escape("e\xcc\x81", "e\xcc\x81");
}

static void test_fit(void **state) {
        size_t width;

        (void)state;
        assert_int_equal(display_width("漢字"), 4);
        assert_int_equal(display_width("e\xcc\x81"), 1);
        assert_int_equal(display_fit("漢字", 3, &width), 3);
        assert_int_equal(width, 2);
        assert_int_equal(display_fit("abc", 0, &width), 0);
        assert_int_equal(display_fit("abc", 9, &width), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all_of_it), cmocka_unit_test(test_every_width),
                cmocka_unit_test(test_narrow),    cmocka_unit_test(test_no_blanks_at_the_end),
                cmocka_unit_test(test_colour),    cmocka_unit_test(test_escape),
                cmocka_unit_test(test_fit),       cmocka_unit_test(test_terminal_width),
        };

        setenv("LC_ALL", "C.UTF-8", 1);
        display_init();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
