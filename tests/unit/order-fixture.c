/* SPDX-License-Identifier: Apache-2.0 */

/* Orders of made up jobs. The fixture belongs to the test. */

#include "order-fixture.h"

/* text is JSON with ' for ". */
static JobSpec *spec_of(const char *text) {
        JobSpecError error = { 0 };
        char *copy = strdup(text);
        JobSpec *spec = NULL;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, 0, NULL);
        if (!json || job_spec_parse(json, NULL, 0, 16, &spec, &error) != 0)
                fail_msg("%s: %s: %s", text, error.field, error.sentence);
        json_decref(json);
        free(copy);
        return spec;
}

void make_job(Made *m, const char *text) {
        memset(m, 0, sizeof(*m));
        m->order = ORDER_NULL;
        m->job = (Job){
                .daemon = &m->daemon,
                .id = 17,
                .spec = spec_of(text),
                .owner = { .uid = getuid(), .gid = getgid() },
                .fds = { -1, -1, -1 },
                .arguments_fd = -1,
                .outputs = { OUTPUT_NULL, OUTPUT_NULL },
        };
        m->attempt = (Attempt){
                .number = 3, .key_id = 17, .key_number = 3, .token = FD_TOKEN, .channel = -1
        };
}

void parse_order(Made *m, const char *method) {
        json_error_t error;
        json_t *packet;

        packet = json_loadb(m->order.text.text, m->order.text.length, JSON_REJECT_DUPLICATES,
                            &error);
        if (!packet)
                fail_msg("%s: %s", error.text, m->order.text.text);
        assert_int_equal(json_object_size(packet), 2);
        assert_string_equal(json_string_value(json_object_get(packet, "method")), method);
        m->parameters = json_incref(json_object_get(packet, "parameters"));
        m->plan = json_object_get(m->parameters, "plan");
        assert_true(m->order.n_fds <= ORDER_DESCRIPTORS_MAX);
        json_decref(packet);
}

void make_order(Made *m) {
        assert_int_equal(order_write(&m->order, &m->job, &m->attempt), 0);
        parse_order(m, "Fork");
        assert_true(json_is_object(m->plan));
}

void made_done(Made *m) {
        json_decref(m->parameters);
        order_done(&m->order);
        environment_cache_done(&m->daemon.environment);
        job_spec_free(m->job.spec);
}

void make(Made *m, const char *text) {
        make_job(m, text);
        make_order(m);
}

int fd_of(const Made *m, const json_t *index) {
        assert_true(json_is_integer(index));
        assert_in_range(json_integer_value(index), 0, m->order.n_fds - 1);
        return m->order.fds[json_integer_value(index)];
}

void check(const json_t *value, const char *expected) {
        char *copy = strdup(expected), *text;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (!json_equal(json, value))
                fail_msg("%s is not %s", text ? text : "nothing", copy);
        free(text);
        free(copy);
        json_decref(json);
}

json_int_t integer(const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

bool environment_has(const json_t *plan, const char *variable) {
        const json_t *environment = json_object_get(plan, "environment");

        for (size_t i = 0; i < json_array_size(environment); i++)
                if (streq(json_string_value(json_array_get(environment, i)), variable))
                        return true;
        return false;
}
