/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/json-text.h: what it writes is what jansson reads. */

#include "json-text.h"

#include "failing-alloc.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static json_t *parse(const JsonText *t) {
        json_error_t error;
        json_t *json = json_loadb(t->text, t->length, JSON_REJECT_DUPLICATES, &error);

        if (!json)
                fail_msg("%s at %d: %.*s", error.text, error.position, (int)t->length, t->text);
        assert_int_equal(t->text[t->length], '\0');
        return json;
}

static void write_everything(JsonText *t) {
        char a[] = "a", empty[] = "", umlaut[] = "\xc3\xa4", *list[] = { a, empty, umlaut, NULL },
             *none[] = { NULL };

        json_text_open(t, NULL, '{');
        json_text_string(t, "s", "x\"\\\n\t\x01/\x7f");
        json_text_string(t, "absent", NULL);
        json_text_int(t, "min", INT64_MIN);
        json_text_int(t, "max", INT64_MAX);
        json_text_bool(t, "yes", true);
        json_text_bool(t, "no", false);
        json_text_null(t, "null");
        json_text_raw(t, "raw", "{\"a\":[1,2]}, and more", 11);
        json_text_strings(t, "list", list);
        json_text_strings(t, "none", none);
        json_text_strings(t, "gone", NULL);
        json_text_open(t, "nested", '[');
        json_text_open(t, NULL, '{');
        json_text_close(t, '}');
        json_text_int(t, NULL, 7);
        json_text_null(t, NULL);
        json_text_open(t, NULL, '[');
        json_text_close(t, ']');
        json_text_close(t, ']');
        json_text_bool(t, "last", true);
        json_text_close(t, '}');
}

static void check_everything(const JsonText *t) {
        json_t *json = parse(t),
               *expected =
                       json_pack("{ss sI sI sb sb sn s{s[ii]} s[sss] s[] s[{}in[]] sb}", "s",
                                 "x\"\\\n\t\x01/\x7f", "min", (json_int_t)INT64_MIN, "max",
                                 (json_int_t)INT64_MAX, "yes", 1, "no", 0, "null", "raw", "a", 1, 2,
                                 "list", "a", "", "\xc3\xa4", "none", "nested", 7, "last", 1);

        assert_non_null(expected);
        assert_true(json_equal(json, expected));
        json_decref(json);
        json_decref(expected);
}

static void test_everything(void **state) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        (void)state;
        write_everything(&t);
        assert_int_equal(json_text_finish(&t), 0);
        check_everything(&t);

        /* used again, nothing of before is left */
        json_text_reset(&t);
        json_text_open(&t, NULL, '[');
        json_text_close(&t, ']');
        assert_int_equal(json_text_finish(&t), 0);
        assert_string_equal(t.text, "[]");
        json_text_reset(&t);
        write_everything(&t);
        check_everything(&t);
}

/* ---- strings */

/* What a decoder that follows the Unicode standard makes of bytes: by its table of well-formed
 * sequences, each byte of anything else becoming one U+FFFD. Written from the numbers of code
 * points, unlike the writer's table of bytes. */
static size_t decode(const unsigned char *s, char *ret) {
        size_t length = s[0] < 0x80       ? 1
                        : s[0] >> 5 == 6  ? 2
                        : s[0] >> 4 == 14 ? 3
                        : s[0] >> 3 == 30 ? 4
                                          : 0;
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t point = length == 1 ? s[0] : length > 0 ? s[0] & (0x7fu >> length) : 0;

        for (size_t i = 1; i < length; i++) {
                if (s[i] >> 6 != 2) {
                        length = 0;
                        break;
                }
                point = point << 6 | (s[i] & 0x3f);
        }
        if (length == 0 || point < least[length] || point > 0x10ffff ||
            (point >= 0xd800 && point < 0xe000)) {
                memcpy(ret, "\xef\xbf\xbd", 4);
                return 1;
        }
        memcpy(ret, s, length);
        ret[length] = '\0';
        return length;
}

