/* SPDX-License-Identifier: Apache-2.0 */

/* client/lib: connections and calls, waited for and from a loop. */

#include "client-pair.h"

#include <poll.h>
#include <sys/socket.h>

static void test_call(void **state) {
        Pair *p = *state;
        ForkdReply reply;

        say(p, "{\"parameters\":{\"x\":1}}");
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, &reply), 0);
        hear(p, "{\"method\":\"a.b.C\",\"parameters\":{}}");
        assert_int_equal(json_integer_value(json_object_get(reply.parameters, "x")), 1);
        forkd_reply_done(&reply);

        say(p, "{}");
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, &reply), 0);
        assert_int_equal(json_object_size(reply.parameters), 0);
        forkd_reply_done(&reply);
}

static void test_errors(void **state) {
        Pair *p = *state;
        json_t *status, *job;

        say(p,
            "{\"error\":\"org.forkd.jobs.NoSuchJob\",\"parameters\":{\"id\":7,\"sentence\":\"there is no job 7\"}}");
        assert_int_equal(forkd_show(p->f, 7, &status, &job), FORKD_E_NO_SUCH_JOB);
        assert_string_equal(forkd_error_sentence(p->f), "there is no job 7");
        assert_string_equal(forkd_error_name(p->f), "org.forkd.jobs.NoSuchJob");
        assert_int_equal(json_integer_value(json_object_get(forkd_error_parameters(p->f), "id")),
                         7);

        say(p,
            "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"id\"}}");
        assert_int_equal(forkd_show(p->f, 7, &status, &job), FORKD_E_INVALID_PARAMETER);
        assert_non_null(strstr(forkd_error_sentence(p->f), "'id'"));

        /* a daemon that is older */
        say(p,
            "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.forkd.servers\"}}");
        assert_int_equal(forkd_servers_list(p->f, &status), FORKD_E_INTERFACE_NOT_FOUND);
        assert_non_null(strstr(forkd_error_sentence(p->f), "org.forkd.servers; it may be older"));

        say(p, "{\"error\":\"org.example.NoSuchJob\"}");
        assert_int_equal(forkd_cancel(p->f, (uint64_t[]){ 1 }, 1), FORKD_E_OTHER);
        say(p, "{\"error\":\"org.forkd.manager.Draining\"}");
        assert_int_equal(forkd_cancel(p->f, (uint64_t[]){ 1 }, 1), FORKD_E_DRAINING);
        assert_int_equal(forkd_kill(p->f, (uint64_t[]){ 1 }, 1, 65), -EINVAL);
        assert_null(forkd_error_name(p->f));
}

static void test_what_is_no_forkd(void **state) {
        static const char *const replies[] = {
                "hello",
                "[]",
                "{\"parameters\":[]}",
                "{\"error\":3}",
                "{\"continues\":\"yes\"}",
                "{\"continues\":true}", /* without more */
                "",
        };
        Pair p = { 0 };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                pair_open(&p);
                say(&p, replies[i]);
                assert_int_equal(forkd_call(p.f, &CALL, NULL, NULL, NULL), -EBADMSG);
                assert_int_equal(forkd_fd(p.f), -1);
                assert_int_equal(forkd_call(p.f, &CALL, NULL, NULL, NULL), -ENOTCONN);
                assert_int_equal(forkd_reconnect(p.f), -EOPNOTSUPP);
                pair_close(&p);
        }

        pair_open(&p);
        say(&p, "{}");
        assert_int_equal(forkd_process(p.f), -EBADMSG); /* nobody asked */
        pair_close(&p);
}

static void test_broken(void **state) {
        Pair *p = *state;

        shutdown(stream_fd(p->peer), SHUT_WR);
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, NULL), -ECONNRESET);
        assert_non_null(strstr(forkd_error_sentence(p->f), "before it answered"));
}

static void test_silence(void **state) {
        Pair *p = *state;

        forkd_set_timeout(p->f, 1000);
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, NULL), -ETIMEDOUT);
        assert_int_equal(forkd_fd(p->f), -1);
}

static void test_bad_requests(void **state) {
        Pair *p = *state;
        _cleanup_(freep) char *text = calloc(1, 1024 * 1024);
        ForkdRequest request = CALL;

        request.method = "a.b\"C";
        assert_int_equal(forkd_call(p->f, &request, NULL, NULL, NULL), -EINVAL);
        memset(text, 'x', 1024 * 1024 - 1);
        request = CALL;
        request.parameters = json_pack("{s:s}", "x", text);
        assert_int_equal(forkd_call(p->f, &request, NULL, NULL, NULL), -EMSGSIZE);
        json_decref(request.parameters);
        request = CALL;
        request.n_fds = FORKD_DESCRIPTORS_MAX + 1;
        assert_int_equal(forkd_call(p->f, &request, NULL, NULL, NULL), -E2BIG);
        hear_nothing(p);

        say(p, "{}");
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, NULL), 0); /* unharmed */
}

static int count_or_stop(json_t *parameters, void *userdata) {
        int *left = userdata;

        (void)parameters;
        return --*left == 0;
}

