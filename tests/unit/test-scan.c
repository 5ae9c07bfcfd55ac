/* SPDX-License-Identifier: Apache-2.0 */

/* proto/scan.c: what is accepted, what is refused and as what, and which bytes are captured. That
 * the same texts are accepted as by jansson is also what tests/fuzz/fuzz-scan.c looks at. */

#include "scan.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int scan(const char *text, size_t length) {
        /* a copy of exactly this size, so that a read beyond it is seen */
        char *copy = malloc(length ? length : 1);
        Scan s;
        int r;

        assert_non_null(copy);
        memcpy(copy, text, length);
        r = scan_text(copy, length, NULL, &s);
        if (r == 0)
                assert_int_equal(s.error_offset, 0);
        else
                assert_true(s.error_offset <= length);
        scan_done(&s);
        free(copy);
        return r;
}

static bool jansson_accepts(const char *text, size_t length) {
        json_t *j = json_loadb(text, length, 0, NULL);
        bool object = json_is_object(j);

        json_decref(j);
        return object;
}

static void test_table(void **state) {
        static const struct {
                const char *text;
                int result;
        } table[] = {
                { "{}", 0 },
                { " \t\r\n{ } \n", 0 },
                { "{\"a\":1}", 0 },
                { "{\"a\":[1,2,[],{}],\"b\":{\"c\":null,\"d\":true,\"e\":false}}", 0 },
                { "{\"a\" : [ 1 , 2 ] , \"b\" : \"\" }", 0 },
                { "", SCAN_E_SYNTAX },
                { " ", SCAN_E_SYNTAX },
                { "[]", SCAN_E_SYNTAX },
                { "1", SCAN_E_SYNTAX },
                { "\"a\"", SCAN_E_SYNTAX },
                { "{", SCAN_E_SYNTAX },
                { "}", SCAN_E_SYNTAX },
                { "{]", SCAN_E_SYNTAX },
                { "{}}", SCAN_E_SYNTAX },
                { "{}{}", SCAN_E_SYNTAX },
                { "{} x", SCAN_E_SYNTAX },
                { "{,}", SCAN_E_SYNTAX },
                { "{\"a\"}", SCAN_E_SYNTAX },
                { "{\"a\":}", SCAN_E_SYNTAX },
                { "{\"a\":1,}", SCAN_E_SYNTAX },
                { "{\"a\":1 \"b\":2}", SCAN_E_SYNTAX },
                { "{\"a\":1,,\"b\":2}", SCAN_E_SYNTAX },
                { "{a:1}", SCAN_E_SYNTAX },
                { "{'a':1}", SCAN_E_SYNTAX },
                { "{1:1}", SCAN_E_SYNTAX },
                { "{\"a\":[1,]}", SCAN_E_SYNTAX },
                { "{\"a\":[,1]}", SCAN_E_SYNTAX },
                { "{\"a\":[1 2]}", SCAN_E_SYNTAX },
                { "{\"a\":[1}", SCAN_E_SYNTAX },
                { "{\"a\":tru}", SCAN_E_SYNTAX },
                { "{\"a\":truex}", SCAN_E_SYNTAX },
                { "{\"a\":True}", SCAN_E_SYNTAX },
                { "{\"a\":nul", SCAN_E_SYNTAX },
                { "{\"a\":NaN}", SCAN_E_SYNTAX },
                { "\xef\xbb\xbf{}", SCAN_E_SYNTAX },
                { "{}\v", SCAN_E_SYNTAX },
                { "{} // no", SCAN_E_SYNTAX },
                { "{\"a\":\"b", SCAN_E_SYNTAX },
                { "{\"a\":\"\t\"}", SCAN_E_SYNTAX },
                { "{\"a\":\"\x7f\"}", 0 },
                { "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"}", 0 },
                { "{\"a\":\"\\x\"}", SCAN_E_SYNTAX },
                { "{\"a\":\"\\u12g4\"}", SCAN_E_SYNTAX },
                { "{\"a\":\"\\u12", SCAN_E_SYNTAX },
                { "{\"a\":\"\\", SCAN_E_SYNTAX },
                { "{\"a\":\"\\u0000\"}", SCAN_E_UTF8 },
                { "{\"\\u0000\":1}", SCAN_E_UTF8 },
                { "{\"a\":\"\\ud83d\\ude00\"}", 0 },
                { "{\"a\":\"\\ud83d\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\\ud83d\\u0041\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\\ud83dxu0041\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\\ude00\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\\uDBFF\\uDFFF\"}", 0 },
                { "{\"a\":\"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80\"}", 0 },
                { "{\"a\":\"\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf4\x8f\xbf\xbf\"}", 0 },
                { "{\"a\":\"\x80\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xc0\x80\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xc1\xbf\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xc3\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xc3", SCAN_E_UTF8 },
                { "{\"a\":\"\xe2\x82\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xe0\x9f\xbf\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xed\xa0\x80\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xf0\x8f\xbf\xbf\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xf4\x90\x80\x80\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xf5\x80\x80\x80\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xf0\x9f\x98\"}", SCAN_E_UTF8 },
                { "{\"a\":\"\xff\"}", SCAN_E_UTF8 },
                { "{\"\xff\":1}", SCAN_E_UTF8 },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                int r = scan(table[i].text, strlen(table[i].text));

                if (r != table[i].result)
                        fail_msg("%s: %d, not %d", table[i].text, r, table[i].result);
                assert_int_equal(r == 0, jansson_accepts(table[i].text, strlen(table[i].text)));
        }
}

