/* SPDX-License-Identifier: Apache-2.0 */

/* client/lib: calls over a socket pair whose other end has said beforehand what it has to say. */

#include "connection.h"

#include <dirent.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

/* A client and the daemon's end of its connection. */
typedef struct Pair {
        Forkd *f;
        Stream *peer;
} Pair;

static void pair_open(Pair *p) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(forkd_connect_fd(&p->f, fds[0]), 0);
        assert_int_equal(stream_new(&p->peer, fds[1], SIZE_MAX, true), 0);
}

static void pair_close(Pair *p) {
        p->f = forkd_free(p->f);
        p->peer = stream_free(p->peer);
}

static int setup(void **state) {
        Pair *p = calloc(1, sizeof(*p));

        pair_open(p);
        *state = p;
        return 0;
}

static int teardown(void **state) {
        Pair *p = *state;

        pair_close(p);
        free(p);
        return 0;
}

static void say_fds(Pair *p, const char *text, const int *fds, size_t n_fds) {
        assert_int_equal(stream_write(p->peer, text, strlen(text), fds, n_fds), 0);
}

static void say(Pair *p, const char *text) {
        say_fds(p, text, NULL, 0);
}

static void hear_message(Pair *p, StreamMessage *ret) {
        int r;

        while ((r = stream_next(p->peer, ret)) == STREAM_E_AGAIN)
                assert_int_equal(stream_read(p->peer), 0);
        assert_int_equal(r, 0);
}

static void hear(Pair *p, const char *expected) {
        StreamMessage m = STREAM_MESSAGE_NULL;

        hear_message(p, &m);
        assert_string_equal(m.text, expected);
        assert_int_equal(m.n_fds, 0);
        stream_message_done(&m);
}

static void hear_nothing(Pair *p) {
        StreamMessage m;

        assert_int_equal(stream_read(p->peer), STREAM_E_AGAIN);
        assert_int_equal(stream_next(p->peer, &m), STREAM_E_AGAIN);
}

static int memfd_with(const char *text) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return fd;
}

#define CALL ((ForkdRequest){ .method = "a.b.C" })

/* ---- calls */

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

typedef struct Told {
        int ends, outcome, states;
        uint64_t id;
        char result[32], state[32];
        int64_t pid;
        int again;
        const ForkdRun *run;
} Told;

static void on_end(Forkd *f, int outcome, json_t *certificate, void *userdata) {
        Told *t = userdata;

        t->ends++;
        t->outcome = outcome;
        snprintf(t->result, sizeof(t->result), "%s",
                 json_string_value(json_object_get(certificate, "result")) ?: "none");
        if (t->again-- > 0)
                assert_int_equal(forkd_run_start(f, t->run), 0);
}

static void on_state(Forkd *f, uint64_t id, const char *state, int64_t pid, void *userdata) {
        Told *t = userdata;

        (void)f;
        t->states++;
        t->id = id;
        t->pid = pid;
        snprintf(t->state, sizeof(t->state), "%s", state);
}

#define SUCCESS                                                                                    \
        "{\"parameters\":{\"id\":3,\"state\":\"finished\",\"certificate\":{\"id\":3,\"result\":\"success\"}}}"
#define FAILURE                                                                                     \
        "{\"error\":\"org.forkd.jobs.JobFailed\",\"parameters\":{\"id\":3,\"sentence\":\"exited\"," \
        "\"certificate\":{\"id\":3,\"result\":\"exit\",\"status\":3}}}"

