/* SPDX-License-Identifier: Apache-2.0 */

/* org.forkd.servers over a socket, with real forkservers: names and states, who waits, and who may.
 */

#include "servers-fixture.h"

#define STRANGER 65534

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=4");
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

/* ---- names and states */

static void test_names(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        client_open(f, &c);
        client_send(&c, "servers.Start", false, START("bad", "preload-fails"));
        reply = client_receive(f, &c);
        assert_string_equal(json_string_value(json_object_get(reply, "error")),
                            "org.forkd.servers.ServerFailed");
        assert_string_equal(reply_string(reply, "server"), "bad");
        assert_non_null(strstr(reply_string(reply, "reason"), "its preload failed"));
        assert_non_null(strstr(reply_string(reply, "sentence"), reply_string(reply, "reason")));
        json_decref(reply);
        reply = done(f, &c, "servers.Show", "{'name':'bad'}");
        assert_members(reply_member(reply, "server"), "Server");
        assert_string_equal(text_of(reply_member(reply, "server"), "state"), "failed");
        assert_null(json_object_get(reply_member(reply, "server"), "nextStartAtUSec"));
        json_decref(reply);
        refused(f, &c, "jobs.Run", "{'job':{'server':'bad','entry':'echo'}}",
                "forkd.jobs.ServerFailed", "its preload failed");
        refused(f, &c, "jobs.Submit", "{'jobs':[{'server':'bad','entry':'echo'}]}",
                "forkd.jobs.ServerFailed", "its preload failed");

        just(f, &c, "servers.Start", START("bad", "misbehave")); /* in its place */
        refused(f, &c, "servers.Start", START("bad", "misbehave"), "forkd.servers.NameTaken",
                "stop it");
        just(f, &c, "servers.Start", "{'name':'bad'}"); /* it is what was asked for */
        refused(f, &c, "servers.Start", "{'name':'bad','spare':2}",
                "varlink.service.InvalidParameter", "'modules' or 'command'");
        refused(f, &c, "jobs.Run", "{'job':{'server':'bad','entry':'no-such'}}",
                "forkd.jobs.NoSuchEntry", "there are: ");
        refused(f, &c, "jobs.Run", "{'job':{'server':'other','entry':'echo'}}",
                "forkd.jobs.NoSuchServer", "there are: bad");
        just(f, &c, "servers.Stop", "{'name':'bad'}");
        client_close(f, &c);
}

static void test_configured(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        configure(f, "conf", "[Server]\nModule=" MODULE("misbehave") "\n[Pool]\nSpare=0\n");
        client_open(f, &c);
        refused(f, &c, "servers.Start", START("conf", "misbehave"), "forkd.servers.NameTaken",
                "servers/conf.conf");
        reply = done(f, &c, "servers.Show", "{'name':'conf'}");
        assert_string_equal(text_of(reply_member(reply, "server"), "state"), "stopped");
        assert_string_equal(text_of(reply_member(reply, "server"), "origin"), "configuration");
        json_decref(reply);

        just(f, &c, "servers.Stop", "{'name':'conf'}"); /* before its first use */
        refused(f, &c, "jobs.Run", "{'job':{'server':'conf','entry':'echo'}}",
                "forkd.jobs.ServerFailed", "forkctl servers start conf");
        refused(f, &c, "servers.Reload", "{'name':'conf'}", "forkd.servers.WrongState", "stopped");
        reply = done(f, &c, "servers.Start", "{'name':'conf'}");
        assert_string_equal(text_of(reply_member(reply, "server"), "state"), "ready");
        json_decref(reply);
        just(f, &c, "jobs.Run", "{'job':{'server':'conf','entry':'echo'}}");
        just(f, &c, "servers.Stop", "{'name':'conf'}");
        reply = done(f, &c, "servers.Show", "{'name':'conf'}");
        assert_string_equal(text_of(reply_member(reply, "server"), "state"), "stopped");
        json_decref(reply);
        /* a process of its own needs no forkserver that runs */
        reply = done(f, &c, "jobs.Run",
                     "{'job':{'server':'conf','entry':'echo','startMethod':'spawn'}}");
        assert_null(json_object_get(reply_member(reply, "certificate"), "generation"));
        assert_string_equal(text_of(reply_member(reply, "certificate"), "server"), "conf");
        json_decref(reply);
        client_close(f, &c);
}

/* ---- waiting */

static void test_client_goes(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c, other;

        client_open(f, &c);
        client_open(f, &other);
        client_send(&c, "servers.Start", false, START("slow", "preload-hangs"));
        assert_false(client_has_reply(f, &c));
        client_close(f, &c);

        /* it goes on without the client that wanted it; a stop interrupts it */
        reply = done(f, &other, "servers.Show", "{'name':'slow'}");
        assert_string_equal(text_of(reply_member(reply, "server"), "state"), "starting");
        json_decref(reply);
        just(f, &other, "servers.Stop", "{'name':'slow'}");
        client_close(f, &other);
}

