/* SPDX-License-Identifier: Apache-2.0 */

/* The modules that are shipped as examples, called as a worker would. */

#include "basic.h"

#include "call.h"
#include "module.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>

#include <cmocka.h>

typedef struct Reply {
        json_t *value;
        char code[32];
        char text[256];
} Reply;

static int load(void **state, const char *file) {
        char *names[] = { (char *)file, NULL }, *reason = NULL;
        ModuleSet *set;

        if (modules_load(&set, names, &reason) != 0) {
                fprintf(stderr, "%s\n", reason);
                free(reason);
                return -1;
        }
        *state = set;
        return 0;
}

static int setup_spell(void **state) {
        return load(state, EXAMPLE_MODULES "/spell.so");
}

static int setup_hello(void **state) {
        return load(state, EXAMPLE_MODULES "/hello.so");
}

static int setup_numbers(void **state) {
        return load(state, EXAMPLE_MODULES "/numbers.so");
}

static int teardown(void **state) {
        modules_free(*state);
        return 0;
}

static Reply run(void **state, const char *entry, json_t *arguments, bool cancelled) {
        WorkerChannel channel = { .fd = -1 };
        Reply reply = { 0 };
        ForkdCall call;
        int r;

        call_init(&call, &channel, cancelled ? 0 : USEC_INFINITY);
        r = modules_find(*state, entry, NULL)->function(&call, arguments, &reply.value);
        json_decref(arguments);
        assert_int_equal(r, call.code ? -ECANCELED : 0);
        snprintf(reply.code, sizeof(reply.code), "%s", call.code ?: "");
        snprintf(reply.text, sizeof(reply.text), "%s", call.text ?: "");
        call_done(&call);
        return reply;
}

static void assert_reply(void **state, const char *entry, json_t *arguments, const char *value) {
        Reply reply = run(state, entry, arguments, false);
        char *text;

        assert_string_equal(reply.text, "");
        text = json_dumps(reply.value, JSON_COMPACT);
        assert_string_equal(text, value);
        free(text);
        json_decref(reply.value);
}

static void assert_error(void **state, const char *entry, json_t *arguments, const char *code,
                         const char *text) {
        Reply reply = run(state, entry, arguments, false);

        assert_string_equal(reply.code, code);
        assert_string_equal(reply.text, text);
}

static void test_check(void **state) {
        assert_reply(state, "check", json_pack("{ss}", "text", "All THESE words, the dog's too.\n"),
                     "{\"words\":6,\"unknown\":[],\"preloads\":1,\"truncated\":false}");
        assert_reply(
                state, "check", json_pack("{ss}", "text", "café\n ’wrod’ x86 a_b 3rd ’dog’"),
                "{\"words\":3,\"unknown\":[{\"word\":\"wrod\",\"line\":2,\"column\":3}],\"preloads\":1,\"truncated\":false}");
        assert_reply(state, "check", json_pack("{ss}", "text", ""),
                     "{\"words\":0,\"unknown\":[],\"preloads\":1,\"truncated\":false}");
}

static void test_shipped_text(void **state) {
        static const char *const expected[] = { "beleives",   "wich",    "rigth",  "untill",
                                                "definately", "recieve", "tomorow" };
        Reply reply =
                run(state, "check", json_pack("{ss}", "path", EXAMPLE_SOURCES "/text.txt"), false);
        json_t *unknown = json_object_get(reply.value, "unknown");

        assert_int_equal(json_array_size(unknown), ELEMENTSOF(expected));
        for (size_t i = 0; i < ELEMENTSOF(expected); i++)
                assert_string_equal(
                        json_string_value(json_object_get(json_array_get(unknown, i), "word")),
                        expected[i]);
        json_decref(reply.value);
}

static void test_check_errors(void **state) {
        static const char either[] = "give either 'path', the name of a file, or 'text'";

        assert_error(state, "check", json_object(), "InvalidArgument", either);
        assert_error(state, "check", json_pack("{ss,ss}", "path", "/x", "text", "x"),
                     "InvalidArgument", either);
        assert_error(state, "check", json_pack("{ss}", "path", "/no/such/file"), "CannotRead",
                     "cannot read '/no/such/file': No such file or directory");
        assert_error(state, "check", json_pack("{ss}", "path", "/"), "CannotRead",
                     "cannot read '/': Is a directory");
        assert_error(state, "suggest", json_object(), "InvalidArgument",
                     "'word' must be a text of 1 to 63 bytes");
}

static void test_suggest(void **state) {
        Reply reply = run(state, "suggest", json_pack("{ss}", "word", "recieve"), false);
        json_t *suggestions = json_object_get(reply.value, "suggestions");

        assert_string_equal(json_string_value(json_array_get(suggestions, 0)), "receive");
        assert_true(json_array_size(suggestions) <= 10);
        json_decref(reply.value);
        assert_reply(state, "suggest", json_pack("{ss}", "word", "xqzxqzxqz"),
                     "{\"suggestions\":[]}");
}

