/* SPDX-License-Identifier: Apache-2.0 */

/* proto/job-spec.h: every field in both directions, every refusal with its field and its sentence.
 */

#include "job-spec.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

static json_t *json(const char *text) {
        json_error_t error;
        json_t *object = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);

        if (!object)
                fail_msg("%s: %s", text, error.text);
        return object;
}

static JobSpec *parse(const char *text, size_t n_fds) {
        json_t *object = json(text);
        JobSpecError error = { 0 };
        JobSpec *spec = NULL;
        int r = job_spec_parse(object, NULL, 0, n_fds, &spec, &error);

        json_decref(object);
        if (r != 0)
                fail_msg("%s: %s: %s", text, error.field, error.sentence);
        return spec;
}

/* ---- defaults and forms */

static void test_defaults(void **state) {
        _cleanup_(job_spec_freep) JobSpec *s = parse("{\"command\":[\"true\"]}", 0);

        (void)state;
        assert_int_equal(s->start_method, START_METHOD_SPAWN);
        assert_string_equal(s->command[0], "true");
        assert_null(s->command[1]);
        assert_null(s->entry);
        assert_null(s->environment);
        assert_null(s->directory);
        assert_int_equal(s->umask, -1);
        assert_int_equal(s->nice, JOB_NICE_UNSET);
        assert_int_equal(s->priority, 0);
        assert_int_equal(s->arguments_descriptor, -1);
        for (int i = 0; i < 3; i++)
                assert_int_equal(s->stdio[i].kind, STDIO_DEFAULT);
        assert_true(s->timeout_usec == USEC_INFINITY && s->queue_timeout_usec == USEC_INFINITY);
        assert_int_equal(s->grace_usec, 10 * USEC_PER_SEC);
        assert_int_equal(s->retries_max, 0);
        assert_int_equal(s->retries_on, 0x3f);
        assert_int_equal(s->retries_delay_usec, USEC_PER_SEC);
}

static void test_start_method_defaults(void **state) {
        _cleanup_(job_spec_freep) JobSpec *a = parse("{\"entry\":\"check\"}", 0);
        _cleanup_(job_spec_freep) JobSpec *b =
                parse("{\"entry\":\"check\",\"server\":\"spell\"}", 0);
        _cleanup_(job_spec_freep) JobSpec *c =
                parse("{\"entry\":\"check\",\"server\":\"spell\",\"startMethod\":\"spawn\"}", 0);
        _cleanup_(job_spec_freep) JobSpec *d =
                parse("{\"entry\":\"check\",\"startMethod\":\"spawn\"}", 0);

        (void)state;
        assert_int_equal(c->start_method, START_METHOD_SPAWN);
        assert_string_equal(c->server, "spell");
        assert_int_equal(d->start_method, START_METHOD_SPAWN);
        assert_int_equal(a->start_method, START_METHOD_FORK);
        assert_int_equal(b->start_method, START_METHOD_FORKSERVER);
        assert_string_equal(start_method_to_string(b->start_method), "forkserver");
        assert_int_equal(start_method_from_string("spawn"), START_METHOD_SPAWN);
        assert_int_equal(start_method_from_string("Spawn"), _START_METHOD_INVALID);
        assert_null(start_method_to_string(_START_METHOD_MAX));
}

static void test_null_is_absent(void **state) {
        static const char *const names[] = {
                "startMethod",
                "entry",
                "server",
                "arguments",
                "argumentsDescriptor",
                "key",
                "name",
                "queue",
                "priority",
                "after",
                "startAtUSec",
                "environment",
                "directory",
                "umask",
                "stdin",
                "stdout",
                "stderr",
                "limits",
                "nice",
                "affinity",
                "user",
                "timeoutUSec",
                "queueTimeoutUSec",
                "graceUSec",
                "retries",
        };
        _cleanup_(job_spec_freep) JobSpec *plain = parse("{\"command\":[\"a\"]}", 0), *nulls = NULL;
        json_t *object = json("{\"command\":[\"a\"]}");

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                json_object_set_new(object, names[i], json_null());
        assert_int_equal(job_spec_parse(object, NULL, 0, 0, &nulls, NULL), 0);
        assert_true(job_spec_equal(plain, nulls));
        json_decref(object);
}

