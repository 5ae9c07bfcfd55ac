/* SPDX-License-Identifier: Apache-2.0 */

/* Orders workers of entries, adopts and calls them as forkd does. The module's own process is the
 * test. */

#include "worker-fixture.h"

int worker_setup_group(void **state) {
        char *names[] = { (char *)TEST_MODULES "/misbehave.so", NULL }, *reason = NULL;
        WorkerState *s = calloc(1, sizeof(WorkerState));

        if (modules_load(&s->modules, names, &reason) != 0)
                fail_msg("%s", reason);
        *state = s;
        return 0;
}

int worker_teardown_group(void **state) {
        WorkerState *s = *state;

        modules_free(s->modules);
        free(s);
        return 0;
}

int worker_setup(void **state) {
        WorkerState *s = *state;

        fixture_start(&s->fixture, "twin", s->modules);
        return 0;
}

int worker_teardown(void **state) {
        return fixture_end(&((WorkerState *)*state)->fixture);
}

json_t *plan_of_entry(void) {
        return json_pack("{s[ss],ss,si,s[nnn]}", "environment", "A=1", "B=2", "directory", "/tmp",
                         "umask", 027, "stdio");
}

void entry_order(Fixture *f, json_t *plan, int *ret_channel) {
        WorkerOrder order = { .id = 17, .plan = plan };

        *ret_channel = fixture_fork(f, &order);
        close(channel_adopt(*ret_channel, &order));
}

int entry_receive(int channel, Answer *ret) {
        int n_progress = 0;

        for (;;) {
                int r;

                wait_readable(channel);
                r = packet_receive(channel, &ret->packet);
                if (r == PACKET_E_CLOSED || r == PACKET_E_INVALID)
                        return n_progress;
                assert_int_equal(r, 0);
                snprintf(ret->method, sizeof(ret->method), "%s", ret->packet.method);
                if (!streq(ret->method, "Progress"))
                        return n_progress;
                n_progress++;
                packet_done(&ret->packet);
        }
}

void entry_finish(Fixture *f, int channel, Answer *ret) {
        fixture_outcome(f, 17, &ret->outcome);
        if (!ret->outcome.failed)
                fixture_acknowledge(f, 17);
        close(channel);
}

int entry_run(void **state, json_t *plan, const char *entry, json_t *arguments, Answer *ret) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        int channel, n;

        *ret = (Answer){ 0 };
        entry_order(f, plan, &channel);
        channel_send(channel, "Call", json_pack("{ss,so}", "entry", entry, "arguments", arguments));
        n = entry_receive(channel, ret);
        entry_finish(f, channel, ret);
        return n;
}

json_t *answer_value(const Answer *a) {
        assert_string_equal(a->method, "Returned");
        assert_non_null(a->packet.captured);
        return json_loadb(a->packet.captured, a->packet.captured_length, 0, NULL);
}

void answer_assert_end(Answer *a, const char *code, int status) {
        assert_false(a->outcome.failed);
        assert_string_equal(a->outcome.code, code);
        assert_int_equal(a->outcome.status, status);
        packet_done(&a->packet);
}

void worker_assert_failed(Fixture *f, int channel, const char *stage, int error, const char *text) {
        const json_t *said;
        Answer a = { 0 };

        entry_receive(channel, &a);
        assert_string_equal(a.method, "Failed");
        said = a.packet.parameters;
        assert_string_equal(json_string_value(json_object_get(said, "stage")), stage);
        assert_int_equal(json_integer_value(json_object_get(said, "errno")), error);
        assert_string_equal(json_string_value(json_object_get(said, "text")) ?: "", text);
        entry_finish(f, channel, &a);
        answer_assert_end(&a, "exited", 127);
}

void answer_assert_raised(Answer *a, const char *code, const char *text) {
        assert_string_equal(a->method, "Raised");
        assert_string_equal(json_string_value(json_object_get(a->packet.parameters, "code")), code);
        assert_string_equal(json_string_value(json_object_get(a->packet.parameters, "text")), text);
        answer_assert_end(a, "exited", 1);
}

void answer_assert_value(Answer *a, const char *text) {
        assert_string_equal(a->method, "Returned");
        assert_int_equal(a->packet.captured_length, strlen(text));
        assert_memory_equal(a->packet.captured, text, strlen(text));
        answer_assert_end(a, "exited", 0);
}

json_t *plan_with(const char *name, json_t *value) {
        json_t *plan = plan_of_entry();

        json_object_set_new(plan, name, value);
        return plan;
}