static void test_statistics(void **state) {
        Reply reply = run(state, "statistics", json_object(), false);

        assert_int_equal(json_integer_value(json_object_get(reply.value, "preloads")), 1);
        assert_true(json_integer_value(json_object_get(reply.value, "words")) > 1000);
        json_decref(reply.value);
}

static void test_no_dictionary(void **state) {
        int status;
        pid_t pid;

        (void)state;
        /* elsewhere, as a preload is not undone */
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                char *names[] = { (char *)EXAMPLE_MODULES "/spell.so", NULL }, *reason = NULL;
                ModuleSet *set;

                setenv("SPELL_DICTIONARY", "/no/such/list", 1);
                if (modules_load(&set, names, &reason) != MODULES_E_FAILED ||
                    !strstr(reason, "preload failed: No such file or directory"))
                        _exit(1);
                _exit(42);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void test_factorial(void **state) {
        Reply reply;

        assert_reply(state, "factorial", json_pack("{si}", "n", 0), "{\"value\":\"1\"}");
        assert_reply(state, "factorial", json_pack("{sf}", "n", 5.0), "{\"value\":\"120\"}");
        assert_reply(state, "factorial", json_pack("{si}", "n", 30),
                     "{\"value\":\"265252859812191058636308480000000\"}");
        assert_error(state, "factorial", json_pack("{si}", "n", -1), "InvalidArgument",
                     "'n' must be an integer from 0 to 10000");
        assert_error(state, "factorial", json_pack("{si}", "n", 10001), "InvalidArgument",
                     "'n' must be an integer from 0 to 10000");
        assert_error(state, "factorial", json_pack("{sf}", "n", 1.5), "InvalidArgument",
                     "'n' must be an integer from 0 to 10000");
        assert_error(state, "factorial", json_object(), "InvalidArgument",
                     "'n' must be an integer from 0 to 10000");

        reply = run(state, "factorial", json_pack("{si}", "n", 10000), false);
        assert_int_equal(json_string_length(json_object_get(reply.value, "value")), 35660);
        json_decref(reply.value);
        reply = run(state, "factorial", json_pack("{si}", "n", 10000), true);
        assert_string_equal(reply.code, "Cancelled");
}

static void test_primes(void **state) {
        Reply reply;

        assert_reply(state, "primes", json_pack("{si}", "below", 2), "{\"count\":0}");
        assert_reply(state, "primes", json_pack("{si}", "below", 3), "{\"count\":1,\"largest\":2}");
        assert_reply(state, "primes", json_pack("{si}", "below", 97),
                     "{\"count\":24,\"largest\":89}");
        assert_reply(state, "primes", json_pack("{si}", "below", 1000000),
                     "{\"count\":78498,\"largest\":999983}");
        reply = run(state, "primes", json_pack("{si}", "below", 1000000), true);
        assert_string_equal(reply.code, "Cancelled");
}

static void test_pi(void **state) {
        const char *digits;
        Reply reply;

        assert_reply(state, "pi", json_pack("{si}", "digits", 1), "{\"value\":\"3.1\"}");
        assert_reply(state, "pi", json_pack("{si}", "digits", 40),
                     "{\"value\":\"3.1415926535897932384626433832795028841971\"}");
        reply = run(state, "pi", json_pack("{si}", "digits", 10000), false);
        digits = json_string_value(json_object_get(reply.value, "value"));
        assert_int_equal(strlen(digits), 10002);
        assert_memory_equal(digits + 2 + 761, "999999", 6); /* Feynman's point */
        assert_string_equal(digits + 10002 - 10, "5256375678");
        json_decref(reply.value);
        reply = run(state, "pi", json_pack("{si}", "digits", 10000), true);
        assert_string_equal(reply.code, "Cancelled");
}

static void test_hello(void **state) {
        assert_reply(state, "hello", json_pack("{ss}", "name", "Anna"),
                     "{\"greeting\":\"hello Anna\"}");
        assert_error(state, "hello", json_object(), "InvalidArgument", "whom? give name=TEXT");
}

int main(void) {
        const struct CMUnitTest hello[] = {
                cmocka_unit_test(test_hello),
        };
        const struct CMUnitTest spell[] = {
                cmocka_unit_test(test_check),        cmocka_unit_test(test_shipped_text),
                cmocka_unit_test(test_check_errors), cmocka_unit_test(test_suggest),
                cmocka_unit_test(test_statistics),   cmocka_unit_test(test_no_dictionary),
        };
        const struct CMUnitTest numbers[] = {
                cmocka_unit_test(test_factorial),
                cmocka_unit_test(test_primes),
                cmocka_unit_test(test_pi),
        };

        return cmocka_run_group_tests(hello, setup_hello, teardown) +
               cmocka_run_group_tests(spell, setup_spell, teardown) +
               cmocka_run_group_tests(numbers, setup_numbers, teardown);
}