static void test_integral_floats(void **state) {
        _cleanup_(job_spec_freep) JobSpec *s =
                parse("{\"command\":[\"a\"],\"priority\":-5.0,\"timeoutUSec\":2e6,"
                      "\"affinity\":[1.0],\"stdin\":{\"descriptor\":0.0}}",
                      1);

        (void)state;
        assert_int_equal(s->priority, -5);
        assert_int_equal(s->timeout_usec, 2000000);
        assert_int_equal(s->affinity[0], 1);
        assert_int_equal(s->stdio[0].descriptor, 0);
}

static void test_environment(void **state) {
        _cleanup_(job_spec_freep) JobSpec *s =
                parse("{\"command\":[\"a\"],\"environment\":{\"A\":\"x=y\",\"LISTEN_FDS\":\"1\","
                      "\"NOTIFY_SOCKET\":\"/n\",\"FORKD_CHANNEL\":\"3\",\"FORKD_KEEPER\":\"4\","
                      "\"FORKD_WORKER\":\"3\",\"FORKD_SERVER\":\"s\",\"FORKD_ARGUMENTS\":\"{}\","
                      "\"WATCHDOG_USEC\":\"5\",\"N\":null,\"E\":\"\",\"LISTENER\":\"l\"}}",
                      0);
        _cleanup_(job_spec_freep) JobSpec *empty =
                parse("{\"command\":[\"a\"],\"environment\":{}}", 0);

        (void)state;
        assert_string_equal(s->environment[0], "A=x=y");
        assert_string_equal(s->environment[1], "E=");
        assert_string_equal(s->environment[2], "LISTENER=l");
        assert_null(s->environment[3]);
        assert_non_null(empty->environment);
        assert_null(empty->environment[0]);
}

static void test_limits(void **state) {
        static const struct {
                const char *value;
                uint64_t soft, hard;
        } cases[] = {
                { "7", 7, 7 },
                { "\"infinity\"", UINT64_MAX, UINT64_MAX },
                { "\"9\"", 9, 9 },
                { "\"1:2\"", 1, 2 },
                { "\"0:infinity\"", 0, UINT64_MAX },
                { "{\"soft\":3,\"hard\":\"infinity\"}", 3, UINT64_MAX },
                { "\"18446744073709551614\"", UINT64_MAX - 1, UINT64_MAX - 1 },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char text[256];
                JobSpec *s;

                snprintf(text, sizeof(text),
                         "{\"command\":[\"a\"],\"limits\":{\"LimitNOFILE\":%s}}", cases[i].value);
                s = parse(text, 0);
                assert_int_equal(s->n_limits, 1);
                assert_int_equal(s->limits[0].resource, RLIMIT_NOFILE);
                assert_true(s->limits[0].soft == cases[i].soft &&
                            s->limits[0].hard == cases[i].hard);
                job_spec_free(s);
        }
        for (int r = 0; r < (int)RLIM_NLIMITS; r++)
                assert_int_equal(job_limit_from_string(job_limit_to_string(r)), r);
        assert_null(job_limit_to_string(RLIM_NLIMITS));
        assert_null(job_limit_to_string(-1));
        assert_int_equal(job_limit_from_string("NOFILE"), -EINVAL);
}

static void test_captured_arguments(void **state) {
        json_t *object = json("{\"entry\":\"e\",\"arguments\":0}");
        _cleanup_(job_spec_freep) JobSpec *s = NULL, *same = NULL;

        (void)state;
        assert_int_equal(job_spec_parse(object, "{ \"n\" : 1 }+++", 11, 0, &s, NULL), 0);
        assert_string_equal(s->arguments, "{ \"n\" : 1 }");
        assert_int_equal(s->arguments_length, 11);
        json_decref(object);

        same = parse("{\"arguments\":{\"n\":1},\"entry\":\"e\",\"key\":\"k\"}", 0);
        assert_string_equal(same->arguments, "{\"n\":1}");
        assert_true(job_spec_equal(s, same));
}

