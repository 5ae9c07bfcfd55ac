/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/certificate.h: sentences, and the JSON of org.forkd.jobs. */

#include "certificate.h"

#include "failing-alloc.h"
#include "interfaces.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

#define MS USEC_PER_MSEC
#define S  USEC_PER_SEC

/* Members that own their text; these never free it. */
#define TEXT(s) ((char *)(s))

typedef struct Case {
        Certificate c;
        const char *sentence;
} Case;

static const Case cases[] = {
        { { .result = RESULT_SUCCESS, .run_usec = 3 * MS }, "succeeded after 3 ms" },
        { { .result = RESULT_SUCCESS, .run_usec = 999 }, "succeeded after 999 µs" },
        { { .result = RESULT_SUCCESS,
            .entry = true,
            .answered = true,
            .run_usec = 2 * S + 590 * MS,
            .value = TEXT("{\"a\":[1]}"),
            .value_length = 9 },
          "succeeded after 2.5 s" },
        { { .result = RESULT_SUCCESS,
            .stdout_lost = 8192,
            .stderr_lost = 4096,
            .has_stdout = true,
            .has_stderr = true,
            .stdout_bytes = 9000,
            .stderr_bytes = 5000,
            .stderr_tail = TEXT("one\ntwo \xff\"") },
          "succeeded after 0 µs; 12288 bytes of its output were given up" },
        { { .result = RESULT_EXIT,
            .status = 1,
            .left_behind = 2,
            .has_stdout = true,
            .stdout_lost = 4096 },
          "exited with status 1 after 0 µs; it left 2 processes behind, which were ended; 4096 bytes of its output were given up" },
        { { .result = RESULT_EXIT, .status = 3, .run_usec = 80 * S },
          "exited with status 3 after 1 min 20 s" },
        { { .result = RESULT_EXIT, .status = 0, .entry = true, .run_usec = MS },
          "exited with status 0 after 1 ms, without an answer" },
        { { .result = RESULT_EXIT, .status = 255, .left_behind = 1, .run_usec = MS },
          "exited with status 255 after 1 ms; it left 1 process behind, which was ended" },
        { { .result = RESULT_SIGNAL, .signal = SIGSEGV, .run_usec = 3 * MS },
          "killed by SIGSEGV after 3 ms" },
        { { .result = RESULT_SIGNAL, .signal = SIGKILL, .run_usec = 3 * MS, .left_behind = 16 },
          "killed by SIGKILL after 3 ms; it left 16 processes behind, which were ended" },
        { { .result = RESULT_CORE_DUMP, .signal = SIGABRT, .run_usec = 59 * S },
          "killed by SIGABRT after 59 s, core dumped" },
        { { .result = RESULT_ERROR,
            .code = TEXT("NotFound"),
            .text = TEXT("no such word"),
            .entry = true,
            .answered = true,
            .run_usec = 12 * MS },
          "failed after 12 ms: NotFound: no such word" },
        { { .result = RESULT_ERROR, .run_usec = 12 * MS }, "failed after 12 ms: error: no text" },
        { { .result = RESULT_TIMEOUT, .signal = SIGTERM, .run_usec = S },
          "timed out after 1.0 s, killed by SIGTERM" },
        { { .result = RESULT_TIMEOUT, .status = 0, .run_usec = S },
          "timed out after 1.0 s, exited with status 0" },
        { { .result = RESULT_TIMEOUT, .status = -1, .run_usec = S }, "timed out after 1.0 s" },
        { { .result = RESULT_QUEUE_TIMEOUT, .status = -1, .queue_usec = 5 * S },
          "never started: still queued after 5.0 s" },
        { { .result = RESULT_OOM, .signal = SIGKILL, .run_usec = 3600 * S, .memory_peak = 1 << 20 },
          "killed after 1 h 0 min: out of memory" },
        { { .result = RESULT_CANCELLED,
            .status = -1,
            .cancelled = true,
            .by_uid = 1000,
            .by_pid = 42 },
          "cancelled by uid 1000 (pid 42) before it ran" },
        { { .result = RESULT_CANCELLED, .status = -1, .text = TEXT("forkd is stopping") },
          "cancelled: forkd is stopping before it ran" },
        { { .result = RESULT_CANCELLED,
            .signal = SIGTERM,
            .run_usec = MS,
            .cancelled = true,
            .by_pid = 1 },
          "cancelled by uid 0 (pid 1) after 1 ms, killed by SIGTERM" },
        { { .result = RESULT_CANCELLED,
            .status = 7,
            .run_usec = MS,
            .text = TEXT("its client has gone") },
          "cancelled: its client has gone after 1 ms, exited with status 7" },
        { { .result = RESULT_CANCELLED, .status = -1, .ran = true, .run_usec = MS },
          "cancelled after 1 ms; nobody could see how it ended" },
        { { .result = RESULT_DEPENDENCY,
            .status = -1,
            .text = TEXT("job 7, which it waits for, has failed") },
          "never started: job 7, which it waits for, has failed" },
        { { .result = RESULT_DEPENDENCY, .status = -1 },
          "never started: a job that it waits for has failed" },
        { { .result = RESULT_SETUP_FAILED,
            .status = -1,
            .stage = TEXT("directory"),
            .error = ENOENT,
            .text = TEXT("/x") },
          "could not start: while changing directory to '/x': No such file or directory" },
        { { .result = RESULT_SETUP_FAILED,
            .status = -1,
            .stage = TEXT("exec"),
            .error = EACCES,
            .text = TEXT("/bin/x") },
          "could not start: while executing '/bin/x': Permission denied" },
        { { .result = RESULT_SETUP_FAILED, .status = -1, .stage = TEXT("fork"), .error = EAGAIN },
          "could not start: while forking a worker: Resource temporarily unavailable" },
        { { .result = RESULT_SETUP_FAILED,
            .status = -1,
            .stage = TEXT("of-tomorrow"),
            .error = EINVAL },
          "could not start: while of-tomorrow: Invalid argument" },
        { { .result = RESULT_SERVER_FAILED,
            .status = -1,
            .text = TEXT("no forkserver has this entry any more") },
          "could not start: no forkserver has this entry any more" },
        { { .result = RESULT_SERVER_FAILED, .status = -1 },
          "could not start: its forkserver has failed" },
        { { .result = RESULT_LOST,
            .status = -1,
            .run_usec = S,
            .server = TEXT("spell"),
            .generation = 2,
            .text = TEXT("its forkserver died") },
          "lost after 1.0 s: its forkserver died" },
        { { .result = RESULT_LOST,
            .status = -1,
            .run_usec = S,
            .has_usage = true,
            .user_usec = 1,
            .system_usec = 2 },
          "lost after 1.0 s: nobody could see how it ended" },
};

