/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/words.h: a line's words. */

#include "words.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect(const char *line, ...) {
        char **words = NULL;
        const char *word;
        size_t n = 0;
        va_list ap;

        assert_int_equal(words_split(line, &words), 0);
        va_start(ap, line);
        while ((word = va_arg(ap, const char *))) {
                assert_non_null(words[n]);
                assert_string_equal(words[n++], word);
        }
        va_end(ap);
        assert_null(words[n]);
        for (n = 0; words[n]; n++)
                free(words[n]);
        free(words);
}

static void test_words(void **state) {
        (void)state;
        expect("", NULL);
        expect("  \t ", NULL);
        expect("a", "a", NULL);
        expect(" /bin/x  -a\tb ", "/bin/x", "-a", "b", NULL);
        expect("''", "", NULL);
        expect("a '' \"\"", "a", "", "", NULL);
        expect("a'b c'd", "ab cd", NULL);
        expect("'a\\n' \"a\\n\" \"\\\"\\\\\" a\\ b \\'", "a\\n", "a\\n", "\"\\", "a b", "'", NULL);
        expect("'\\\\'", "\\\\", NULL);
        expect("$HOME *", "$HOME", "*", NULL); /* nothing is expanded */
}

static void test_not_words(void **state) {
        static const char *const wrong[] = { "'", "a 'b", "\"", "\"a\\\"", "\"\\", "a\\", "\\" };
        char **words = NULL;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++)
                assert_int_equal(words_split(wrong[i], &words), -EINVAL);
        assert_null(words);
}

static void test_many(void **state) {
        char line[WORDS_MAX * 2 + 3], **words = NULL;

        (void)state;
        for (size_t i = 0; i < WORDS_MAX; i++)
                memcpy(line + 2 * i, "x ", 3);
        assert_int_equal(words_split(line, &words), 0);
        assert_non_null(words[WORDS_MAX - 1]);
        assert_null(words[WORDS_MAX]);
        for (size_t i = 0; i < WORDS_MAX; i++)
                free(words[i]);
        free(words);
        memcpy(line + 2 * WORDS_MAX, "x", 2);
        assert_int_equal(words_split(line, &words), -E2BIG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),
                cmocka_unit_test(test_not_words),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
