/* SPDX-License-Identifier: Apache-2.0 */

/* org.forkd.servers over a socket, with real forkservers: what is refused, and what is told. What
 * becomes of a forkserver is in test-named.c. */

#include "servers-fixture.h"

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

/* ---- refusals */

static const struct {
        const char *method, *parameters, *error, *part;
} refusals[] = {
        { "servers.List", "{'all':true}", "varlink.service.InvalidParameter", "'all'" },
        { "servers.Show", "{}", "varlink.service.InvalidParameter", "needs 'name'" },
        { "servers.Show", "{'name':1}", "varlink.service.InvalidParameter", "a string" },
        { "servers.Show", "{'name':'spel'}", "forkd.servers.NoSuchServer", "nor any other" },
        { "servers.Stop", "{'name':'spel'}", "forkd.servers.NoSuchServer", "'spel'" },
        { "servers.Stop", "{'name':'spel','kill':1}", "varlink.service.InvalidParameter",
          "true or false" },
        { "servers.Stop", "{'name':'spawner'}", "varlink.service.InvalidParameter", "built into" },
        { "servers.Reload", "{'name':'twin'}", "varlink.service.InvalidParameter", "built into" },
        { "servers.Reload", "{'name':'spel'}", "forkd.servers.NoSuchServer", "'spel'" },
        { "servers.Scale", "{'name':'spel'}", "varlink.service.InvalidParameter", "needs 'spare'" },
        { "servers.Scale", "{'name':'spel','spare':65}", "varlink.service.InvalidParameter",
          "from 0 to 64" },
        { "servers.Scale", "{'name':'spel','spare':1}", "forkd.servers.NoSuchServer", "'spel'" },
        { "servers.Start", "{}", "varlink.service.InvalidParameter", "needs 'name'" },
        { "servers.Start", "{'name':'a/b','modules':['m']}", "varlink.service.InvalidParameter",
          "a letter, then letters" },
        { "servers.Start", "{'name':'','modules':['m']}", "varlink.service.InvalidParameter",
          "no name" },
        { "servers.Start", "{'name':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}",
          "varlink.service.InvalidParameter", "at most 47" },
        { "servers.Start", "{'name':'twin','modules':['m']}", "forkd.servers.NameTaken",
          "built-in" },
        { "servers.Start", "{'name':'spawner'}", "forkd.servers.NameTaken", "built-in" },
        { "servers.Start", "{'name':'new'}", "varlink.service.InvalidParameter",
          "'modules' or 'command'" },
        { "servers.Start", "{'name':'new','modules':['m'],'command':['c']}",
          "varlink.service.InvalidParameter", "not both" },
        { "servers.Start", "{'name':'new','modules':[]}", "varlink.service.InvalidParameter",
          "1 to 64 strings" },
        { "servers.Start", "{'name':'new','modules':'m'}", "varlink.service.InvalidParameter",
          "a list" },
        { "servers.Start", "{'name':'new','modules':['m',1]}", "varlink.service.InvalidParameter",
          "element 1" },
        { "servers.Start", "{'name':'new','modules':['./m.so']}",
          "varlink.service.InvalidParameter", "give the absolute one" },
        { "servers.Start", "{'name':'new','modules':['m','a/m.so']}",
          "varlink.service.InvalidParameter", "'a/m.so'" },
        { "servers.Start", "{'name':'new','modules':['-x']}", "varlink.service.InvalidParameter",
          "neither" },
        { "servers.Start", "{'name':'new','command':['./c']}", "varlink.service.InvalidParameter",
          "relative" },
        { "servers.Start", "{'name':'new','command':['']}", "varlink.service.InvalidParameter",
          "neither" },
        { "servers.Start", "{'name':'new','command':['c'],'arguments':[]}",
          "varlink.service.InvalidParameter", "an object" },
        { "servers.Start", "{'name':'new','command':['c'],'environment':['A=b']}",
          "varlink.service.InvalidParameter", "object" },
        { "servers.Start", "{'name':'new','command':['c'],'environment':{'A':1}}",
          "varlink.service.InvalidParameter", "'A'" },
        { "servers.Start", "{'name':'new','command':['c'],'environment':{'A=B':'c'}}",
          "varlink.service.InvalidParameter", "'A=B'" },
        { "servers.Start", "{'name':'new','command':['c'],'spare':-1}",
          "varlink.service.InvalidParameter", "from 0 to 64" },
        { "servers.Start", "{'name':'new','command':['c'],'preloadTimeoutUSec':0}",
          "varlink.service.InvalidParameter", "from 1" },
        { "servers.Start", "{'name':'new','command':['c'],'hugePages':'yes'}",
          "varlink.service.InvalidParameter", "true or false" },
        { "servers.Start", "{'name':'new','module':['m']}", "varlink.service.InvalidParameter",
          "no parameter 'module'" },
        { "jobs.Run", "{'job':{'server':'spel','entry':'echo'}}", "forkd.jobs.NoSuchServer",
          "'spel'" },
        { "jobs.Submit", "{'jobs':[{'server':'spel','entry':'echo'}]}", "forkd.jobs.NoSuchServer",
          "'spel'" },
        { "jobs.Run", "{'job':{'server':'spel','entry':'echo','startMethod':'spawn'}}",
          "forkd.jobs.NoSuchServer", "'spel'" },
        { "jobs.Run", "{'job':{'entry':'echo','startMethod':'spawn'}}", "forkd.jobs.NoSuchEntry",
          "no module" },
};