static void test_sentences(void **state) {
        unsigned seen = 0;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char sentence[1024];

                certificate_sentence(&cases[i].c, sentence, sizeof(sentence));
                assert_string_equal(sentence, cases[i].sentence);
                seen |= 1u << cases[i].c.result;
        }
        assert_int_equal(seen, (1u << _RESULT_MAX) - 1);
}

/* Whatever the room, nothing is written beyond it, and what fits is the head of the sentence. */
static void test_sentence_in_little_room(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t size = 1; size < 200; size++) {
                        char little[300];

                        memset(little, '#', sizeof(little));
                        certificate_sentence(&cases[i].c, little, size);
                        assert_true(strlen(little) < size);
                        assert_memory_equal(little, cases[i].sentence,
                                            strlen(little) < 16 ? strlen(little) : 16);
                        for (size_t k = size; k < sizeof(little); k++)
                                assert_int_equal(little[k], '#');
                }
}

/* ---- against the interface file */

/* The fields of `type Certificate (…)`: name → type, "?int" and the like. */
static json_t *interface_fields(void) {
        const char *p = strstr(varlink_org_forkd_jobs, "type Certificate (");
        json_t *fields = json_object();
        char name[64], type[64];
        int n;

        assert_non_null(p);
        p = strchr(p, '(') + 1;
        while (sscanf(p, " %63[A-Za-z] : %63[?a-z]%n", name, type, &n) == 2) {
                json_object_set_new(fields, name, json_string(type));
                p += n;
                if (*p == ',')
                        p++;
        }
        assert_true(json_object_size(fields) > 20);
        return fields;
}