static void test_run(void **state) {
        Pair *p = *state;
        ForkdRun run = { .job = json_pack("{s:[s]}", "command", "true") };
        json_t *certificate = NULL;

        say(p, SUCCESS);
        assert_int_equal(forkd_run(p->f, &run, &certificate), 0);
        hear(p,
             "{\"method\":\"org.forkd.jobs.Run\",\"parameters\":{\"job\":{\"command\":[\"true\"]}}}");
        assert_string_equal(json_string_value(json_object_get(certificate, "result")), "success");
        json_decref(certificate);

        say(p, FAILURE);
        certificate = NULL;
        assert_int_equal(forkd_run(p->f, &run, &certificate), FORKD_E_JOB_FAILED);
        assert_int_equal(json_integer_value(json_object_get(certificate, "status")), 3);
        json_decref(certificate);

        certificate = NULL;
        say(p,
            "{\"error\":\"org.forkd.jobs.LimitReached\",\"parameters\":{\"sentence\":\"256 already\"}}");
        assert_int_equal(forkd_run(p->f, &run, &certificate), FORKD_E_LIMIT_REACHED);
        assert_null(certificate);

        say(p, "{\"parameters\":{\"id\":3,\"state\":\"finished\"}}");
        assert_int_equal(forkd_run(p->f, &run, &certificate), -EBADMSG);
        assert_null(certificate);
        json_decref(run.job);
}

static void test_run_from_a_loop(void **state) {
        Pair *p = *state;
        Told told = { .again = 1 };
        int fds[] = { memfd_with("x") };
        ForkdRun run = { .job = json_pack("{s:[s]}", "command", "true"), .fds = fds, .n_fds = 1 };
        StreamMessage m;

        told.run = &run;
        run.userdata = &told;
        assert_int_equal(forkd_run_start(p->f, &run), -EINVAL); /* nobody to tell */
        run.on_end = on_end;
        run.on_state = on_state;
        assert_int_equal(forkd_run_start(p->f, &run), 0);
        assert_int_equal(forkd_run_start(p->f, &run), -EBUSY);
        hear_message(p, &m);
        assert_int_equal(m.n_fds, 1);
        assert_non_null(strstr(m.text, "\"more\":true"));
        stream_message_done(&m);

        say(p, "{\"continues\":true,\"parameters\":{\"id\":3,\"state\":\"starting\"}}");
        assert_int_equal(forkd_process(p->f), 0);
        assert_int_equal(told.pid, 0);
        say(p, "{\"continues\":true,\"parameters\":{\"id\":3,\"state\":\"running\",\"pid\":44}}");
        say(p, SUCCESS);
        while (told.ends == 0)
                assert_int_equal(forkd_process(p->f), 0);
        assert_int_equal(told.states, 2);
        assert_int_equal(told.id, 3);
        assert_int_equal(told.pid, 44);
        assert_string_equal(told.state, "running");
        assert_string_equal(told.result, "success");

        /* the callback has started the next */
        assert_int_equal(forkd_in_flight(p->f), 1);
        say(p, FAILURE);
        while (told.ends == 1)
                assert_int_equal(forkd_process(p->f), 0);
        assert_int_equal(told.outcome, FORKD_E_JOB_FAILED);
        assert_string_equal(told.result, "exit");
        json_decref(run.job);
        close(fds[0]);
}

static void test_large_arguments(void **state) {
        Pair *p = *state;
        const size_t n = 600 * 1024;
        _cleanup_(freep) char *text = calloc(1, n + 1);
        ForkdRun run = { 0 };
        json_t *message, *job, *arguments;
        StreamMessage m;
        struct stat st;
        char *mapped;

        memset(text, 'x', n);
        run.job = json_pack("{s:s, s:{s:s}}", "entry", "check", "arguments", "text", text);
        say(p, SUCCESS);
        assert_int_equal(forkd_run(p->f, &run, NULL), 0);
        assert_non_null(json_object_get(run.job, "arguments")); /* the caller's job is untouched */

        hear_message(p, &m);
        assert_int_equal(m.n_fds, 1);
        message = json_loads(m.text, 0, NULL);
        job = json_object_get(json_object_get(message, "parameters"), "job");
        assert_null(json_object_get(job, "arguments"));
        assert_int_equal(json_integer_value(json_object_get(job, "argumentsDescriptor")), 0);
        assert_int_equal(fstat(m.fds[0], &st), 0);
        mapped = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, m.fds[0], 0);
        assert_true(mapped != MAP_FAILED);
        arguments = json_loadb(mapped, (size_t)st.st_size, 0, NULL);
        assert_true(json_equal(arguments, json_object_get(run.job, "arguments")));
        assert_int_equal(fcntl(m.fds[0], F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);

        munmap(mapped, (size_t)st.st_size);
        json_decref(arguments);
        json_decref(message);
        stream_message_done(&m);
        json_decref(run.job);
}