static void test_refusals(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        Client c;

        client_open(f, &c);
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++)
                refused(f, &c, refusals[i].method, refusals[i].parameters, refusals[i].error,
                        refusals[i].part);
        /* and nothing has come of any of them */
        reply = done(f, &c, "servers.List", "{}");
        assert_int_equal(json_array_size(reply_member(reply, "servers")), 1);
        json_decref(reply);
        client_close(f, &c);
}

static void refused_long(DaemonFixture *f, Client *c, const char *before, size_t n,
                         const char *after, const char *part) {
        char *filling = malloc(n + 1), *parameters;

        memset(filling, 'x', n);
        filling[n] = '\0';
        assert_true(asprintf(&parameters, "%s%s%s", before, filling, after) > 0);
        refused(f, c, "servers.Start", parameters, "varlink.service.InvalidParameter", part);
        free(parameters);
        free(filling);
}

static void test_bounds_of_parameters(void **state) {
        char modules[4096] = "{'name':'new','modules':['m'";
        DaemonFixture *f = *state;
        Client c;

        client_open(f, &c);
        for (int i = 0; i < SERVER_MODULES_MAX; i++)
                strcat(modules, ",'m'");
        strcat(modules, "]}");
        refused(f, &c, "servers.Start", modules, "varlink.service.InvalidParameter",
                "1 to 64 strings");
        refused_long(f, &c, "{'name':'new','command':['c','", 16384, "']}", "16 KiB");
        refused_long(f, &c, "{'name':'new','command':['c'],'arguments':{'a':'", 65536, "'}}",
                     "64 KiB");
        refused_long(f, &c, "{'name':'new','command':['c'],'environment':{'A':'", 65536, "'}}",
                     "64 KiB");
        client_close(f, &c);
}

/* ---- what is told */

static void test_built_in(void **state) {
        DaemonFixture *f = *state;
        const json_t *server, *worker;
        json_t *reply;
        uint64_t id;
        Client c;

        id = fixture_submit(f, "{'command':['sleep','1000']}");
        fixture_wait_state(f, id, JOB_RUNNING);
        client_open(f, &c);
        reply = done(f, &c, "servers.Show", "{'name':'spawner'}");
        server = reply_member(reply, "server");
        assert_members(server, "Server");
        assert_string_equal(text_of(server, "origin"), "built-in");
        assert_string_equal(text_of(server, "startMethod"), "spawn");
        assert_int_equal(integer_of(server, "workers"), 1);
        worker = json_array_get(reply_member(reply, "workers"), 0);
        assert_members(worker, "Worker");
        assert_int_equal(integer_of(worker, "job"), id);
        assert_true(integer_of(worker, "privateBytes") > 0);
        assert_int_equal(json_array_size(reply_member(reply, "output")), 0);
        json_decref(reply);
        refused(f, &c, "servers.Show", "{'name':'twin'}", "forkd.servers.NoSuchServer", "'twin'");
        client_close(f, &c);
}

static void expect_shown_job(DaemonFixture *f, Client *c, const json_t *running) {
        char parameters[64];
        const json_t *status;
        json_t *reply;

        snprintf(parameters, sizeof(parameters), "{'id':%d}", (int)reply_integer(running, "id"));
        reply = done(f, c, "jobs.Show", parameters);
        status = reply_member(reply, "status");
        assert_string_equal(text_of(status, "server"), "mis");
        assert_int_equal(integer_of(status, "generation"), 1);
        assert_true(integer_of(status, "privateBytes") > 0);
        assert_true(integer_of(status, "sharedBytes") > 0);
        json_decref(reply);
}

static void expect_shown_worker(DaemonFixture *f, Client *c, const json_t *running) {
        json_t *reply = done(f, c, "servers.Show", "{'name':'mis'}");
        const json_t *worker = json_array_get(reply_member(reply, "workers"), 0);

        assert_members(reply_member(reply, "server"), "Server");
        assert_true(integer_of(reply_member(reply, "server"), "privateBytes") > 0);
        assert_true(integer_of(reply_member(reply, "server"), "sharedBytes") > 0);
        assert_int_equal(integer_of(reply_member(reply, "server"), "workers"), 1);
        assert_int_equal(json_array_size(reply_member(reply, "generations")), 1);
        assert_members(json_array_get(reply_member(reply, "generations"), 0), "Generation");
        assert_members(worker, "Worker");
        assert_int_equal(integer_of(worker, "pid"), reply_integer(running, "pid"));
        assert_int_equal(integer_of(worker, "job"), reply_integer(running, "id"));
        assert_string_equal(text_of(worker, "entry"), "sleep");
        assert_string_equal(text_of(worker, "state"), "running");
        assert_true(integer_of(worker, "privateBytes") > 0);
        json_decref(reply);
}