static void test_equal(void **state) {
        _cleanup_(job_spec_freep) JobSpec *a = parse(
                "{\"command\":[\"a\"],\"key\":\"1\",\"environment\":{\"A\":\"1\",\"B\":\"2\"}}", 0);
        _cleanup_(job_spec_freep) JobSpec *b = parse(
                "{\"environment\":{\"B\":\"2\",\"A\":\"1\"},\"key\":\"2\",\"command\":[\"a\"]}", 0);
        _cleanup_(job_spec_freep) JobSpec *c = parse("{\"command\":[\"a\"],\"nice\":0}", 0);
        _cleanup_(job_spec_freep) JobSpec *d = parse("{\"command\":[\"a\"]}", 0);

        (void)state;
        assert_true(job_spec_equal(a, b));
        assert_false(job_spec_equal(a, d));
        assert_false(job_spec_equal(c, d)); /* nice 0 was said */
}

/* ---- refusals */

static const struct {
        const char *text, *field, *part; /* of the sentence */
        size_t n_fds;
} refusals[] = {
        { "[]", "job", "object" },
        { "{}", "command", "either 'command' or 'entry'" },
        { "{\"comand\":[\"a\"]}", "comand", "did you mean 'command'" },
        { "{\"timeoutUsec\":1,\"command\":[\"a\"]}", "timeoutUsec", "did you mean 'timeoutUSec'" },
        { "{\"zzzzz\":1}", "zzzzz", "no field 'zzzzz'" },
        { "{\"command\":[\"a\"],\"entry\":\"e\"}", "entry", "not both" },
        { "{\"command\":\"a\"}", "command", "array" },
        { "{\"command\":[]}", "command", "empty" },
        { "{\"command\":[\"\"]}", "command[0]", "empty" },
        { "{\"command\":[\"a\",1]}", "command[1]", "string" },
        { "{\"command\":[\"a\",\"b\\u0000c\"]}", "command[1]", "NUL" },
        { "{\"command\":[\"a\"],\"startMethod\":\"fork\"}", "startMethod", "'spawn'" },
        { "{\"command\":[\"a\"],\"startMethod\":\"forkserver\"}", "startMethod", "'spawn'" },
        { "{\"command\":[\"a\"],\"startMethod\":\"clone\"}", "startMethod", "'fork', 'spawn'" },
        { "{\"command\":[\"a\"],\"startMethod\":1}", "startMethod", "'fork', 'spawn'" },
        { "{\"command\":[\"a\"],\"server\":\"s\"}", "server", "entry" },
        { "{\"command\":[\"a\"],\"arguments\":{}}", "arguments", "'command'" },
        { "{\"command\":[\"a\"],\"argumentsDescriptor\":0}", "argumentsDescriptor", "'command'",
          1 },
        { "{\"entry\":\"e\",\"startMethod\":\"forkserver\"}", "server", "name of one" },
        { "{\"entry\":\"e\",\"startMethod\":\"fork\",\"server\":\"s\"}", "server", "'forkserver'" },
        { "{\"entry\":\"\"}", "entry", "empty" },
        { "{\"entry\":\"e\",\"arguments\":[]}", "arguments", "object" },
        { "{\"entry\":\"e\",\"arguments\":0}", "arguments", "object" },
        { "{\"entry\":\"e\",\"arguments\":{},\"argumentsDescriptor\":0}", "argumentsDescriptor",
          "either", 1 },
        { "{\"entry\":\"e\",\"argumentsDescriptor\":0}", "argumentsDescriptor", "0 descriptors" },
        { "{\"entry\":\"e\",\"argumentsDescriptor\":-1}", "argumentsDescriptor", "-1", 1 },
        { "{\"entry\":\"e\",\"argumentsDescriptor\":true}", "argumentsDescriptor", "index", 1 },
        { "{\"entry\":\"e\",\"server\":\"a/b\"}", "server", "letters" },
        { "{\"command\":[\"a\"],\"key\":\"\"}", "key", "empty" },
        { "{\"command\":[\"a\"],\"key\":7}", "key", "string" },
        { "{\"command\":[\"a\"],\"queue\":\"a b\"}", "queue", "letters" },
        { "{\"command\":[\"a\"],\"priority\":20}", "priority", "from -20 to 19" },
        { "{\"command\":[\"a\"],\"priority\":-21}", "priority", "from -20 to 19" },
        { "{\"command\":[\"a\"],\"priority\":1.5}", "priority", "integer" },
        { "{\"command\":[\"a\"],\"priority\":1e300}", "priority", "integer" },
        { "{\"command\":[\"a\"],\"priority\":\"1\"}", "priority", "integer" },
        { "{\"command\":[\"a\"],\"nice\":20}", "nice", "19" },
        { "{\"command\":[\"a\"],\"umask\":512}", "umask", "511" },
        { "{\"command\":[\"a\"],\"umask\":-1}", "umask", "0" },
        { "{\"command\":[\"a\"],\"startAtUSec\":-1}", "startAtUSec", "at least 0" },
        { "{\"command\":[\"a\"],\"timeoutUSec\":0}", "timeoutUSec", "leave it out" },
        { "{\"command\":[\"a\"],\"queueTimeoutUSec\":-5}", "queueTimeoutUSec", "at least" },
        { "{\"command\":[\"a\"],\"directory\":\"x\"}", "directory", "absolute" },
        { "{\"command\":[\"a\"],\"directory\":\"\"}", "directory", "empty" },
        { "{\"command\":[\"a\"],\"environment\":[]}", "environment", "object" },
        { "{\"command\":[\"a\"],\"environment\":{\"\":\"x\"}}", "environment", "not empty" },
        { "{\"command\":[\"a\"],\"environment\":{\"a=b\":\"x\"}}", "environment", "'a=b'" },
        { "{\"command\":[\"a\"],\"environment\":{\"A\":1}}", "environment.A", "string" },
        { "{\"command\":[\"a\"],\"environment\":{\"A\":\"x\\u0000\"}}", "environment.A", "NUL" },
        { "{\"command\":[\"a\"],\"stdin\":\"file\"}", "stdin", "cannot be 'file'" },
        { "{\"command\":[\"a\"],\"stdin\":\"stdout\"}", "stdin", "cannot be" },
        { "{\"command\":[\"a\"],\"stdout\":\"stdout\"}", "stdout", "cannot be" },
        { "{\"command\":[\"a\"],\"stderr\":\"x\"}", "stderr", "'stdout'" },
        { "{\"command\":[\"a\"],\"stdout\":1}", "stdout", "word or an object" },
        { "{\"command\":[\"a\"],\"stdout\":{}}", "stdout", "either" },
        { "{\"command\":[\"a\"],\"stdout\":{\"pth\":\"x\"}}", "stdout.pth", "did you mean 'path'" },
        { "{\"command\":[\"a\"],\"stdout\":{\"path\":\"/x\",\"descriptor\":0}}", "stdout", "either",
          1 },
        { "{\"command\":[\"a\"],\"stdout\":{\"descriptor\":0,\"append\":true}}", "stdout", "either",
          1 },
        { "{\"command\":[\"a\"],\"stdout\":{\"path\":\"\"}}", "stdout.path", "empty" },
        { "{\"command\":[\"a\"],\"stdout\":{\"path\":\"/x\",\"append\":1}}", "stdout.append",
          "true" },
        { "{\"command\":[\"a\"],\"stdin\":{\"path\":\"/x\",\"append\":true}}", "stdin.append",
          "append" },
        { "{\"command\":[\"a\"],\"stderr\":{\"descriptor\":2}}", "stderr.descriptor",
          "2 descriptors", 2 },
        { "{\"command\":[\"a\"],\"limits\":1}", "limits", "object" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitNOFIL\":1}}", "limits.LimitNOFIL",
          "did you mean 'LimitNOFILE'" },
        { "{\"command\":[\"a\"],\"limits\":{\"MemoryMax\":1}}", "limits.MemoryMax",
          "needs cgroup controllers, which" },
        { "{\"command\":[\"a\"],\"limits\":{\"TasksMax\":1}}", "limits.TasksMax", "controllers" },
        { "{\"command\":[\"a\"],\"limits\":{\"CPUQuota\":\"1%\"}}", "limits.CPUQuota",
          "controllers" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":-1}}", "limits.LimitCPU", "number" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":\"\"}}", "limits.LimitCPU", "number" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":\"2:1\"}}", "limits.LimitCPU", "soft" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":\"1:\"}}", "limits.LimitCPU", "number" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":\"18446744073709551615\"}}",
          "limits.LimitCPU", "64 bits" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":{\"soft\":1}}}", "limits.LimitCPU",
          "number" },
        { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":{\"sof\":1}}}", "limits.LimitCPU.sof",
          "did you mean 'soft'" },
        { "{\"command\":[\"a\"],\"affinity\":[]}", "affinity", "empty" },
        { "{\"command\":[\"a\"],\"affinity\":[1024]}", "affinity[0]", "1023" },
        { "{\"command\":[\"a\"],\"affinity\":[0,-1]}", "affinity[1]", "from 0" },
        { "{\"command\":[\"a\"],\"affinity\":1}", "affinity", "array" },
        { "{\"command\":[\"a\"],\"after\":{}}", "after", "array" },
        { "{\"command\":[\"a\"],\"after\":[3]}", "after[0]", "object" },
        { "{\"command\":[\"a\"],\"after\":[{}]}", "after[0].id", "no 'id'" },
        { "{\"command\":[\"a\"],\"after\":[{\"id\":0}]}", "after[0].id", "at least 1" },
        { "{\"command\":[\"a\"],\"after\":[{\"id\":1,\"on\":\"x\"}]}", "after[0].on", "'success'" },
        { "{\"command\":[\"a\"],\"retries\":3}", "retries", "object" },
        { "{\"command\":[\"a\"],\"retries\":{}}", "retries.max", "no 'max'" },
        { "{\"command\":[\"a\"],\"retries\":{\"max\":-1}}", "retries.max", "from 0" },
        { "{\"command\":[\"a\"],\"retries\":{\"max\":1,\"on\":[\"x\"]}}", "retries.on", "'x'" },
        { "{\"command\":[\"a\"],\"retries\":{\"max\":1,\"on\":[1]}}", "retries.on", "no string" },
        { "{\"command\":[\"a\"],\"retries\":{\"max\":1,\"on\":[]}}", "retries.on", "leave it out" },
        { "{\"command\":[\"a\"],\"retries\":{\"max\":1,\"delay\":1}}", "retries.delay", "retries" },
};

