/* SPDX-License-Identifier: Apache-2.0 */

/* client/lib: the methods of org.forkd.jobs, org.forkd.servers and org.forkd.manager. */

#include "client-pair.h"

#include <sys/mman.h>
#include <sys/stat.h>

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

        /* nobody is told of what is given up, and nothing of it is left */
        assert_int_equal(forkd_run_start(p->f, &run), 0);
        p->f = forkd_free(p->f);
        assert_int_equal(told.ends, 2);
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

#define SERVER "{\"parameters\":{\"server\":{\"name\":\"spell\"}}}"

static void test_servers(void **state) {
        Pair *p = *state;
        json_t *reply = NULL,
               *parameters = json_pack("{s:s,s:[s]}", "name", "spell", "modules", "m");

        say(p, "{\"parameters\":{\"servers\":[{},{}]}}");
        assert_int_equal(forkd_servers_list(p->f, &reply), 0);
        assert_int_equal(json_array_size(reply), 2);
        json_decref(steal(reply));
        hear(p, "{\"method\":\"org.forkd.servers.List\",\"parameters\":{}}");
        say(p, "{\"parameters\":{\"server\":{},\"output\":[]}}");
        assert_int_equal(forkd_servers_show(p->f, "spell", &reply), 0);
        assert_int_equal(json_object_size(reply), 2);
        json_decref(steal(reply));
        hear(p, "{\"method\":\"org.forkd.servers.Show\",\"parameters\":{\"name\":\"spell\"}}");

        say(p, SERVER);
        assert_int_equal(forkd_servers_start(p->f, parameters, &reply), 0);
        assert_string_equal(json_string_value(json_object_get(reply, "name")), "spell");
        json_decref(steal(reply));
        hear(p, "{\"method\":\"org.forkd.servers.Start\",\"parameters\":{\"name\":\"spell\","
                "\"modules\":[\"m\"]}}");
        say(p,
            "{\"error\":\"org.forkd.servers.NameTaken\",\"parameters\":{\"sentence\":\"taken\"}}");
        assert_int_equal(forkd_servers_start(p->f, parameters, &reply), FORKD_E_NAME_TAKEN);
        assert_string_equal(forkd_error_sentence(p->f), "taken");
        json_decref(parameters);
        hear(p, "{\"method\":\"org.forkd.servers.Start\",\"parameters\":{\"name\":\"spell\","
                "\"modules\":[\"m\"]}}");

        say(p, "{}");
        assert_int_equal(forkd_servers_stop(p->f, "spell", true), 0);
        hear(p,
             "{\"method\":\"org.forkd.servers.Stop\",\"parameters\":{\"name\":\"spell\",\"kill\":true}}");
        say(p, "{}");
        assert_int_equal(forkd_servers_stop(p->f, "spell", false), 0);
        hear(p, "{\"method\":\"org.forkd.servers.Stop\",\"parameters\":{\"name\":\"spell\"}}");
        say(p, SERVER);
        assert_int_equal(forkd_servers_reload(p->f, "spell", NULL), 0);
        hear(p, "{\"method\":\"org.forkd.servers.Reload\",\"parameters\":{\"name\":\"spell\"}}");
        say(p, "{}"); /* without what it is called for */
        assert_int_equal(forkd_servers_scale(p->f, "spell", 3, &reply), -EBADMSG);
        hear(p,
             "{\"method\":\"org.forkd.servers.Scale\",\"parameters\":{\"name\":\"spell\",\"spare\":3}}");
}

#define T(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_run),
                T(test_run_from_a_loop),
                T(test_large_arguments),
                T(test_value_by_descriptor),
                T(test_submit),
                T(test_wait),
                T(test_list),
                T(test_the_rest),
                T(test_servers),
        };

        return cmocka_run_group_tests(tests, descriptors_remember, descriptors_compare);
}