static void test_stop_answers_start(void **state) {
        DaemonFixture *f = *state;
        Client c, other;
        char *sentence;

        client_open(f, &c);
        client_open(f, &other);
        client_send(&c, "servers.Start", false, START("slow", "preload-hangs"));
        assert_false(client_has_reply(f, &c));
        just(f, &other, "servers.Stop", "{'name':'slow'}");
        sentence = client_expect_error(f, &c, "forkd.servers.ServerFailed");
        assert_non_null(strstr(sentence, "stopped"));
        free(sentence);
        client_close(f, &other);
        client_close(f, &c);
}

static void test_reload_fails(void **state) {
        DaemonFixture *f = *state;
        Client c;

        configure(f, "conf", "[Server]\nModule=" MODULE("misbehave") "\n[Pool]\nSpare=0\n");
        client_open(f, &c);
        just(f, &c, "servers.Start", "{'name':'conf'}");
        write_conf(f, "conf", "[Server]\nModule=" MODULE("preload-fails") "\n");
        refused(f, &c, "servers.Reload", "{'name':'conf'}", "forkd.servers.ServerFailed",
                "the present one goes on");
        just(f, &c, "jobs.Run", "{'job':{'server':'conf','entry':'echo'}}");
        client_close(f, &c);
}

static void test_draining(void **state) {
        DaemonFixture *f = *state;
        Client c;

        client_open(f, &c);
        just(f, &c, "servers.Start", START("mis", "misbehave"));
        daemon_drain(f->daemon);
        refused(f, &c, "servers.Start", START("new", "misbehave"), "forkd.servers.Draining",
                "draining");
        refused(f, &c, "servers.Reload", "{'name':'mis'}", "forkd.servers.Draining", "draining");
        just(f, &c, "servers.Stop", "{'name':'mis'}");
        client_close(f, &c);
}

/* ---- users */

static void test_strangers(void **state) {
        DaemonFixture *f = *state;
        Client c, stranger;
        json_t *reply;

        if (geteuid() != 0)
                skip();
        client_open(f, &c);
        client_open_as(f, &stranger, STRANGER);
        just(f, &c, "servers.Start", START("ours", "misbehave"));
        just(f, &stranger, "servers.List", "{}");
        refused(f, &stranger, "servers.Stop", "{'name':'ours'}", "varlink.service.PermissionDenied",
                "only root");
        refused(f, &stranger, "servers.Reload", "{'name':'ours'}",
                "varlink.service.PermissionDenied", "only root");
        refused(f, &stranger, "servers.Scale", "{'name':'ours','spare':1}",
                "varlink.service.PermissionDenied", "only root");
        refused(f, &stranger, "jobs.Run", "{'job':{'server':'ours','entry':'echo'}}",
                "varlink.service.PermissionDenied", "of your own");
        refused(f, &stranger, "jobs.Run",
                "{'job':{'server':'ours','entry':'echo','startMethod':'spawn'}}",
                "varlink.service.PermissionDenied", "of your own");
        refused(f, &stranger, "servers.Start", START("ours", "misbehave"),
                "forkd.servers.NameTaken", "uid 0");
        reply = done(f, &stranger, "servers.Show", "{'name':'ours'}");
        assert_int_equal(json_array_size(reply_member(reply, "output")), 0);
        json_decref(reply);

        /* a failed one of another is no room for mine either */
        client_send(&c, "servers.Start", false, START("bad", "preload-fails"));
        free(client_expect_error(f, &c, "forkd.servers.ServerFailed"));
        refused(f, &stranger, "servers.Start", START("bad", "misbehave"), "forkd.servers.NameTaken",
                "failed");
        just(f, &c, "servers.Stop", "{'name':'bad'}");
        just(f, &c, "servers.Stop", "{'name':'ours'}");

        refused(f, &stranger, "servers.Start",
                "{'name':'mine','command':['/bin/sh','-c','echo secret; exit 3']}",
                "forkd.servers.ServerFailed", "mine");
        reply = done(f, &stranger, "servers.Show", "{'name':'mine'}");
        assert_int_equal(integer_of(reply_member(reply, "server"), "uid"), STRANGER);
        assert_string_equal(json_string_value(json_array_get(reply_member(reply, "output"), 0)),
                            "secret");
        json_decref(reply);
        client_close(f, &stranger);
        client_open_as(f, &stranger, STRANGER - 1);
        reply = done(f, &stranger, "servers.Show", "{'name':'mine'}");
        assert_int_equal(json_array_size(reply_member(reply, "output")), 0);
        json_decref(reply);
        refused(f, &stranger, "servers.Stop", "{'name':'mine'}", "varlink.service.PermissionDenied",
                "uid 65534 has started");
        client_close(f, &stranger);
        client_close(f, &c);
}