static void test_refusals(void **state) {
        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                json_t *object = json(refusals[i].text);
                JobSpec *spec = (JobSpec *)&refusals[i]; /* must stay untouched */
                JobSpecError error = { 0 };
                int r = job_spec_parse(object, NULL, 0, refusals[i].n_fds, &spec, &error);

                if (r != JOB_SPEC_E_INVALID || spec != (JobSpec *)&refusals[i] ||
                    !streq(error.field, refusals[i].field) ||
                    !strstr(error.sentence, refusals[i].part))
                        fail_msg("%s: %d, %s: %s", refusals[i].text, r, error.field,
                                 error.sentence);
                assert_int_equal(job_spec_parse(object, NULL, 0, refusals[i].n_fds, &spec, NULL),
                                 JOB_SPEC_E_INVALID);
                json_decref(object);
        }
}

/* A string field is accepted at its bound and refused one above. */
static void test_bounds(void **state) {
        static const struct {
                const char *name;
                size_t max;
        } cases[] = {
                { "key", 255 }, { "name", 255 }, { "queue", 63 }, { "server", 47 }, { "entry", 255 }
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t over = 0; over < 2; over++) {
                        json_t *object =
                                json(streq(cases[i].name, "server")  ? "{\"entry\":\"e\"}"
                                     : streq(cases[i].name, "entry") ? "{}"
                                                                     : "{\"command\":[\"a\"]}");
                        char value[300];
                        JobSpec *spec = NULL;

                        memset(value, 'x', sizeof(value));
                        value[cases[i].max + over] = '\0';
                        json_object_set_new(object, cases[i].name, json_string(value));
                        assert_int_equal(job_spec_parse(object, NULL, 0, 0, &spec, NULL),
                                         over ? JOB_SPEC_E_INVALID : 0);
                        job_spec_free(spec);
                        json_decref(object);
                }
}

