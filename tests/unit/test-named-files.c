/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/named-set.c: files of forkservers that come, change, go and return while their
 * forkserver is in any state; and what of them a job may start. */

#include "servers-fixture.h"

#include "named-private.h"
#include "server-private.h"

#define MISBEHAVE "Module=" MODULE("misbehave") "\n"
#define BOOT      "[Server]\nStart=boot\n" MISBEHAVE

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=8");
        fixture_until(&f, fixture_spawner(&f)->state == SERVER_READY);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static NamedServer *configured(DaemonFixture *f, const char *text) {
        NamedServer *n;

        configure(f, "conf", text);
        n = named_find(f->daemon->named, "conf");
        assert_non_null(n);
        return n;
}

static void remove_conf(DaemonFixture *f) {
        char path[160];

        snprintf(path, sizeof(path), "%s/config/servers/conf.conf", f->root);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(daemon_reload(f->daemon), 0);
}

static void until_ready(DaemonFixture *f, const NamedServer *n, unsigned generation) {
        fixture_until(f, named_state(n) == NAMED_READY && n->serving &&
                                 n->serving->generation == generation && !n->starting);
}

static void stop(DaemonFixture *f, NamedServer *n) {
        named_stop(n, false);
        fixture_until(f, named_state(n) == NAMED_STOPPED);
}

/* ---- gone and there again */

static void test_back_while_stopping(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT);
        uint64_t old, new;
        Server *s;

        until_ready(f, n, 1);
        old = fixture_submit(f,
                             "{'server':'conf','entry':'sleep','arguments':{'usec':1000000000}}");
        fixture_wait_state(f, old, JOB_RUNNING);
        remove_conf(f);
        assert_int_equal(named_state(n), NAMED_STOPPING);
        assert_int_equal(named_pick(n, "echo", &s), SERVER_E_FAILED);
        assert_ptr_equal(configured(f, BOOT), n);
        assert_int_equal(named_state(n), NAMED_STOPPING);

        /* what comes now waits for the end of the old, and runs in the new */
        new = fixture_submit(f, "{'server':'conf','entry':'echo'}");
        fixture_settle(f);
        assert_int_equal(fixture_job(f, new)->state, JOB_QUEUED);
        job_stop(fixture_job(f, old), RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(fixture_wait(f, old)->result, RESULT_CANCELLED);
        assert_int_equal(fixture_wait(f, new)->result, RESULT_SUCCESS);
        until_ready(f, n, 2);
}

static void test_stopped_after_back(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT);

        until_ready(f, n, 1);
        remove_conf(f);
        assert_ptr_equal(configured(f, BOOT), n);
        stop(f, n); /* by request: it stays so */
        fixture_settle(f);
        assert_int_equal(named_state(n), NAMED_STOPPED);

        remove_conf(f);
        fixture_until(f, !named_find(f->daemon->named, "conf"));
        n = configured(f, "[Server]\n" MISBEHAVE);
        assert_int_equal(named_state(n), NAMED_STOPPED);
        assert_int_equal(
                fixture_wait(f, fixture_submit(f, "{'server':'conf','entry':'echo'}"))->result,
                RESULT_SUCCESS);
}

/* ---- changed */

static void test_changed_back(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT);

        until_ready(f, n, 1);
        configured(f, "[Server]\nStart=boot\nEnvironment=A=1\n" MISBEHAVE);
        fixture_until(f, n->starting);
        configured(f, BOOT); /* while the changed one starts */
        fixture_until(f, n->serving->generation > 1 && !n->starting && !n->start_timer);
        assert_null(n->settings->environment);
        assert_int_equal(n->serving->generation, 3);
        assert_int_equal(named_state(n), NAMED_READY);
}