static void test_numbers(void **state) {
        static const struct {
                const char *text;
                int result;
        } table[] = {
                { "0", 0 },
                { "-0", 0 },
                { "-1", 0 },
                { "01", SCAN_E_SYNTAX },
                { "-", SCAN_E_SYNTAX },
                { "+1", SCAN_E_SYNTAX },
                { "--1", SCAN_E_SYNTAX },
                { ".5", SCAN_E_SYNTAX },
                { "1.", SCAN_E_SYNTAX },
                { "1.e1", SCAN_E_SYNTAX },
                { "1e", SCAN_E_SYNTAX },
                { "1e+", SCAN_E_SYNTAX },
                { "0x10", SCAN_E_SYNTAX },
                { "1e5", 0 },
                { "-1.25E-3", 0 },
                { "0e0", 0 },
                { "9223372036854775807", 0 },
                { "9223372036854775808", SCAN_E_NUMBER },
                { "-9223372036854775808", 0 },
                { "-9223372036854775809", SCAN_E_NUMBER },
                { "18446744073709551616", SCAN_E_NUMBER },
                { "100000000000000000000", SCAN_E_NUMBER },
                { "9223372036854775808.0", 0 },
                { "1e308", 0 },
                { "1.7976931348623157e308", 0 },
                { "1.7976931348623158e308", 0 },
                { "1.7976931348623159e308", SCAN_E_NUMBER },
                { "-1.7976931348623159e308", SCAN_E_NUMBER },
                { "1e309", SCAN_E_NUMBER },
                { "1e400", SCAN_E_NUMBER },
                { "-1e400", SCAN_E_NUMBER },
                { "0e400", 0 },
                { "0.0e99999999999999999999", 0 },
                { "1e-400", 0 },
                { "1e-99999999999999999999", 0 },
                { "1e99999999999999999999", SCAN_E_NUMBER },
                { "0.000001e314", 0 },
                { "0.000001e315", SCAN_E_NUMBER },
                { "0.00017976931348623158e312", 0 },
                { "0.00017976931348623159e312", SCAN_E_NUMBER },
                { "17976931348623158000000e286", 0 },
                { "17976931348623159000000e286", SCAN_E_NUMBER },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char text[128];
                int n = snprintf(text, sizeof(text), "{\"a\":%s}", table[i].text);

                if (scan(text, (size_t)n) != table[i].result)
                        fail_msg("%s: not %d", text, table[i].result);
                assert_int_equal(table[i].result == 0, jansson_accepts(text, (size_t)n));
        }
}

/* The digits around 2^1024 - 2^970, where rounding goes to infinity. */
static void test_real_boundary(void **state) {
        static const char digits[] =
                "179769313486231580793728971405303415079934132710037826936173778980444968292764750946649"
                "017977587207096330286416692887910946555547851940402630657488671505820681908902000708383"
                "676273854845817711531764475730270069855571366959622842914819860834936475292719074168444"
                "365510704342711559699508093042880177904174497792";
        static const char *const tails[] = { "%.308s1.0",     "%.308s1.999", "%.308s2.0",
                                             "%.308s2.0001",  "%.308s3e0",   "0.%.308s1e309",
                                             "0.%.308s2e309", "%.100s.1e209" };

        (void)state;
        assert_int_equal(strlen(digits), 309);
        for (size_t i = 0; i < ELEMENTSOF(tails); i++) {
                char number[512], text[600];
                int n;

                snprintf(number, sizeof(number), tails[i], digits);
                n = snprintf(text, sizeof(text), "{\"a\":%s}", number);
                assert_int_equal(scan(text, (size_t)n) == 0, jansson_accepts(text, (size_t)n));
        }
}

static void test_nul(void **state) {
        (void)state;
        assert_int_equal(scan("{}\0", 3), SCAN_E_SYNTAX);
        assert_int_equal(scan("{\0}", 3), SCAN_E_SYNTAX);
        assert_int_equal(scan("{\"a\0\":1}", 8), SCAN_E_SYNTAX);
        assert_int_equal(scan("{\"\\\0\":1}", 8), SCAN_E_SYNTAX);
        assert_int_equal(scan("{\"a\":1\0}", 8), SCAN_E_SYNTAX);
}

static void test_depth(void **state) {
        char text[1024];

        (void)state;
        for (size_t depth = SCAN_DEPTH_MAX - 1; depth <= SCAN_DEPTH_MAX + 1; depth++) {
                size_t n = 0;

                n += (size_t)sprintf(text, "{\"a\":");
                for (size_t i = 1; i < depth; i++)
                        text[n++] = '[';
                for (size_t i = 1; i < depth; i++)
                        text[n++] = ']';
                text[n++] = '}';
                assert_int_equal(scan(text, n), depth <= SCAN_DEPTH_MAX ? 0 : SCAN_E_DEPTH);
        }
}

