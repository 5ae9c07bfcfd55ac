/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/answer.h: what workers of entries say, however much it is. */

#include "daemon-fixture.h"

#include "answer.h"
#include "attempt-private.h"
#include "priorities.h"
#include "server-private.h"

#include <signal.h>

#define MIB ((size_t)1024 * 1024)

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=4\nModule=" TEST_MODULES "/misbehave.so");
        fixture_until(&f, f.daemon->servers->servers->state == SERVER_READY);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

/* An attempt whose worker is the test: its end of the channel is returned. */
static int begin(DaemonFixture *f, Attempt **ret) {
        Job *job = fixture_new_job(f, "{'entry':'x'}");
        int worker_end;

        assert_int_equal(attempt_new(ret, f->daemon, ATTEMPT_JOB, job, 1), 0);
        assert_int_equal(answer_open(*ret, &worker_end), 0);
        attempt_attach(*ret, job);
        job->attempt = 1;
        job_set_state(job, JOB_STARTING);
        return worker_end;
}

static void say(int fd, const char *format, ...) _printf_(2, 3);
static void say(int fd, const char *format, ...) {
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        assert_true(n > 0);
        for (char *p = text; *p; p++)
                if (*p == '\'')
                        *p = '"';
        assert_int_equal(packet_send_text(fd, text, (size_t)n, NULL, 0), 0);
        free(text);
}

static void say_progress(int fd, size_t bytes) {
        char *padding = malloc(bytes + 1);

        memset(padding, 'x', bytes);
        padding[bytes] = '\0';
        say(fd, "{'method':'Progress','parameters':{'value':{'p':'%s'}}}", padding);
        free(padding);
}

static const Certificate *end_with(Attempt *a, int status) {
        AttemptEnd end = { .code = CLD_EXITED, .status = status };
        Job *job = a->job;

        attempt_exited(a, &end);
        assert_int_equal(job->state, JOB_FINISHED);
        return job->certificate;
}

/* ---- a step of the plan that failed */

static void test_failed(void **state) {
        const Certificate *c;
        char sentence[512];
        Attempt *a;
        int fd = begin(*state, &a);

        say(fd, "{'method':'Failed','parameters':{'stage':'directory','errno':2,'text':'/x'}}");
        say(fd,
            "{'method':'Failed','parameters':{'stage':'exec','errno':1}}"); /* the first counts */
        c = end_with(a, 127);
        certificate_sentence(c, sentence, sizeof(sentence));
        assert_string_equal(sentence, "could not start: while changing directory to '/x': "
                                      "No such file or directory");
        assert_int_equal(c->result, RESULT_SETUP_FAILED);
        assert_int_equal(c->error, ENOENT);
        assert_int_equal(c->status, -1);
        assert_false(c->ran);
        close_fd(fd);
}

/* Of a one-shot host: it is its forkserver that has failed. */
static void test_preload_failed(void **state) {
        const Certificate *c;
        char sentence[512];
        Attempt *a;
        int fd = begin(*state, &a);

        say(fd,
            "{'method':'Failed','parameters':{'stage':'preload','errno':5,'text':'module x.so: no'}}");
        c = end_with(a, 127);
        assert_int_equal(c->result, RESULT_SERVER_FAILED);
        certificate_sentence(c, sentence, sizeof(sentence));
        assert_string_equal(sentence, "could not start: module x.so: no");
        close_fd(fd);
}

/* An entry that claims so after it has run is believed by its exit status. */
static void test_failed_and_went_on(void **state) {
        const Certificate *c;
        Attempt *a;
        int fd = begin(*state, &a);

        say(fd, "{'method':'Failed','parameters':{'stage':'exec','errno':2}}");
        c = end_with(a, 3);
        assert_int_equal(c->result, RESULT_EXIT);
        assert_int_equal(c->status, 3);
        close_fd(fd);

        fd = begin(*state, &a);
        say(fd, "{'method':'Raised','parameters':{'code':'A','text':'b'}}");
        say(fd, "{'method':'Failed','parameters':{'stage':'exec','errno':2}}");
        assert_int_equal(end_with(a, 127)->result, RESULT_ERROR);
        close_fd(fd);
}