static void check_member(const json_t *fields, const char *name, const json_t *value) {
        const char *type = json_string_value(json_object_get(fields, name));

        if (!type) {
                fail_msg("the interface has no field '%s'", name);
                return;
        }
        type += *type == '?';
        if (streq(type, "int"))
                assert_true(json_is_integer(value));
        else if (streq(type, "string"))
                assert_true(json_is_string(value));
        else if (streq(type, "object"))
                assert_true(json_is_object(value));
        else
                fail_msg("field '%s' is of type %s, which this test does not know", name, type);
}

/* Every field that is not optional is there, every member is a field, and is noted in seen. */
static json_t *check_json(const Certificate *c, int value_descriptor, const json_t *fields,
                          json_t *seen) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        json_error_t error;
        json_t *json, *value;
        const char *name;

        certificate_write(c, &t, NULL, value_descriptor);
        assert_int_equal(json_text_finish(&t), 0);
        json = json_loadb(t.text, t.length, JSON_REJECT_DUPLICATES, &error);
        if (!json)
                fail_msg("%s: %s", error.text, t.text);

        json_object_foreach (json, name, value) {
                check_member(fields, name, value);
                json_object_set_new(seen, name, json_true());
        }
        json_object_foreach ((json_t *)fields, name, value)
                if (*json_string_value(value) != '?' && !json_object_get(json, name))
                        fail_msg("'%s' is missing", name);
        return json;
}