static void test_wrong_again(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, "[Server]\n");
        const char *sentence = NULL;
        json_t *event = NULL;
        Client c;

        client_open(f, &c);
        client_send(&c, "manager.Subscribe", true, "{}");
        json_decref(client_receive(f, &c));
        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_non_null(strstr(named_reason(n), "neither Module="));
        configured(f, "[Server]\nUser=no-such-user\n" MISBEHAVE);
        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_non_null(strstr(named_reason(n), "no-such-user"));
        do { /* watchers are told */
                json_decref(event);
                event = client_receive(f, &c);
                sentence = reply_string(event, "sentence");
        } while (!strstr(sentence, "no-such-user"));
        json_decref(event);
        client_close(f, &c);
        configured(f, BOOT);
        until_ready(f, n, 1);
}

/* Stopped by request, it is not started by a file that was wrong for a while. */
static void test_wrong_while_stopped(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT);

        until_ready(f, n, 1);
        stop(f, n);
        configured(f, "[Server]\n");
        configured(f, BOOT);
        fixture_settle(f);
        assert_int_equal(named_state(n), NAMED_STOPPED);
        assert_int_equal(named_start_again(n), 0);
        until_ready(f, n, 2);
}

/* ---- what a job may start */

/* As whom it would run is not known. */
static void test_invalid_one_shot(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, "[Server]\nUser=no-such-user\nAllowUsers=*\n" MISBEHAVE);
        uint64_t early;
        Client c;

        client_open(f, &c);
        refused(f, &c, "jobs.Run", "{'job':{'server':'conf','entry':'echo','startMethod':'spawn'}}",
                "forkd.jobs.ServerFailed", "User=no-such-user");
        client_close(f, &c);

        /* accepted before the file was wrong */
        configured(f, "[Server]\n" MISBEHAVE);
        early = fixture_submit(
                f,
                "{'server':'conf','entry':'echo','startMethod':'spawn','startAtUSec':%" PRIu64 "}",
                now_usec(CLOCK_REALTIME) + 200 * USEC_PER_MSEC);
        configured(f, "[Server]\nUser=no-such-user\n" MISBEHAVE);
        assert_int_equal(fixture_wait(f, early)->result, RESULT_SERVER_FAILED);
        assert_int_equal(n->starts, 0);
}

static void test_parked_job_starts_nothing(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, "[Server]\n" MISBEHAVE);
        json_t *reply;
        Client c;

        client_open(f, &c);
        reply = done(f, &c, "jobs.Submit",
                     "{'jobs':[{'server':'conf','entry':'echo','startAtUSec':9000000000000000}]}");
        json_decref(reply);
        fixture_settle(f);
        assert_int_equal(named_state(n), NAMED_STOPPED);
        assert_int_equal(n->starts, 0);
        just(f, &c, "jobs.Run", "{'job':{'server':'conf','entry':'echo'}}");
        assert_int_equal(n->starts, 1);
        client_close(f, &c);
}

/* ---- one that is replaced */

static void expect_output(DaemonFixture *f, Client *c, const char *text) {
        json_t *reply = done(f, c, "servers.Show", "{'name':'loud'}");
        char *output = json_dumps(reply_member(reply, "output"), JSON_COMPACT);

        assert_string_equal(output, text);
        free(output);
        json_decref(reply);
}