static void test_life(void **state) {
        DaemonFixture *f = *state;
        const json_t *server;
        json_t *reply;
        Client c, other;

        client_open(f, &c);
        client_open(f, &other);
        reply = done(f, &c, "servers.Start",
                     "{'name':'mis','modules':['" MODULE(
                             "misbehave") "'],'spare':0,'environment':{'A':'b'},"
                                          "'arguments':{'a':1},'hugePages':false,"
                                          "'preloadTimeoutUSec':9223372036854775807}");
        server = reply_member(reply, "server");
        assert_members(server, "Server");
        assert_string_equal(text_of(server, "name"), "mis");
        assert_string_equal(text_of(server, "state"), "ready");
        assert_string_equal(text_of(server, "origin"), "request");
        assert_int_equal(integer_of(server, "uid"), geteuid());
        assert_int_equal(integer_of(server, "generation"), 1);
        assert_true(json_array_size(json_object_get(server, "entries")) > 5);
        assert_null(json_object_get(server, "privateBytes")); /* only Show takes the time */
        json_decref(reply);

        client_send(&other, "jobs.Run", true,
                    "{'job':{'server':'mis','entry':'sleep','arguments':{'usec':1000000000}}}");
        reply = receive_until(f, &other, "state", "running");
        expect_shown_job(f, &c, reply);
        expect_shown_worker(f, &c, reply);
        json_decref(reply);

        /* the next generation; the job goes on in the first one */
        reply = done(f, &c, "servers.Reload", "{'name':'mis'}");
        assert_int_equal(integer_of(reply_member(reply, "server"), "generation"), 2);
        assert_int_equal(integer_of(reply_member(reply, "server"), "workers"), 1);
        json_decref(reply);
        reply = done(f, &c, "jobs.Run", "{'job':{'server':'mis','entry':'echo'}}");
        assert_string_equal(text_of(reply_member(reply, "certificate"), "server"), "mis");
        assert_int_equal(integer_of(reply_member(reply, "certificate"), "generation"), 2);
        json_decref(reply);

        just(f, &c, "servers.Stop", "{'name':'mis','kill':true}");
        reply = receive_until(f, &other, "state", NULL);
        assert_string_equal(json_string_value(json_object_get(reply, "error")),
                            "org.forkd.jobs.JobFailed");
        assert_int_equal(integer_of(reply_member(reply, "certificate"), "generation"), 1);
        json_decref(reply);
        refused(f, &c, "servers.Show", "{'name':'mis'}", "forkd.servers.NoSuchServer", "'mis'");
        client_close(f, &other);
        client_close(f, &c);
}

static void test_scale(void **state) {
        DaemonFixture *f = *state;
        size_t spares = 0;
        json_t *reply;
        Client c;

        client_open(f, &c);
        just(f, &c, "servers.Start", START("mis", "misbehave"));
        reply = done(f, &c, "servers.Scale", "{'name':'mis','spare':3}");
        assert_int_equal(integer_of(reply_member(reply, "server"), "spare"), 3);
        json_decref(reply);
        while (spares < 3) {
                const json_t *worker;
                size_t i;

                fixture_turn(f);
                reply = done(f, &c, "servers.Show", "{'name':'mis'}");
                spares = json_array_size(reply_member(reply, "workers"));
                json_array_foreach ((json_t *)reply_member(reply, "workers"), i, worker) {
                        assert_members(worker, "Worker");
                        assert_string_equal(text_of(worker, "state"), "spare");
                        assert_null(json_object_get(worker, "job"));
                }
                assert_int_equal(integer_of(reply_member(reply, "server"), "workers"), 0);
                json_decref(reply);
        }
        just(f, &c, "servers.Stop", "{'name':'mis'}");
        client_close(f, &c);
}

/* Of a forkserver with much to tell, List tells less, so that it can tell of all. */
static void test_long_words(void **state) {
        char filling[15 * 1024], *parameters;
        DaemonFixture *f = *state;
        const json_t *listed;
        json_t *reply;
        Client c;

        memset(filling, 'x', sizeof(filling));
        filling[sizeof(filling) - 1] = '\0';
        assert_true(asprintf(&parameters, "{'name':'long','command':['/no/such','%s']}", filling) >
                    0);
        client_open(f, &c);
        refused(f, &c, "servers.Start", parameters, "forkd.servers.ServerFailed", "/no/such");
        free(parameters);
        reply = done(f, &c, "servers.List", "{}");
        listed = json_array_get(reply_member(reply, "servers"), 1);
        assert_members(listed, "Server");
        assert_string_equal(text_of(listed, "name"), "long");
        assert_string_equal(text_of(listed, "state"), "failed");
        assert_null(json_object_get(listed, "command"));
        json_decref(reply);
        reply = done(f, &c, "servers.Show", "{'name':'long'}");
        assert_int_equal(json_array_size(json_object_get(reply_member(reply, "server"), "command")),
                         2);
        json_decref(reply);
        client_close(f, &c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_refusals), T(test_bounds_of_parameters), T(test_built_in), T(test_life),
                T(test_scale),    T(test_long_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