static void test_value_by_descriptor(void **state) {
        Pair *p = *state;
        ForkdRun run = { .job = json_pack("{s:s}", "entry", "big") };
        json_t *certificate = NULL;
        int fd = memfd_with("{\"value\": [1, 2]}"), bad = memfd_with("{");

        say_fds(p,
                "{\"parameters\":{\"id\":3,\"certificate\":{\"result\":\"success\",\"valueDescriptor\":0}}}",
                &fd, 1);
        assert_int_equal(forkd_run(p->f, &run, &certificate), 0);
        assert_int_equal(
                json_array_size(json_object_get(json_object_get(certificate, "value"), "value")),
                2);
        assert_null(json_object_get(certificate, "valueDescriptor"));
        json_decref(certificate);

        say_fds(p,
                "{\"parameters\":{\"id\":3,\"certificate\":{\"result\":\"success\",\"valueDescriptor\":0}}}",
                &bad, 1);
        assert_int_equal(forkd_run(p->f, &run, &certificate), -EBADMSG);
        close(fd);
        close(bad);
        json_decref(run.job);
}

static void test_submit(void **state) {
        Pair *p = *state;
        json_t *jobs =
                json_pack("[{s:[s]}, {s:[s], s:s}]", "command", "a", "command", "b", "key", "mine");
        json_t *message, *sent;
        uint64_t ids[2] = { 0 };
        StreamMessage m;

        say(p, "{\"parameters\":{\"ids\":[5,6]}}");
        assert_int_equal(forkd_submit(p->f, jobs, ids), 0);
        assert_int_equal(ids[0], 5);
        assert_int_equal(ids[1], 6);
        hear_message(p, &m);
        message = json_loads(m.text, 0, NULL);
        sent = json_object_get(json_object_get(message, "parameters"), "jobs");
        assert_int_equal(strlen(json_string_value(json_object_get(json_array_get(sent, 0), "key"))),
                         32);
        assert_string_equal(json_string_value(json_object_get(json_array_get(sent, 1), "key")),
                            "mine");
        assert_null(json_object_get(json_array_get(jobs, 0), "key")); /* the caller's */
        json_decref(message);
        stream_message_done(&m);

        say(p, "{\"parameters\":{\"ids\":[5]}}");
        assert_int_equal(forkd_submit(p->f, jobs, ids), -EBADMSG);
        assert_int_equal(forkd_submit(p->f, json_array_get(jobs, 0), ids), -EINVAL);
        json_decref(jobs);
}

static int on_change(const ForkdChange *change, void *userdata) {
        uint64_t *seen = userdata;

        seen[0]++;
        if (change->id > 0 && change->certificate)
                seen[1] += change->id;
        return 0;
}

static void test_wait(void **state) {
        Pair *p = *state;
        uint64_t seen[2] = { 0 };

        say(p, "{\"continues\":true,\"parameters\":{\"cursor\":1,\"id\":1,\"state\":\"running\"}}");
        say(p, "{\"continues\":true,\"parameters\":{\"cursor\":1}}"); /* still alive */
        say(p,
            "{\"continues\":true,\"parameters\":{\"cursor\":2,\"id\":1,\"state\":\"finished\",\"certificate\":{}}}");
        say(p,
            "{\"parameters\":{\"cursor\":3,\"id\":2,\"state\":\"finished\",\"certificate\":{}}}");
        assert_int_equal(forkd_wait(p->f, (uint64_t[]){ 1, 2 }, 2, USEC_INFINITY, on_change, seen),
                         0);
        assert_int_equal(seen[0], 2);
        assert_int_equal(seen[1], 3);
        hear(p,
             "{\"method\":\"org.forkd.jobs.Watch\",\"parameters\":{\"ids\":[1,2]},\"more\":true}");

        say(p, "{\"parameters\":{\"cursor\":9,\"id\":2,\"state\":\"running\"}}");
        assert_int_equal(forkd_watch(p->f, (uint64_t[]){ 2 }, 1, 8, on_change, seen), 0);
        assert_int_equal(seen[0], 3);
        hear(p,
             "{\"method\":\"org.forkd.jobs.Watch\",\"parameters\":{\"ids\":[2],\"cursor\":8},\"more\":true}");

        assert_int_equal(forkd_wait(p->f, (uint64_t[]){ 1 }, 1, 1000, NULL, NULL),
                         FORKD_E_TIMED_OUT);
}