/* The old one's process writes while the new one starts. */
static void test_replaced(void **state) {
        DaemonFixture *f = *state;
        char fifo[160], script[160], parameters[256];
        NamedServer *n;
        FILE *file;
        Client c, other;
        int fd;

        snprintf(fifo, sizeof(fifo), "%s/fifo", f->root);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        snprintf(script, sizeof(script), "%s/host.py", f->root);
        file = fopen(script, "we");
        assert_non_null(file);
        fprintf(file,
                "import socket\n"
                "c = socket.socket(fileno=3)\n"
                "c.send(b'{\"method\": \"Refused\"}')\n"
                "open('%s').read()\n"
                "print('older')\n",
                fifo);
        fclose(file);
        snprintf(parameters, sizeof(parameters),
                 "{'name':'loud','command':['/usr/bin/python3','%s']}", script);
        client_open(f, &c);
        refused(f, &c, "servers.Start", parameters, "forkd.servers.ServerFailed", "refuses");
        n = named_find(f->daemon->named, "loud");
        client_send(&c, "servers.Start", false,
                    "{'name':'loud','command':['/bin/sh','-c','sleep 1000']}");
        fixture_until(f, n->starting && n->starting->pid > 0);
        assert_null(named_reason(n));
        fd = open(fifo, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        close(fd);
        fixture_until(f, !named_next_generation(n, n->starting));
        client_open(f, &other);
        expect_output(f, &other, "[]");
        client_close(f, &other);
        named_stop(n, false); /* then it is gone, sooner or later */
        free(client_expect_error(f, &c, "forkd.servers.ServerFailed"));
        client_close(f, &c);
}

static void test_replaced_output(void **state) {
        DaemonFixture *f = *state;
        Client c;

        client_open(f, &c);
        refused(f, &c, "servers.Start",
                "{'name':'loud','command':['/bin/sh','-c','echo old; exit 3']}",
                "forkd.servers.ServerFailed", "old");
        expect_output(f, &c, "[\"old\"]");
        refused(f, &c, "servers.Start",
                "{'name':'loud','command':['/bin/sh','-c','echo new; exit 3']}",
                "forkd.servers.ServerFailed", "new");
        expect_output(f, &c, "[\"new\"]");
        client_close(f, &c);
}

/* ---- what is told */

static json_int_t spares_told(const NamedServer *n) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        json_int_t spares;
        json_t *told;

        named_write(n, &t, NULL, false);
        assert_int_equal(json_text_finish(&t), 0);
        told = json_loads(t.text, 0, NULL);
        spares = integer_of(told, "spares");
        json_decref(told);
        return spares;
}

static void test_spares_told(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT "[Pool]\nSpare=2\n");

        fixture_until(f, n->serving && n->serving->n_spares == 1);
        assert_int_equal(spares_told(n), 0); /* it is only ordered */
        fixture_until(f, spares_told(n) == 1);
        fixture_until(f, spares_told(n) == 2);
}

/* One with many entries leaves room for all others in one message. */
static void test_status_bounded(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, "[Server]\n" MISBEHAVE);
        const json_t *server;
        json_t *reply;
        Client c;

        n->entries = json_array();
        for (unsigned i = 0; i < SERVER_ENTRIES_MAX; i++)
                assert_int_equal(
                        json_array_append_new(n->entries,
                                              json_pack("{s:s}", "name",
                                                        "an-entry-with-a-name-that-is-as-long-"
                                                        "as-any-name-may-be-63-bytes")),
                        0);
        client_open(f, &c);
        reply = done(f, &c, "manager.Status", "{}");
        server = json_array_get(reply_member(reply, "servers"), 1);
        assert_string_equal(text_of(server, "name"), "conf");
        assert_int_equal(json_array_size(json_object_get(server, "entries")), 0);
        json_decref(reply);
        client_close(f, &c);
}

/* ---- waiting */

typedef struct Pair {
        NamedSet *set;
        struct Pair *other;
        unsigned n;
} Pair;

static void on_first(NamedServer *n, const char *error, void *userdata) {
        Pair *p = userdata;

        (void)n;
        (void)error;
        p->n++;
        named_unwait(p->set, p->other); /* as when its client goes by what this one is told */
}

static void test_taken_back_by_an_answer(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configured(f, BOOT);
        Pair a = { .set = f->daemon->named }, b = { .set = f->daemon->named, .other = &a };

        a.other = &b;
        assert_int_equal(named_wait_ready(n, on_first, &a), 0);
        assert_int_equal(named_wait_ready(n, on_first, &b), 0);
        until_ready(f, n, 1);
        assert_int_equal(a.n, 1);
        assert_int_equal(b.n, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                T(test_back_while_stopping),
                T(test_stopped_after_back),
                T(test_changed_back),
                T(test_wrong_again),
                T(test_wrong_while_stopped),
                T(test_invalid_one_shot),
                T(test_parked_job_starts_nothing),
                T(test_replaced),
                T(test_replaced_output),
                T(test_taken_back_by_an_answer),
                T(test_spares_told),
                T(test_status_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