static void check_string(const char *s) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        char expected[512] = "", one[8];
        json_t *json;

        for (const unsigned char *p = (const unsigned char *)s; *p;) {
                p += decode(p, one);
                strcat(expected, one);
        }

        json_text_open(&t, NULL, '[');
        json_text_string(&t, NULL, s);
        json_text_close(&t, ']');
        assert_int_equal(json_text_finish(&t), 0);
        json = parse(&t);
        assert_string_equal(json_string_value(json_array_get(json, 0)), expected);
        json_decref(json);
}

static void test_every_short_string(void **state) {
        char s[3] = "";

        (void)state;
        for (unsigned a = 1; a < 256; a++)
                for (unsigned b = 0; b < 256; b++) {
                        s[0] = (char)a;
                        s[1] = (char)b;
                        check_string(s);
                }
}

static void test_edges_of_utf8(void **state) {
        static const char *const strings[] = {
                "\xc0\x80",
                "\xc1\xbf",
                "\xc2\x80",
                "\xdf\xbf",
                "\xe0\x9f\xbf",
                "\xe0\xa0\x80",
                "\xed\x9f\xbf",
                "\xed\xa0\x80",
                "\xed\xbf\xbf",
                "\xee\x80\x80",
                "\xef\xbf\xbf",
                "\xf0\x8f\xbf\xbf",
                "\xf0\x90\x80\x80",
                "\xf4\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xf8\x88\x80\x80\x80",
                "\xff\xfe",
                "a\xe2\x82",
                "\xe2\x82\xac",
                "\xf0\x9f\x98",
                "\xf0\x9f\x98\x80z",
                "\x80\x80",
                "\xef\xbb\xbf",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(strings); i++)
                check_string(strings[i]);
}

static uint32_t next_random(uint32_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 17;
        *seed ^= *seed << 5;
        return *seed;
}

/* Bytes of all kinds: any, ASCII, and those that begin or go on with long sequences. */
static void test_random_strings(void **state) {
        uint32_t seed = 2463534242u;

        (void)state;
        for (int i = 0; i < 20000; i++) {
                char s[128];
                size_t n = next_random(&seed) % 120;

                for (size_t k = 0; k < n; k++) {
                        uint32_t r = next_random(&seed), byte = r >> 8 & 0xff;

                        byte = r % 4 == 0   ? byte
                               : r % 4 == 1 ? byte & 0x7f
                               : r % 4 == 2 ? byte | 0xc0
                                            : (byte & 0x3f) | 0x80;
                        s[k] = (char)(byte ?: 1);
                }
                s[n] = '\0';
                check_string(s);
        }
}

static void test_long(void **state) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        size_t n = 3 * 1024 * 1024;
        char *s = malloc(n + 1);
        json_t *json;

        (void)state;
        assert_non_null(s);
        memset(s, '\x01', n);
        s[n] = '\0';
        json_text_open(&t, NULL, '{');
        for (int i = 0; i < 1000; i++) {
                char key[16];

                snprintf(key, sizeof(key), "k%d", i);
                json_text_int(&t, key, i);
        }
        json_text_string(&t, "s", s);
        json_text_close(&t, '}');
        json = parse(&t);
        assert_int_equal(json_object_size(json), 1001);
        assert_int_equal(json_string_length(json_object_get(json, "s")), n);
        assert_int_equal(json_integer_value(json_object_get(json, "k999")), 999);
        json_decref(json);
        free(s);
}

/* An error sticks, whichever allocation it was, and what comes after it does no harm. */
static void test_no_memory(void **state) {
        size_t n = 0;
        bool failed;

        (void)state;
        do {
                _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

                alloc_fail_at(n++);
                for (int i = 0; i < 20; i++)
                        write_everything(&t);
                failed = alloc_failed();
                assert_int_equal(json_text_finish(&t), failed ? -ENOMEM : 0);

                json_text_reset(&t);
                write_everything(&t);
                assert_int_equal(json_text_finish(&t), 0);
                check_everything(&t);
        } while (failed);
        assert_true(n > 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everything),    cmocka_unit_test(test_every_short_string),
                cmocka_unit_test(test_edges_of_utf8), cmocka_unit_test(test_random_strings),
                cmocka_unit_test(test_long),          cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