static int on_job(json_t *job, void *userdata) {
        *(int *)userdata += (int)json_integer_value(json_object_get(job, "id"));
        return 0;
}

static void test_list(void **state) {
        Pair *p = *state;
        int sum = 0;
        const ForkdListFilter filter = {
                .states = (const char *[]){ "queued", "running", NULL },
                .name = "n",
                .limit = 3,
        };

        say(p, "{\"continues\":true,\"parameters\":{\"job\":{\"id\":1}}}");
        say(p, "{\"parameters\":{\"job\":{\"id\":2}}}");
        assert_int_equal(forkd_list(p->f, &filter, on_job, &sum), 0);
        assert_int_equal(sum, 3);
        hear(p,
             "{\"method\":\"org.forkd.jobs.List\",\"parameters\":{\"states\":[\"queued\",\"running\"],\"name\":\"n\","
             "\"limit\":3},\"more\":true}");

        say(p, "{\"parameters\":{\"jobs\":[{\"id\":10},{\"id\":20}]}}"); /* of one that answers all
                                                                            at once */
        assert_int_equal(forkd_list(p->f, NULL, on_job, &sum), 0);
        assert_int_equal(sum, 33);
        say(p, "{}");
        assert_int_equal(forkd_list(p->f, NULL, on_job, &sum), 0);
}

static void test_the_rest(void **state) {
        Pair *p = *state;
        const uint64_t id = 4;
        json_t *warnings = NULL;
        uint64_t n = 0;

        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_kill(p->f, &id, 1, 9), 0);
        hear(p, "{\"method\":\"org.forkd.jobs.Kill\",\"parameters\":{\"ids\":[4],\"signal\":9}}");
        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_pause(p->f, &id, 1), 0);
        hear(p, "{\"method\":\"org.forkd.jobs.Pause\",\"parameters\":{\"ids\":[4]}}");
        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_resume(p->f, &id, 1), 0);
        hear(p, "{\"method\":\"org.forkd.jobs.Resume\",\"parameters\":{\"ids\":[4]}}");
        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_forget(p->f, NULL, 0, &n), 0);
        assert_int_equal(n, 2);
        hear(p, "{\"method\":\"org.forkd.jobs.Forget\",\"parameters\":{\"finished\":true}}");
        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_reload(p->f, &warnings), 0);
        assert_true(json_is_array(warnings));
        json_decref(warnings);
        hear(p, "{\"method\":\"org.forkd.manager.Reload\",\"parameters\":{}}");
        say(p, "{\"parameters\":{\"forgotten\":2}}");
        assert_int_equal(forkd_drain(p->f, false, NULL, NULL), 0);
        hear(p, "{\"method\":\"org.forkd.manager.Drain\",\"parameters\":{\"wait\":false}}");
}

static int count_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int descriptors_at_start;

static int group_setup(void **state) {
        (void)state;
        descriptors_at_start = count_descriptors();
        return 0;
}

static int group_teardown(void **state) {
        (void)state;
        return count_descriptors() == descriptors_at_start ? 0 : -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

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
                T(test_run),
                T(test_run_from_a_loop),
                T(test_large_arguments),
                T(test_value_by_descriptor),
                T(test_submit),
                T(test_wait),
                T(test_list),
                T(test_the_rest),
        };

        return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
