/* SPDX-License-Identifier: Apache-2.0 */

/* client/ctl/format.c: figures for people and from people. */

#include "format.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

static void test_format_span(void **state) {
        char b[FORMAT_MAX];

        (void)state;
        assert_string_equal(format_span(b, 0), "0 µs");
        assert_string_equal(format_span(b, 999), "999 µs");
        assert_string_equal(format_span(b, 3999), "3 ms");
        assert_string_equal(format_span(b, 999999), "999 ms");
        assert_string_equal(format_span(b, 1550000), "1.5 s");
        assert_string_equal(format_span(b, 59 * USEC_PER_SEC), "59 s");
        assert_string_equal(format_span(b, 80 * USEC_PER_SEC), "1 min 20 s");
        assert_string_equal(format_span(b, 7500 * USEC_PER_SEC), "2 h 5 min");
        assert_string_equal(format_span(b, 90000 * USEC_PER_SEC), "1 d 1 h");
        assert_string_equal(format_span(b, USEC_INFINITY), "for ever");
}

static void test_format_bytes(void **state) {
        char b[FORMAT_MAX];

        (void)state;
        assert_string_equal(format_bytes(b, 0), "0 B");
        assert_string_equal(format_bytes(b, 1023), "1023 B");
        assert_string_equal(format_bytes(b, 1024), "1.0 KiB");
        assert_string_equal(format_bytes(b, 12897484), "12.3 MiB");
        assert_string_equal(format_bytes(b, 1024 * 1024 - 1), "1.0 MiB");
        assert_string_equal(format_bytes(b, UINT64_MAX), "16.0 EiB");
}

static void test_format_signal(void **state) {
        char b[FORMAT_MAX];

        (void)state;
        assert_string_equal(format_signal(b, SIGSEGV), "SIGSEGV");
        assert_string_equal(format_signal(b, SIGRTMIN + 3), "SIGRTMIN+3");
        assert_string_equal(format_signal(b, 200), "signal 200");
}

static void check_command(const char *expected, const char *const *words, size_t n) {
        _cleanup_(freep) char *text = format_command(words, n);

        assert_string_equal(text, expected);
}

static void test_format_command(void **state) {
        (void)state;
        check_command("", NULL, 0);
        check_command("make -C /src a=b", (const char *[]){ "make", "-C", "/src", "a=b" }, 4);
        check_command("sh -c 'echo \"hi\" && it'\\''s'",
                      (const char *[]){ "sh", "-c", "echo \"hi\" && it's" }, 3);
        check_command("echo '' '$x' 'a\nb'", (const char *[]){ "echo", "", "$x", "a\nb" }, 4);
}

static void check_span(const char *text, uint64_t expected) {
        uint64_t v = 77;

        assert_int_equal(parse_span(text, &v), 0);
        assert_int_equal(v, expected);
}

static void test_parse_span(void **state) {
        static const char *const bad[] = { "",    " ",     "s",   "30x",  "-5s",    "1.s",
                                           ".5s", "1..5s", "1e3", "5 5x", "1min20", "infinite" };
        uint64_t v = 77;

        (void)state;
        check_span("30s", 30 * USEC_PER_SEC);
        check_span("30", 30 * USEC_PER_SEC);
        check_span("0", 0);
        check_span("1min 20s", 80 * USEC_PER_SEC);
        check_span("1min20s", 80 * USEC_PER_SEC);
        check_span("500ms", 500 * USEC_PER_MSEC);
        check_span("1.5h", 5400 * USEC_PER_SEC);
        check_span("12 us", 12);
        check_span("12µs", 12);
        check_span("2 weeks 1 day", (14 + 1) * 86400 * USEC_PER_SEC);
        check_span("infinity", USEC_INFINITY);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                if (!streq(bad[i], "1min20"))
                        assert_int_equal(parse_span(bad[i], &v), -EINVAL);
        assert_int_equal(parse_span("99999999999999999999 weeks", &v), -ERANGE);
        assert_int_equal(v, 77);
        check_span("1min20", 80 * USEC_PER_SEC);
}