/* Who may run entries does not see whose job a worker runs. */
static void test_jobs_of_others(void **state) {
        DaemonFixture *f = *state;
        const json_t *worker;
        Client c, stranger;
        json_t *reply;

        if (geteuid() != 0)
                skip();
        configure(f, "open",
                  "[Server]\nModule=" MODULE("misbehave") "\nAllowUsers=*\n[Pool]\nSpare=0\n");
        client_open(f, &c);
        client_open_as(f, &stranger, STRANGER);
        just(f, &stranger, "jobs.Run", "{'job':{'server':'open','entry':'echo'}}");
        refused(f, &stranger, "servers.Stop", "{'name':'open'}", "varlink.service.PermissionDenied",
                "only root");
        client_send(&c, "jobs.Run", true, "{'job':{'server':'open','entry':'never'}}");
        json_decref(receive_until(f, &c, "state", "running"));
        reply = done(f, &stranger, "servers.Show", "{'name':'open'}");
        worker = json_array_get(reply_member(reply, "workers"), 0);
        assert_members(worker, "Worker");
        assert_null(json_object_get(worker, "job"));
        assert_null(json_object_get(worker, "entry"));
        json_decref(reply);
        client_close(f, &stranger);
        client_close(f, &c);
}

static void test_limit_of_a_user(void **state) {
        DaemonFixture *f = *state;
        char parameters[128];
        Client stranger;

        if (geteuid() != 0)
                skip();
        client_open_as(f, &stranger, STRANGER);
        for (int i = 0; i < NAMED_MAX / 2; i++) {
                snprintf(parameters, sizeof(parameters), "{'name':'s%d','command':['/no/such']}",
                         i);
                refused(f, &stranger, "servers.Start", parameters, "forkd.servers.ServerFailed",
                        "/no/such");
        }
        refused(f, &stranger, "servers.Start", "{'name':'more','command':['/no/such']}",
                "forkd.servers.LimitReached", "half");
        refused(f, &stranger, "servers.Start", "{'name':'s0','command':['/no/such']}",
                "forkd.servers.ServerFailed", "/no/such");
        client_close(f, &stranger);
}

/* ---- entries of forkd's own modules */

static int setup_twin(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "Module=" MODULE("misbehave"));
        *state = &f;
        return 0;
}

static void test_entries_of_forkd(void **state) {
        static const char *const methods[] = { "fork", "spawn" };
        DaemonFixture *f = *state;
        char parameters[128];
        json_t *reply;
        Client c;

        client_open(f, &c);
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                snprintf(parameters, sizeof(parameters),
                         "{'job':{'startMethod':'%s','entry':'echo'}}", methods[i]);
                reply = done(f, &c, "jobs.Run", parameters);
                assert_null(json_object_get(reply_member(reply, "certificate"), "server"));
                json_decref(reply);
                snprintf(parameters, sizeof(parameters),
                         "{'job':{'startMethod':'%s','entry':'no-such'}}", methods[i]);
                refused(f, &c, "jobs.Run", parameters, "forkd.jobs.NoSuchEntry",
                        "there are: echo, ");
        }
        reply = done(f, &c, "servers.Show", "{'name':'twin'}");
        assert_members(reply_member(reply, "server"), "Server");
        assert_string_equal(text_of(reply_member(reply, "server"), "startMethod"), "fork");
        assert_true(json_array_size(json_object_get(reply_member(reply, "server"), "entries")) > 5);
        json_decref(reply);
        client_close(f, &c);

        if (geteuid() != 0)
                return;
        client_open_as(f, &c, STRANGER);
        for (size_t i = 0; i < ELEMENTSOF(methods); i++) {
                snprintf(parameters, sizeof(parameters),
                         "{'job':{'startMethod':'%s','entry':'echo'}}", methods[i]);
                refused(f, &c, "jobs.Run", parameters, "varlink.service.PermissionDenied",
                        "run as uid 0");
        }
        client_close(f, &c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                T(test_names),
                T(test_configured),
                T(test_client_goes),
                T(test_stop_answers_start),
                T(test_reload_fails),
                T(test_draining),
                T(test_strangers),
                T(test_jobs_of_others),
                T(test_limit_of_a_user),
                cmocka_unit_test_setup_teardown(test_entries_of_forkd, setup_twin, teardown),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