static void test_bounds_of_lists(void **state) {
        static const struct {
                const char *name, *element;
                size_t max;
        } cases[] = { { "command", "\"a\"", 4096 },
                      { "after", "{\"id\":1}", 64 },
                      { "affinity", "1", 1024 } };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t over = 0; over < 2; over++) {
                        json_t *object = json("{\"command\":[\"a\"]}"), *list = json_array();
                        JobSpec *spec = NULL;

                        for (size_t k = 0; k < cases[i].max + over; k++)
                                json_array_append_new(list, json(cases[i].element));
                        json_object_set_new(object, cases[i].name, list);
                        assert_int_equal(job_spec_parse(object, NULL, 0, 0, &spec, NULL),
                                         over ? JOB_SPEC_E_INVALID : 0);
                        job_spec_free(spec);
                        json_decref(object);
                }
}

/* A cut sentence stays UTF-8, for it travels as JSON. */
static void test_long_names_stay_utf8(void **state) {
        (void)state;
        for (size_t shift = 0; shift < 3; shift++) {
                json_t *object = json("{\"command\":[\"a\"]}"), *string;
                char name[700] = { 0 };
                JobSpecError error;
                JobSpec *spec;

                memset(name, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof(name); i += 3)
                        memcpy(name + i, "\xe2\x82\xac", 3);
                json_object_set_new(object, name, json_integer(1));
                assert_int_equal(job_spec_parse(object, NULL, 0, 0, &spec, &error),
                                 JOB_SPEC_E_INVALID);
                string = json_string(error.field);
                assert_non_null(string);
                json_decref(string);
                string = json_string(error.sentence);
                assert_non_null(string);
                json_decref(string);
                json_decref(object);
        }
}

