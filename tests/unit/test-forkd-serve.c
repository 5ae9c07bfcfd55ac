/* SPDX-License-Identifier: Apache-2.0 */

/* forkd_serve() in programs: by hand they are what they were, under forkd they are forkservers. */

#include "host-fixture.h"
#include "server-fixture.h"

#include <sys/stat.h>

#define LIST "the\na\nof\n"

/* A fresh file with this text. */
static void write_file(char path[static 32], const char *text) {
        int fd;

        strcpy(path, "/tmp/forkd-test-XXXXXX");
        fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static void test_by_hand(void **state) {
        char list[32], variable[64];
        HostStart start = { .argv = { WORDCOUNT }, .by_hand = true, .input = "The end of a day" };
        char *output, *log;
        Host h;

        (void)state;
        write_file(list, LIST);
        host_start(&h, &start);
        assert_int_equal(host_end(&h, &output, NULL), 0);
        assert_string_equal(output, "5\n");
        free(output);

        snprintf(variable, sizeof(variable), "WORDCOUNT_IGNORE=%s", list);
        start.environment[0] = variable;
        start.argv[1] = list;
        start.argv[2] = "/no/such/file";
        host_start(&h, &start);
        assert_int_equal(host_end(&h, &output, &log), 1);
        assert_int_equal(strncmp(output, "0 /tmp/", 7), 0);
        assert_string_equal(log,
                            "wordcount: cannot open /no/such/file: No such file or directory\n");
        free(output);
        free(log);
        unlink(list);
}

/* The list is read once, and gone before the first job. */
static void test_wordcount(void **state) {
        char list[32], text[32], variable[64], expected[64];
        HostStart start = { .argv = { WORDCOUNT }, .environment = { variable } };
        json_t *ready;
        char *output;
        Host h;

        (void)state;
        write_file(list, LIST);
        write_file(text, "the end of a day");
        assert_int_equal(chmod(text, 0644), 0);
        snprintf(variable, sizeof(variable), "WORDCOUNT_IGNORE=%s", list);
        snprintf(expected, sizeof(expected), "2 %s\n", text);

        host_start(&h, &start);
        ready = host_expect(h.channel, "Ready");
        unlink(list);
        assert_string_equal(json_string_value(json_object_get(
                                    json_array_get(json_object_get(ready, "entries"), 0), "name")),
                            "main");
        json_decref(ready);
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(host_run_main(&h, i, text, &output), 0);
                assert_string_equal(output, expected);
                free(output);
        }
        assert_int_equal(host_run_main(&h, 4, "/no/such/file", &output), 1);
        assert_string_equal(output, "");
        free(output);
        assert_int_equal(host_end(&h, NULL, NULL), 0);
        unlink(text);
}

static void test_alone(void **state) {
        HostStart start = { .argv = { PROGRAM, "keep", "x" }, .by_hand = true };
        char *output;
        Host h;

        (void)state;
        start.environment[0] = "FORKD_SERVER=somebody#1"; /* that alone means nothing */
        host_start(&h, &start);
        assert_int_equal(host_end(&h, &output, NULL), 0);
        assert_string_equal(output, "initialised\nalone 3 keep x ended 1 none\nafter\nbefore\n");
        free(output);
}

/* Handlers and buffers of before are the forkserver's; what it declared is open. */
static void test_worker(void **state) {
        HostStart start = { .argv = { PROGRAM, "keep" },
                            .environment = { "FORKD_ARGUMENTS={\"model\":\"small\"}" } };
        char *output;
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        assert_int_equal(host_run_main(&h, 1, "7", &output), 7);
        assert_string_equal(output, "worker 2 7 ended 1 small\nafter\n");
        free(output);
        assert_int_equal(host_run_main(&h, 2, NULL, &output), 0);
        assert_string_equal(output, "worker 1 ended 1 small\nafter\n");
        free(output);
        assert_int_equal(host_end(&h, &output, NULL), 0);
        assert_string_equal(output, "initialised\n");
        free(output);
}

static void test_one_shot(void **state) {
        HostStart start = { .argv = { PROGRAM, "thread" }, .one_shot = true };
        json_t *call = json_pack("{ss,s{s[s]}}", "entry", "main", "arguments", "argv", "0");
        char *output;
        Host h;

        (void)state;
        host_start(&h, &start);
        channel_adopt_one_shot(h.channel, "{}");
        assert_int_equal(packet_send(h.channel, "Call", call, NULL, 0), 0);
        json_decref(call);
        json_decref(host_expect(h.channel, "Returned"));
        host_expect_end(h.channel);
        assert_int_equal(host_end(&h, &output, NULL), 0);
        assert_non_null(strstr(output, "worker 2 0 ended 0 none\nafter\n"));
        free(output);
}

static void test_module(void **state) {
        HostStart start = { .argv = { PROGRAM, "module" } };
        json_t *answer;
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        assert_int_equal(host_answer(&h, 1, host_call(&h, 1, "count", json_object(), -1),
                                     "Returned", &answer),
                         0);
        assert_int_equal(
                json_integer_value(json_object_get(json_object_get(answer, "value"), "preloads")),
                0);
        json_decref(answer);
        assert_int_equal(
                host_answer(&h, 2, host_call(&h, 2, "main", json_object(), -1), "Raised", NULL), 1);
        assert_int_equal(host_end(&h, NULL, NULL), 0);
}

static void test_no_such_entry(void **state) {
        HostStart start = { .argv = { PROGRAM } };
        json_t *answer;
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        assert_int_equal(
                host_answer(&h, 1, host_call(&h, 1, "count", json_object(), -1), "Raised", &answer),
                1);
        assert_string_equal(json_string_value(json_object_get(answer, "code")), "NoSuchEntry");
        json_decref(answer);
        assert_int_equal(host_end(&h, NULL, NULL), 0);
}

static void test_refuses(void **state) {
        static const struct {
                HostStart start;
                const char *reason;
        } cases[] = {
                { { .argv = { PROGRAM, "thread" } }, "'program' is running" },
                { { .argv = { PROGRAM, "leak" } }, " (/dev/full) is open and undeclared" },
                { { .argv = { PROGRAM, "bad" } }, "module '' has no name: set .name" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *refused;
                char *log;
                Host h;

                host_start(&h, &cases[i].start);
                refused = host_expect(h.channel, "Refused");
                host_expect_end(h.channel);
                assert_int_equal(host_end(&h, NULL, &log), EXIT_FAILURE);
                assert_non_null(strstr(json_string_value(json_object_get(refused, "reason")),
                                       cases[i].reason));
                assert_non_null(strstr(log, cases[i].reason));
                free(log);
                json_decref(refused);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_by_hand),       cmocka_unit_test(test_wordcount),
                cmocka_unit_test(test_alone),         cmocka_unit_test(test_worker),
                cmocka_unit_test(test_one_shot),      cmocka_unit_test(test_module),
                cmocka_unit_test(test_no_such_entry), cmocka_unit_test(test_refuses),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
