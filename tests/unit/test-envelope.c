/* SPDX-License-Identifier: Apache-2.0 */

/* proto/envelope.c: what is a call, and what is captured of it, however its members are spelled. */

#include "envelope.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const capture_paths[] = { "parameters/arguments", "parameters/l/*", NULL };

static const char *const *captures(const char *method, void *userdata) {
        (void)userdata;
        return strcmp(method, "a.Capture") == 0 ? capture_paths : NULL;
}

static int parse(const char *text, Envelope *ret) {
        const char *why = NULL;
        int r = envelope_parse(text, strlen(text), captures, NULL, ret, &why);

        if (r != 0)
                assert_true(why && strlen(why) > 8);
        return r;
}

static void check(const char *text, int result) {
        Envelope e = ENVELOPE_NULL;
        int r = parse(text, &e);

        if (r != result)
                fail_msg("%s: %d, not %d", text, r, result);
        if (r == 0)
                assert_true(json_is_object(e.parameters));
        else
                assert_null(e.root); /* untouched */
        envelope_done(&e);
}

static void test_accepted(void **state) {
        (void)state;
        check("{\"method\":\"a.B\"}", 0);
        check("{\"method\":\"\"}", 0);
        check("{\"method\":\"a.B\",\"parameters\":{}}", 0);
        check("{\"method\":\"a.B\",\"parameters\":null}", 0);
        check("{\"parameters\":{\"method\":1},\"method\":\"a.B\"}", 0);
        check("{\"method\":\"a.B\",\"more\":true,\"oneway\":false,\"upgrade\":false}", 0);
        check("{\"method\":\"a.B\",\"org.example.trace\":[1,{}]}", 0);
        check("{\"method\":\"a.B\",\".\":1}", 0);
        check(" {\n\"method\" : \"a.B\" } ", 0);
}