static void test_nearest(void **state) {
        static const char *const names[] = { "path", "append", "descriptor", NULL };

        (void)state;
        assert_string_equal(text_nearest("apend", names), "append");
        assert_string_equal(text_nearest("PATH", names), "path");
        assert_string_equal(text_nearest("descritpor", names), "descriptor");
        assert_null(text_nearest("x", names));
        assert_null(text_nearest("", names));
        assert_int_equal(text_cut("a\xe2\x82\xac", 3), 1);
        assert_int_equal(text_cut("a\xe2\x82\xac", 4), 4);
        assert_int_equal(text_cut("ab\xc3\xa4", 3), 2);
}

/* What was not said is not dumped. */
static void test_dump_is_short(void **state) {
        _cleanup_(job_spec_freep) JobSpec *s = parse("{\"command\":[\"a\"]}", 0);
        json_t *dump = job_spec_dump(s, true);

        (void)state;
        assert_int_equal(json_object_size(dump), 2);
        assert_non_null(json_object_get(dump, "command"));
        assert_string_equal(json_string_value(json_object_get(dump, "startMethod")), "spawn");
        json_decref(dump);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_start_method_defaults),
                cmocka_unit_test(test_null_is_absent),
                cmocka_unit_test(test_integral_floats),
                cmocka_unit_test(test_environment),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_captured_arguments),
                cmocka_unit_test(test_equal),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_bounds_of_lists),
                cmocka_unit_test(test_long_names_stay_utf8),
                cmocka_unit_test(test_nearest),
                cmocka_unit_test(test_dump_is_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