static void test_values(void **state) {
        static char text[SCAN_VALUES_MAX * 2 + 32];

        (void)state;
        for (size_t values = SCAN_VALUES_MAX - 1; values <= SCAN_VALUES_MAX + 1; values++) {
                size_t n = 0;
                Scan s;
                int r;

                n += (size_t)sprintf(text + n, "{\"a\":[");
                for (size_t i = 1; i < values; i++)
                        n += (size_t)sprintf(text + n, i > 1 ? ",1" : "1");
                n += (size_t)sprintf(text + n, "]}");
                r = scan_text(text, n, NULL, &s);
                assert_int_equal(r, values <= SCAN_VALUES_MAX ? 0 : SCAN_E_VALUES);
                if (r == 0)
                        assert_int_equal(s.n_values, values);
                scan_done(&s);
        }
}

static void check_captures(const char *text, const char *const *paths,
                           const char *const *expected) {
        Scan s;
        size_t n = 0;

        assert_int_equal(scan_text(text, strlen(text), paths, &s), 0);
        for (; expected[n]; n++) {
                assert_true(n < s.n_spans);
                assert_int_equal(s.spans[n].length, strlen(expected[n]));
                assert_memory_equal(text + s.spans[n].offset, expected[n], s.spans[n].length);
        }
        assert_int_equal(s.n_spans, n);
        scan_done(&s);
        assert_null(s.spans);
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

static void test_captures(void **state) {
        const char *const *jobs = LIST("parameters/jobs/*/arguments");

        (void)state;
        check_captures("{\"a\": {\"b\": 1} }", LIST("a"), LIST("{\"b\": 1}"));
        check_captures("{\"a\":{},\"b\":{ }}", LIST("b", "a"), LIST("{}", "{ }"));
        check_captures("{\"b\":{\"a\":{}}}", LIST("a"), LIST());
        check_captures("{\"a\":{\"a\":{\"a\":1}}}", LIST("a/a"), LIST("{\"a\":1}"));
        /* only objects */
        check_captures("{\"a\":[{}]}", LIST("a"), LIST());
        check_captures("{\"a\":3,\"b\":\"{}\",\"c\":null}", LIST("a", "b", "c"), LIST());
        /* elements */
        check_captures(
                "{\"parameters\":{\"jobs\":[{\"arguments\":{\"x\":[1]}},{},{\"arguments\":{}}]}}",
                jobs, LIST("{\"x\":[1]}", "{}"));
        check_captures("{\"parameters\":{\"jobs\":{\"*\":{\"arguments\":{}}}}}", jobs, LIST());
        check_captures("{\"parameters\":{\"jobs\":[[{\"arguments\":{}}]]}}", jobs, LIST());
        check_captures("{\"jobs\":[{\"arguments\":{}}]}", jobs, LIST());
        check_captures("{\"a\":[{\"x\":1},[],{}]}", LIST("a/*"), LIST("{\"x\":1}", "{}"));
        /* nothing inside of what is captured */
        check_captures("{\"a\":{\"b\":{}},\"b\":{}}", LIST("a", "a/b", "b"),
                       LIST("{\"b\":{}}", "{}"));
        /* keys as they mean, not as they are spelled */
        check_captures("{\"\\u0061\":{}}", LIST("a"), LIST("{}"));
        check_captures("{\"\\u00e4\\u20ac\\ud83d\\ude00\":{}}",
                       LIST("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), LIST("{}"));
        check_captures("{\"a\\/b\":{}}", LIST("a/b"), LIST());
        check_captures("{\"\\\"\\\\\\n\":{}}", LIST("\"\\\n"), LIST("{}"));
        check_captures(
                "{\"\\u0061"
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                "\":{}}",
                LIST("a"), LIST());
        /* a key that only begins or ends like it */
        check_captures("{\"ab\":{},\"\":{}}", LIST("a"), LIST());
}

static void test_captures_refused(void **state) {
        const char *text = "{\"a\":{\"b\":1},\"c\":}";
        Scan s;

        (void)state;
        assert_int_equal(scan_text(text, strlen(text), LIST("a"), &s), SCAN_E_SYNTAX);
        assert_null(s.spans);
        assert_int_equal(s.n_spans, 0);
        assert_int_equal(s.error_offset, strlen(text) - 1);
}

static void test_error_strings(void **state) {
        (void)state;
        for (int e = SCAN_E_SYNTAX; e <= SCAN_E_NUMBER; e++) {
                assert_true(strlen(scan_error_string(e)) > 10);
                for (int f = SCAN_E_SYNTAX; f < e; f++)
                        assert_string_not_equal(scan_error_string(e), scan_error_string(f));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),         cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_real_boundary), cmocka_unit_test(test_nul),
                cmocka_unit_test(test_depth),         cmocka_unit_test(test_values),
                cmocka_unit_test(test_captures),      cmocka_unit_test(test_captures_refused),
                cmocka_unit_test(test_error_strings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