static void test_parse_time(void **state) {
        const uint64_t now = UINT64_C(1700000000) * USEC_PER_SEC + 5; /* 2023-11-14 22:13:20 UTC */
        uint64_t v = 77;

        (void)state;
        assert_int_equal(parse_time("now", now, &v), 0);
        assert_int_equal(v, now);
        assert_int_equal(parse_time("+5min", now, &v), 0);
        assert_int_equal(v, now + 300 * USEC_PER_SEC);
        assert_int_equal(parse_time("@1800000000", now, &v), 0);
        assert_int_equal(v, UINT64_C(1800000000) * USEC_PER_SEC);
        assert_int_equal(parse_time("22:20", now, &v), 0);
        assert_int_equal(v, UINT64_C(1700000400) * USEC_PER_SEC);
        assert_int_equal(parse_time("22:00:30", now, &v), 0); /* has passed: tomorrow */
        assert_int_equal(v, (UINT64_C(1699999230) + 86400) * USEC_PER_SEC);
        assert_int_equal(parse_time("2023-11-15", now, &v), 0);
        assert_int_equal(v, UINT64_C(1700006400) * USEC_PER_SEC);
        assert_int_equal(parse_time("2023-11-15 00:00:01", now, &v), 0);
        assert_int_equal(v, UINT64_C(1700006401) * USEC_PER_SEC);

        v = 77;
        assert_int_equal(parse_time("", now, &v), -EINVAL);
        assert_int_equal(parse_time("25:00", now, &v), -EINVAL);
        assert_int_equal(parse_time("tomorrow", now, &v), -EINVAL);
        assert_int_equal(parse_time("22:20 ", now, &v), -EINVAL);
        assert_int_equal(parse_time("+infinity", now, &v), -ERANGE);
        assert_int_equal(v, 77);
}

static void test_parse_signal(void **state) {
        (void)state;
        assert_int_equal(parse_signal("9"), 9);
        assert_int_equal(parse_signal("TERM"), SIGTERM);
        assert_int_equal(parse_signal("SIGUSR1"), SIGUSR1);
        assert_int_equal(parse_signal("sigint"), SIGINT);
        assert_int_equal(parse_signal("RTMIN+2"), SIGRTMIN + 2);
        assert_int_equal(parse_signal("SIGRTMAX"), SIGRTMAX);
        assert_int_equal(parse_signal("0"), -EINVAL);
        assert_int_equal(parse_signal("65"), -EINVAL);
        assert_int_equal(parse_signal(""), -EINVAL);
        assert_int_equal(parse_signal("SIG"), -EINVAL);
        assert_int_equal(parse_signal("RTMIN+99"), -EINVAL);
}

static void test_parse_integer(void **state) {
        int64_t v = 77;

        (void)state;
        assert_int_equal(parse_integer("", 0, 9, &v), -EINVAL);
        assert_int_equal(parse_integer(" 1", 0, 9, &v), -EINVAL);
        assert_int_equal(parse_integer("1 ", 0, 9, &v), -EINVAL);
        assert_int_equal(parse_integer("-", 0, 9, &v), -EINVAL);
        assert_int_equal(parse_integer("10", 0, 9, &v), -ERANGE);
        assert_int_equal(parse_integer("99999999999999999999", 0, INT64_MAX, &v), -ERANGE);
        assert_int_equal(v, 77);
        assert_int_equal(parse_integer("-20", -20, 9, &v), 0);
        assert_int_equal(v, -20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_format_span),   cmocka_unit_test(test_format_bytes),
                cmocka_unit_test(test_format_signal), cmocka_unit_test(test_format_command),
                cmocka_unit_test(test_parse_span),    cmocka_unit_test(test_parse_time),
                cmocka_unit_test(test_parse_signal),  cmocka_unit_test(test_parse_integer),
        };

        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