static void test_refused(void **state) {
        static const char *const texts[] = {
                "",
                "x",
                "[]",
                "\"a.B\"",
                "null",
                "{}",
                "{\"parameters\":{}}",
                "{\"method\":1}",
                "{\"method\":null}",
                "{\"method\":[\"a.B\"]}",
                "{\"method\":\"a.B\"",
                "{\"method\":\"a.B\"}}",
                "{\"method\":\"a.B\",}",
                "{\"method\":\"a.B\",\"method\":\"a.C\"}",
                "{\"method\":\"a.B\",\"parameters\":{\"a\":1,\"a\":2}}",
                "{\"method\":\"a.B\",\"parameters\":[]}",
                "{\"method\":\"a.B\",\"parameters\":\"\"}",
                "{\"method\":\"a.B\",\"parameters\":0}",
                "{\"method\":\"a.B\",\"parameters\":false}",
                "{\"method\":\"a.B\",\"more\":1}",
                "{\"method\":\"a.B\",\"more\":null}",
                "{\"method\":\"a.B\",\"oneway\":\"true\"}",
                "{\"method\":\"a.B\",\"upgrade\":{}}",
                "{\"method\":\"a.B\",\"more\":true,\"oneway\":true}",
                "{\"method\":\"a.B\",\"more\":true,\"upgrade\":true}",
                "{\"method\":\"a.B\",\"oneway\":true,\"upgrade\":true}",
                "{\"method\":\"a.B\",\"more\":true,\"oneway\":true,\"upgrade\":true}",
                "{\"method\":\"a.B\",\"unknown\":1}",
                "{\"method\":\"a.B\",\"\":1}",
                "{\"method\":\"a.B\",\"More\":true}",
                "{\"method\":\"a.B\",\"parameters\":{\"s\":\"\xff\"}}",
                "{\"method\":\"a.B\",\"parameters\":{\"n\":1e999}}",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                check(texts[i], ENVELOPE_E_INVALID);
}

static void test_flags(void **state) {
        static const struct {
                const char *text;
                bool more, oneway, upgrade;
        } table[] = {
                { "{\"method\":\"a.B\"}", false, false, false },
                { "{\"method\":\"a.B\",\"more\":true}", true, false, false },
                { "{\"method\":\"a.B\",\"oneway\":true}", false, true, false },
                { "{\"method\":\"a.B\",\"upgrade\":true}", false, false, true },
                { "{\"method\":\"a.B\",\"more\":false,\"oneway\":true}", false, true, false },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                Envelope e;

                assert_int_equal(parse(table[i].text, &e), 0);
                assert_string_equal(e.method, "a.B");
                assert_int_equal(e.more, table[i].more);
                assert_int_equal(e.oneway, table[i].oneway);
                assert_int_equal(e.upgrade, table[i].upgrade);
                envelope_done(&e);
        }
}

/* The captured texts, joined, and the rest of the parameters. */
static void check_captured(const char *text, const char *joined, const char *rest) {
        char all[256] = "", *dump;
        Envelope e;

        assert_int_equal(parse(text, &e), 0);
        for (size_t i = 0; i < e.scan.n_spans; i++) {
                strncat(all, text + e.scan.spans[i].offset, e.scan.spans[i].length);
                strcat(all, ";");
        }
        assert_string_equal(all, joined);
        dump = json_dumps(e.parameters, JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(dump, rest);
        free(dump);
        envelope_done(&e);
}

static void test_captures(void **state) {
        (void)state;
        check_captured(
                "{\"method\":\"a.Capture\",\"parameters\":{\"arguments\":{\"x\": 1},\"b\":2}}",
                "{\"x\": 1};", "{\"arguments\":0,\"b\":2}");
        check_captured("{\"parameters\":{\"l\":[{},{\"y\":[]},3]},\"method\":\"a.Capture\"}",
                       "{};{\"y\":[]};", "{\"l\":[0,0,3]}");
        check_captured("{\"method\":\"a.Capture\"}", "", "{}");
        check_captured("{\"method\":\"a.Other\",\"parameters\":{\"arguments\":{\"x\":1}}}", "",
                       "{\"arguments\":{\"x\":1}}");
        /* however it is spelled, and wherever it stands */
        check_captured("{\"\\u006dethod\":\"a.Capture\",\"parameters\":{\"arguments\":{}}}", "{};",
                       "{\"arguments\":0}");
        check_captured("{\"method\":\"a\\u002eCapture\",\"parameters\":{\"arguments\":{}}}", "{};",
                       "{\"arguments\":0}");
        check_captured("{\"x.y\":{\"method\":\"a.Other\"},\"method\":\"a.Capture\","
                       "\"parameters\":{\"arguments\":{}}}",
                       "{};", "{\"arguments\":0}");
        check_captured("{\"x.y\":\"\\\"method\\\":\",\"method\" :\t\"a.Capture\","
                       "\"parameters\":{\"arguments\":{}}}",
                       "{};", "{\"arguments\":0}");
        check_captured("{\"x.y\":[\"method\"],\"method\":\"a.Capture\","
                       "\"parameters\":{\"arguments\":{}}}",
                       "{};", "{\"arguments\":0}");
        check_captured(
                "{\"x.y\":\"method\",\"method\":\"a.Capture\",\"parameters\":{\"arguments\":{}}}",
                "{};", "{\"arguments\":0}");
        /* a method that only looks like it */
        check_captured("{\"\\u006dethod\":\"a.Other\",\"parameters\":{\"arguments\":{}}}", "",
                       "{\"arguments\":{}}");
        /* what the second reading refuses */
        check("{\"method\":\"a.Capture\",\"\\u006dethod\":\"a.Other\"}", ENVELOPE_E_INVALID);
        check("{\"method\":\"a\\u002eCapture\",\"bad\":1}", ENVELOPE_E_INVALID);
}

static void test_long_method(void **state) {
        char text[1024], name[600];
        Envelope e;

        (void)state;
        memset(name, 'm', sizeof(name));
        name[sizeof(name) - 1] = 0;
        snprintf(text, sizeof(text), "{\"method\":\"a.%s\"}", name);
        assert_int_equal(parse(text, &e), 0);
        assert_string_equal(e.method + 2, name);
        envelope_done(&e);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_accepted),    cmocka_unit_test(test_refused),
                cmocka_unit_test(test_flags),       cmocka_unit_test(test_captures),
                cmocka_unit_test(test_long_method),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