/* ---- floods */

static void test_one_turn(void **state) {
        Attempt *a;
        int fd = begin(*state, &a);
        unsigned left = 0;

        for (unsigned i = 0; i < 5; i++)
                say_progress(fd, MIB * 6 / 10);
        answer_read(a, 16);
        for (;;) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                if (packet_receive(a->channel, &p) != 0)
                        break;
                left++;
        }
        assert_int_equal(left, 3); /* two were more than 1 MiB */

        /* the answer is found behind it all the same */
        for (unsigned i = 0; i < 5; i++)
                say_progress(fd, MIB * 6 / 10);
        say(fd, "{'method':'Returned','parameters':{'value':{'a':1}}}");
        assert_int_equal(end_with(a, 0)->result, RESULT_SUCCESS);
        close_fd(fd);
}

static int on_deferred(sd_event_source *source, void *userdata) {
        bool *seen = userdata;

        (void)source;
        *seen = true;
        return 0;
}

/* A worker that never stops has its turn when nobody else wants one. */
static void test_others_first(void **state) {
        sd_event_source *source = NULL;
        DaemonFixture *f = *state;
        bool seen = false;
        int64_t priority;
        Attempt *a;
        int fd = begin(f, &a);

        assert_int_equal(sd_event_add_defer(f->daemon->event, &source, on_deferred, &seen), 0);
        assert_true(sd_event_source_set_priority(source, PRIORITY_TIDY) >= 0);
        for (unsigned turn = 0; turn < 10 && !seen; turn++) {
                for (unsigned i = 0; i < 20; i++)
                        say_progress(fd, 10);
                fixture_turn(f);
        }
        sd_event_source_unref(source);

        fixture_settle(f);
        say_progress(fd, 10);
        fixture_settle(f); /* that was less than a turn takes: the next is as urgent as ever */
        assert_int_equal(sd_event_source_get_priority(a->channel_source, &priority), 0);
        say(fd, "{'method':'Returned','parameters':{'value':{}}}");
        assert_int_equal(end_with(a, 0)->result, RESULT_SUCCESS); /* or teardown waits for it */
        assert_true(seen);
        assert_int_equal(priority, PRIORITY_RESULT);
        close_fd(fd);
}

static void test_large_progress(void **state) {
        DaemonFixture *f = *state;
        int ours, theirs;
        json_t *reply;
        Attempt *a;
        Client c;

        client_open(f, &c);
        client_send(&c, "jobs.Run", true, "{'job':{'entry':'never','graceUSec':0}}");
        fixture_until(f, f->daemon->n_states[JOB_RUNNING] == 1);
        for (unsigned i = 0; i < 2; i++)
                json_decref(client_receive(f, &c)); /* starting, running */

        a = f->daemon->jobs->running;
        assert_int_equal(packet_pair(&ours, &theirs), 0);
        a->channel_source = sd_event_source_disable_unref(a->channel_source);
        close_fd(a->channel);
        a->channel = ours;
        say_progress(theirs, MIB + 1);
        say_progress(theirs, 10);
        answer_read(a, 1); /* the large one, and no more in this turn */
        answer_read(a, 1);
        reply = client_receive(f, &c);
        assert_string_equal(
                json_string_value(json_object_get(reply_member(reply, "progress"), "p")),
                "xxxxxxxxxx");
        json_decref(reply);
        close_fd(theirs);
        client_close(f, &c);
        fixture_until(f, !f->daemon->jobs);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_failed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_preload_failed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failed_and_went_on, setup, teardown),
                cmocka_unit_test_setup_teardown(test_one_turn, setup, teardown),
                cmocka_unit_test_setup_teardown(test_others_first, setup, teardown),
                cmocka_unit_test_setup_teardown(test_large_progress, setup, teardown),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
