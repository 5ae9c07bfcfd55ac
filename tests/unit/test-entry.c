/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/answer.h: entries of the twin, from the order to the answer. */

#include "daemon-fixture.h"

#include "server-private.h"

static int setup(void **state) {
        DaemonFixture *f;

        fixture_setup(state, "MaxRunning=4\nModule=" TEST_MODULES "/misbehave.so");
        f = *state;
        fixture_until(f, f->daemon->servers->servers->state == SERVER_READY);
        return 0;
}

static void test_value(void **state) {
        const Certificate *c = fixture_wait(
                *state,
                fixture_submit(*state, "{'entry':'echo','arguments':{'a':[1,'\xc3\xa4']}}"));

        assert_int_equal(c->result, RESULT_SUCCESS);
        assert_true(c->entry && c->answered);
        assert_string_equal(c->value, "{\"a\":[1,\"\xc3\xa4\"]}");
        assert_int_equal(c->value_length, strlen(c->value));
        assert_int_equal(c->status, 0);
}

static void test_ends(void **state) {
        const Certificate *c;
        char sentence[256];

        c = fixture_wait(
                *state,
                fixture_submit(
                        *state,
                        "{'entry':'fail','arguments':{'code':'NotFound','text':'no such word'}}"));
        assert_int_equal(c->result, RESULT_ERROR);
        assert_string_equal(c->code, "NotFound");
        assert_string_equal(c->text, "no such word");
        assert_int_equal(c->status, 1);

        c = fixture_wait(*state,
                         fixture_submit(*state, "{'entry':'exit','arguments':{'status':0}}"));
        assert_int_equal(c->result, RESULT_EXIT); /* no answer is no success */
        assert_int_equal(c->status, 0);
        certificate_sentence(c, sentence, sizeof(sentence));
        assert_non_null(strstr(sentence, "without an answer"));

        c = fixture_wait(*state,
                         fixture_submit(*state, "{'entry':'signal','arguments':{'signal':9}}"));
        assert_int_equal(c->result, RESULT_SIGNAL);
        assert_int_equal(c->signal, SIGKILL);

        c = fixture_wait(*state,
                         fixture_submit(*state, "{'entry':'garbage','arguments':{'text':'x'}}"));
        assert_true(c->result != RESULT_SUCCESS || c->value);
}

static void test_is_cancelled(void **state) {
        DaemonFixture *f = *state;
        uint64_t id = fixture_submit(f, "{'entry':'never'}");

        fixture_wait_state(f, id, JOB_RUNNING);
        job_stop(fixture_job(f, id), RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_CANCELLED);
}

static void test_progress(void **state) {
        DaemonFixture *f = *state;
        size_t n = 0;
        bool more;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Run", true, "{'job':{'entry':'progress','arguments':{'n':5}}}");
        do {
                json_t *reply = client_receive(f, &c);

                assert_null(json_object_get(reply, "error"));
                more = reply_continues(reply);
                n += reply_member(reply, "progress") != NULL;
                json_decref(reply);
        } while (more);
        assert_int_equal(n, 5);
        client_close(f, &c);
}

/* Larger than a message: by descriptor. */
static void test_large_value(void **state) {
        DaemonFixture *f = *state;
        json_t *reply, *value;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Run", false, "{'job':{'entry':'big','arguments':{'bytes':2000000}}}");
        reply = client_receive(f, &c);
        assert_null(json_object_get(reply, "error"));
        assert_null(json_object_get(reply_member(reply, "certificate"), "value"));
        assert_int_equal(json_integer_value(json_object_get(reply_member(reply, "certificate"),
                                                            "valueDescriptor")),
                         0);
        assert_int_equal(c.n_fds, 1);
        value = json_loadfd(c.fds[0], 0, NULL);
        assert_true(json_is_object(value));
        json_decref(value);
        json_decref(reply);
        client_close(f, &c);
}

/* An error whose text would fill a message is cut, and its client gets to hear of it. */
static void test_large_error(void **state) {
        DaemonFixture *f = *state;
        size_t n = 1048000;
        char *big = malloc(n + 1), *sentence;
        json_t *reply;
        const char *text;
        uint64_t id;
        Client c;

        memset(big, 'x', n);
        big[n] = '\0';
        client_open(f, &c);
        client_send(&c, "jobs.Run", false,
                    "{'job':{'entry':'fail','arguments':{'code':'Big','text':'%s'}}}", big);
        reply = client_receive(f, &c);
        assert_string_equal(json_string_value(json_object_get(reply, "error")),
                            "org.forkd.jobs.JobFailed");
        text = json_string_value(json_object_get(reply_member(reply, "certificate"), "text"));
        assert_true(strlen(text) >= 1000 && strlen(text) < n);
        json_decref(reply);

        /* likewise in the status of one that stays */
        id = fixture_submit(f, "{'entry':'fail','arguments':{'code':'%.100000s','text':'%s'}}", big,
                            big);
        fixture_wait(f, id);
        client_send(&c, "jobs.Show", false, "{'id':%d}", (int)id);
        sentence = client_expect_error(f, &c, "forkd.jobs.LimitReached"); /* for its arguments */
        assert_non_null(strstr(sentence, "message"));
        free(sentence);
        client_send(&c, "jobs.List", false, "{}");
        reply = client_receive(f, &c);
        assert_int_equal(json_array_size(reply_member(reply, "jobs")), 1);
        json_decref(reply);
        client_close(f, &c);
        free(big);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_value, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_ends, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_is_cancelled, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_progress, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_large_value, setup, fixture_teardown),
                cmocka_unit_test_setup_teardown(test_large_error, setup, fixture_teardown),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