static void test_more(void **state) {
        Pair *p = *state;
        ForkdRequest request = CALL;
        int left = 100;

        request.flags = FORKD_CALL_MORE;
        say(p, "{\"continues\":true}");
        say(p, "{\"continues\":true}");
        say(p, "{}");
        assert_int_equal(forkd_call(p->f, &request, count_or_stop, &left, NULL), 0);
        assert_int_equal(left, 98);
        hear(p, "{\"method\":\"a.b.C\",\"parameters\":{},\"more\":true}");

        left = 1;
        say(p, "{\"continues\":true}");
        assert_int_equal(forkd_call(p->f, &request, count_or_stop, &left, NULL), 0);
        assert_int_equal(left, 0);
        assert_int_equal(forkd_fd(p->f), -1);
}

static void test_descriptors(void **state) {
        Pair *p = *state;
        int fd = memfd_with("output"), got = -1;
        uint64_t lost = 0;
        char text[8] = "";

        say_fds(p, "{\"parameters\":{\"descriptor\":0,\"lost\":5}}", &fd, 1);
        assert_int_equal(forkd_open_output(p->f, 1, "stdout", &got, &lost), 0);
        assert_int_equal(lost, 5);
        assert_int_equal(pread(got, text, 6, 0), 6);
        assert_string_equal(text, "output");
        assert_true(fcntl(got, F_GETFD) & FD_CLOEXEC);
        close(got);

        /* an index that is none; descriptors that nobody wants are closed */
        got = -1;
        say_fds(p, "{\"parameters\":{\"descriptor\":1,\"lost\":0}}", &fd, 1);
        assert_int_equal(forkd_open_output(p->f, 1, "stdout", &got, &lost), -EBADMSG);
        assert_int_equal(got, -1);
        close(fd);
}

static void test_oneway(void **state) {
        Pair *p = *state;
        ForkdRequest request = CALL, with = CALL;
        int fd = memfd_with("x");

        request.flags = FORKD_CALL_ONEWAY;
        with.fds = &fd;
        with.n_fds = 1;
        assert_int_equal(forkd_call(p->f, &request, NULL, NULL, NULL), 0);
        hear(p, "{\"method\":\"a.b.C\",\"parameters\":{},\"oneway\":true}");
        /* it may still lie unread in the socket, and descriptors would be taken for its own */
        assert_int_equal(forkd_call(p->f, &with, NULL, NULL, NULL), -EBUSY);
        say(p, "{}");
        assert_int_equal(forkd_call(p->f, &CALL, NULL, NULL, NULL), 0);
        say(p, "{}");
        assert_int_equal(forkd_call(p->f, &with, NULL, NULL, NULL), 0);
        close(fd);
}

/* ---- from a loop */

static void on_answer(Forkd *f, ForkdReply *reply, void *userdata) {
        int *outcomes = userdata;

        /* waiting is what a callback cannot do */
        assert_int_equal(forkd_call(f, &CALL, NULL, NULL, NULL), -EBUSY);
        outcomes[++outcomes[0]] = reply->outcome;
}

static void test_pipeline(void **state) {
        Pair *p = *state;
        int outcomes[4] = { 0 };

        assert_int_equal(forkd_start(p->f, &CALL, on_answer, outcomes), 0);
        assert_int_equal(forkd_start(p->f, &CALL, on_answer, outcomes), 0);
        assert_int_equal(forkd_start(p->f, &CALL, on_answer, outcomes), 0);
        assert_int_equal(forkd_in_flight(p->f), 3);
        assert_int_equal(forkd_events(p->f), POLLIN);
        assert_int_equal(forkd_process(p->f), 0);
        assert_int_equal(outcomes[0], 0);

        say(p, "{}");
        say(p, "{\"error\":\"org.forkd.jobs.QueueFull\"}");
        shutdown(stream_fd(p->peer), SHUT_WR);
        while (forkd_process(p->f) == 0)
                ;
        assert_int_equal(outcomes[0], 3);
        assert_int_equal(outcomes[1], 0);
        assert_int_equal(outcomes[2], FORKD_E_QUEUE_FULL);
        assert_int_equal(outcomes[3], -ECONNRESET);
        assert_int_equal(forkd_in_flight(p->f), 0);
}

static void test_waiting_behind_others(void **state) {
        Pair *p = *state;
        int outcomes[4] = { 0 };
        json_t *status = NULL;

        assert_int_equal(forkd_start(p->f, &CALL, on_answer, outcomes), 0);
        say(p, "{\"error\":\"org.forkd.jobs.StorageFull\"}");
        say(p, "{\"parameters\":{\"pid\":5}}");
        assert_int_equal(forkd_status(p->f, &status), 0);
        assert_int_equal(outcomes[1], FORKD_E_STORAGE_FULL);
        assert_int_equal(json_integer_value(json_object_get(status, "pid")), 5);
        json_decref(status);
}

#define T(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_call),
                T(test_errors),
                cmocka_unit_test(test_what_is_no_forkd),
                T(test_broken),
                T(test_silence),
                T(test_bad_requests),
                T(test_more),
                T(test_descriptors),
                T(test_oneway),
                T(test_pipeline),
                T(test_waiting_behind_others),
        };

        return cmocka_run_group_tests(tests, descriptors_remember, descriptors_compare);
}