static json_int_t integer(const json_t *json, const char *name) {
        const json_t *value = json_object_get(json, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static void test_json_is_the_interface(void **state) {
        json_t *fields = interface_fields(), *seen = json_object();
        const char *name;
        json_t *value;

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Certificate *c = &cases[i].c;
                json_t *json = check_json(c, i == 2 ? -1 : (int)i, fields, seen);

                assert_string_equal(json_string_value(json_object_get(json, "result")),
                                    result_to_string(c->result));
                assert_string_equal(json_string_value(json_object_get(json, "sentence")),
                                    cases[i].sentence);
                assert_int_equal(integer(json, "runUSec"), c->run_usec);
                assert_int_equal(json_object_get(json, "status") != NULL, c->status >= 0);
                assert_int_equal(json_object_get(json, "signal") != NULL, c->signal != 0);
                assert_int_equal(json_object_get(json, "errno") != NULL, c->error != 0);
                assert_int_equal(json_object_get(json, "cancelledByUid") != NULL, c->cancelled);
                assert_int_equal(json_object_get(json, "leftBehind") != NULL, c->left_behind > 0);
                json_decref(json);
        }
        json_object_foreach (fields, name, value)
                if (!json_object_get(seen, name))
                        fail_msg("no certificate of this test has '%s'", name);
        json_decref(fields);
        json_decref(seen);
}

static void test_numbers(void **state) {
        Certificate c = {
                .id = INT64_MAX,
                .attempt = UINT32_MAX,
                .result = RESULT_CANCELLED,
                .status = 255,
                .signal = 64,
                .cancelled = true,
                .by_uid = UINT32_MAX - 1,
                .by_pid = 4194304,
                .queue_usec = UINT64_C(1) << 52,
                .memory_peak = UINT64_C(1) << 45,
        };
        json_t *fields = interface_fields(), *seen = json_object(),
               *json = check_json(&c, -1, fields, seen);

        (void)state;
        assert_int_equal(integer(json, "id"), INT64_MAX);
        assert_int_equal(integer(json, "attempt"), UINT32_MAX);
        assert_int_equal(integer(json, "cancelledByUid"), UINT32_MAX - 1);
        assert_int_equal(integer(json, "cancelledByPid"), 4194304);
        assert_int_equal(integer(json, "queueUSec"), UINT64_C(1) << 52);
        assert_int_equal(integer(json, "memoryPeak"), UINT64_C(1) << 45);
        assert_int_equal(integer(json, "status"), 255);
        assert_int_equal(integer(json, "signal"), 64);
        json_decref(json);
        json_decref(fields);
        json_decref(seen);
}

/* A value that is too large for a message is not in it, whether or not it goes by descriptor. */
static void test_large_value(void **state) {
        Certificate *c = certificate_new(1, 1);
        json_t *fields = interface_fields(), *seen = json_object(), *json;

        (void)state;
        c->value_length = CERTIFICATE_VALUE_MAX + 1;
        c->value = malloc(c->value_length + 1);
        memset(c->value, ' ', c->value_length);
        c->value[c->value_length] = '\0';
        c->value[0] = '{';
        c->value[c->value_length - 1] = '}';

        json = check_json(c, -1, fields, seen);
        assert_null(json_object_get(json, "value"));
        assert_null(json_object_get(json, "valueDescriptor"));
        json_decref(json);
        json = check_json(c, 0, fields, seen);
        assert_null(json_object_get(json, "value"));
        assert_int_equal(integer(json, "valueDescriptor"), 0);
        json_decref(json);

        c->value_length--;
        c->value[c->value_length - 1] = '}';
        json = check_json(c, -1, fields, seen);
        assert_true(json_is_object(json_object_get(json, "value")));
        json_decref(json);

        certificate_free(c);
        json_decref(fields);
        json_decref(seen);
}

/* ---- the words in it */

static void test_results(void **state) {
        char list[256] = "";

        (void)state;
        for (Result r = 0; r < _RESULT_MAX; r++) {
                strcat(list, result_to_string(r));
                strcat(list, " ");
        }
        /* the design's list, in its order */
        assert_string_equal(
                list,
                "success exit signal core-dump error timeout queue-timeout oom cancelled dependency "
                "setup-failed server-failed lost ");
}

static void test_signal_names(void **state) {
        char buffer[16];

        (void)state;
        assert_string_equal(signal_name(SIGSEGV, buffer), "SIGSEGV");
        assert_string_equal(signal_name(SIGSTKFLT, buffer), "SIGSTKFLT");
        assert_string_equal(signal_name(SIGRTMIN, buffer), "SIGRTMIN+0");
        assert_string_equal(signal_name(SIGRTMAX, buffer), "SIGRTMIN+30");
        assert_string_equal(signal_name(99, buffer), "signal 99");
        for (int i = -1; i < 100; i++)
                assert_true(strlen(signal_name(i, buffer)) > 3);
}

static void test_durations(void **state) {
        static const struct {
                uint64_t usec;
                const char *text;
        } durations[] = {
                { 0, "0 µs" },
                { 999, "999 µs" },
                { MS, "1 ms" },
                { S - 1, "999 ms" },
                { S, "1.0 s" },
                { 2 * S + 500 * MS, "2.5 s" },
                { 10 * S - 1, "9.9 s" },
                { 10 * S, "10 s" },
                { 60 * S - 1, "59 s" },
                { 80 * S, "1 min 20 s" },
                { 3600 * S - 1, "59 min 59 s" },
                { 3600 * S, "1 h 0 min" },
                { 90061 * S, "25 h 1 min" },
        };
        char buffer[32];

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(durations); i++)
                assert_string_equal(duration_text(durations[i].usec, buffer), durations[i].text);
        assert_true(strlen(duration_text(UINT64_MAX, buffer)) < sizeof(buffer));
}

static void test_no_memory(void **state) {
        (void)state;
        alloc_fail_at(0);
        assert_null(certificate_new(1, 1));
        assert_true(alloc_failed());

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t n = 0;; n++) {
                        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

                        alloc_fail_at(n);
                        certificate_write(&cases[i].c, &t, NULL, -1);
                        if (!alloc_failed()) {
                                assert_int_equal(json_text_finish(&t), 0);
                                break;
                        }
                        assert_int_equal(json_text_finish(&t), -ENOMEM);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sentences),
                cmocka_unit_test(test_sentence_in_little_room),
                cmocka_unit_test(test_json_is_the_interface),
                cmocka_unit_test(test_numbers),
                cmocka_unit_test(test_large_value),
                cmocka_unit_test(test_results),
                cmocka_unit_test(test_signal_names),
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
