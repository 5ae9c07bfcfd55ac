/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/named.h and host.h: lives of named forkservers. */

#include "daemon-fixture.h"

#include "named-private.h"
#include "server-private.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#define MISBEHAVE "Module=" TEST_MODULES "/misbehave.so\n"

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

static void write_file(DaemonFixture *f, const char *name, const char *text) {
        char path[256];
        FILE *file;

        snprintf(path, sizeof(path), "%s/config/servers", f->root);
        (void)mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/config/servers/%s.conf", f->root, name);
        if (!text) {
                assert_int_equal(unlink(path), 0);
                return;
        }
        file = fopen(path, "we");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

/* Its file is written and read. */
static NamedServer *configure(DaemonFixture *f, const char *name, const char *text) {
        NamedServer *n;

        write_file(f, name, text);
        named_set_reload(f->daemon->named);
        n = named_find(f->daemon->named, name);
        assert_non_null(n);
        return n;
}

static ServerSettings *request(const char *name, const char *module) {
        ServerSettings *s;

        assert_int_equal(server_settings_new(&s, name), 0);
        assert_true(strings_append(&s->modules, module) >= 0);
        return s;
}

typedef struct Answer {
        unsigned n;
        char error[512]; /* empty: none */
} Answer;

static void on_answer(NamedServer *n, const char *error, void *userdata) {
        Answer *a = userdata;

        assert_non_null(n);
        a->n++;
        snprintf(a->error, sizeof(a->error), "%s", error ?: "");
}

static Answer wait_ready(DaemonFixture *f, NamedServer *n) {
        Answer a = { 0 };

        assert_int_equal(named_wait_ready(n, on_answer, &a), 0);
        fixture_until(f, a.n > 0);
        assert_int_equal(a.n, 1);
        return a;
}

static void stop(DaemonFixture *f, NamedServer *n, bool kill) {
        Answer a = { 0 };

        assert_int_equal(named_wait_stopped(n, on_answer, &a), 0);
        named_stop(n, kill);
        fixture_until(f, a.n > 0);
        assert_string_equal(a.error, "");
}

static uint64_t submit(DaemonFixture *f, const char *name, const char *entry) {
        return fixture_submit(f, "{'server':'%s','entry':'%s'}", name, entry);
}

/* ---- states */

static void test_states(void **state) {
        bool reached[_NAMED_STATE_MAX] = { [NAMED_STOPPED] = true }, more = true;

        (void)state;
        assert_string_equal(named_state_to_string(NAMED_STOPPED), "stopped");
        assert_string_equal(named_state_to_string(NAMED_STARTING), "starting");
        assert_string_equal(named_state_to_string(NAMED_READY), "ready");
        assert_string_equal(named_state_to_string(NAMED_FAILED), "failed");
        assert_string_equal(named_state_to_string(NAMED_STOPPING), "stopping");
        while (more) {
                more = false;
                for (NamedState from = 0; from < _NAMED_STATE_MAX; from++)
                        for (NamedState to = 0; to < _NAMED_STATE_MAX; to++)
                                if (reached[from] && !reached[to] &&
                                    named_state_may_follow(from, to))
                                        more = reached[to] = true;
        }
        for (NamedState s = 0; s < _NAMED_STATE_MAX; s++) {
                assert_true(reached[s]);
                assert_false(named_state_may_follow(s, s));
                /* all can be stopped, and then stand where they began */
                assert_true(s == NAMED_STOPPING || named_state_may_follow(s, NAMED_STOPPING));
        }
        assert_true(named_state_may_follow(NAMED_STOPPING, NAMED_STOPPED));
        assert_false(named_state_may_follow(NAMED_STOPPED, NAMED_READY));
}

/* ---- from its file */

static void test_first_use(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\n" MISBEHAVE);
        uint64_t id;
        Server *s;

        assert_int_equal(named_state(n), NAMED_STOPPED);
        assert_null(named_entries(n));
        id = submit(f, "spell", "echo");
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_int_equal(named_state(n), NAMED_READY);
        assert_int_equal(fixture_job(f, id)->server_generation, 1);
        assert_int_equal(fixture_wait(f, submit(f, "spell", "echo"))->result, RESULT_SUCCESS);
        assert_int_equal(n->starts, 1);
        assert_true(json_array_size(named_entries(n)) > 10);

        s = named_next_generation(n, NULL);
        assert_non_null(s);
        assert_string_equal(server_name(s), "spell");
        assert_string_equal(server_label(s), "spell#1");
        assert_true(server_pid(s) > 0 && s->preload_usec > 0);
        assert_true(server_trusted(s));
        assert_null(named_next_generation(n, s));
        assert_int_equal(named_pick(n, "no-such", &s), SERVER_E_NO_ENTRY);
        /* it is not the twin's business */
        assert_int_equal(fixture_wait(f, submit(f, "other", "echo"))->result, RESULT_SERVER_FAILED);
}

static void test_boot_and_gone_file(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);

        assert_int_equal(named_state(n), NAMED_STARTING);
        assert_string_equal(wait_ready(f, n).error, "");
        write_file(f, "spell", NULL);
        named_set_reload(f->daemon->named);
        assert_int_equal(named_state(n), NAMED_STOPPING);
        fixture_until(f, !named_find(f->daemon->named, "spell"));
}

static void test_invalid_file(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\nStart=boot\n");
        Server *s;

        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_non_null(strstr(named_reason(n), "neither Module= nor Command="));
        assert_int_equal(named_pick(n, "echo", &s), SERVER_E_FAILED);
        assert_non_null(f->daemon->config->warnings);
        /* and started by hand when it was mended */
        assert_int_equal(named_start_again(n), 0);
        assert_non_null(strstr(wait_ready(f, n).error, "neither"));
        write_file(f, "spell", "[Server]\n" MISBEHAVE);
        assert_int_equal(named_start_again(n), 0);
        assert_string_equal(wait_ready(f, n).error, "");
        assert_null(named_reason(n));
}

static void test_changed_file(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        Answer a = { 0 };

        assert_string_equal(wait_ready(f, n).error, "");
        configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE "[Pool]\nSpare=3\n");
        fixture_settle(f);
        assert_int_equal(n->starts, 1); /* nothing that the process would notice */
        assert_int_equal(n->serving->spare_wanted, 3);

        configure(f, "spell", "[Server]\nStart=boot\nEnvironment=A=1\n" MISBEHAVE);
        assert_int_equal(named_wait_ready(n, on_answer, &a), 0);
        assert_int_equal(named_state(n), NAMED_READY);
        fixture_until(f, a.n > 0);
        assert_int_equal(n->serving->generation, 2);
}

/* ---- reload */

static void test_reload(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\n" MISBEHAVE);
        uint64_t old = fixture_submit(
                f, "{'server':'spell','entry':'sleep','arguments':{'usec':1000000000}}");
        uint64_t new;
        Server *s;

        fixture_wait_state(f, old, JOB_RUNNING);
        assert_int_equal(named_reload(n), 0);
        assert_int_equal(named_pick(n, "echo", &s), 0); /* the old one serves meanwhile */
        assert_int_equal(s->generation, 1);
        assert_string_equal(wait_ready(f, n).error, "");
        new = submit(f, "spell", "echo");
        assert_int_equal(fixture_wait(f, new)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, new)->server_generation, 2);
        assert_int_equal(fixture_job(f, old)->state, JOB_RUNNING);
        assert_int_equal(fixture_job(f, old)->server_generation, 1);

        s = named_next_generation(n, n->serving);
        assert_int_equal(s->generation, 1);
        assert_int_equal(s->state, SERVER_RETIRED);
        assert_int_equal(named_count_workers(n), 1);
        job_stop(fixture_job(f, old), RESULT_CANCELLED, NULL, NULL);
        assert_int_equal(fixture_wait(f, old)->result, RESULT_CANCELLED);
        fixture_until(f, !named_next_generation(n, n->serving));
        assert_int_equal(named_state(n), NAMED_READY);
}

static void test_reload_fails(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        Server *first;

        assert_string_equal(wait_ready(f, n).error, "");
        first = n->serving;
        write_file(f, "spell", "[Server]\nModule=" TEST_MODULES "/preload-fails.so\n");
        assert_int_equal(named_reload(n), 0);
        assert_non_null(strstr(wait_ready(f, n).error, "preload-fails"));
        assert_int_equal(named_state(n), NAMED_READY);
        assert_ptr_equal(n->serving, first);
        assert_non_null(strstr(named_reason(n), "preload-fails"));
        assert_int_equal(fixture_wait(f, submit(f, "spell", "echo"))->result, RESULT_SUCCESS);

        write_file(f, "spell", "[Server]\n");
        assert_int_equal(named_reload(n), 0);
        assert_non_null(strstr(wait_ready(f, n).error, "neither"));
        assert_ptr_equal(n->serving, first);

        /* it dies: what worked is started again */
        kill(server_pid(first), SIGKILL);
        fixture_until(f, n->serving && n->serving->generation > 1 && named_state(n) == NAMED_READY);
        assert_int_equal(fixture_wait(f, submit(f, "spell", "echo"))->result, RESULT_SUCCESS);
}

/* ---- failures */

static void expect_failure(DaemonFixture *f, const char *text, const char *reason) {
        NamedServer *n = configure(f, "broken", text);

        assert_int_equal(named_start_again(n), 0);
        (void)wait_ready(f, n);
        if (!strstr(named_reason(n) ?: "", reason))
                fail_msg("'%s' is not in: %s", reason, named_reason(n) ?: "no reason");
        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_null(n->start_timer); /* asked for: not tried again by itself */
        fixture_until(f, !named_next_generation(n, NULL));
}

static void test_failures(void **state) {
        DaemonFixture *f = *state;

        expect_failure(f, "[Server]\nModule=" TEST_MODULES "/preload-fails.so\n", "preload-fails");
        expect_failure(f, "[Server]\nModule=" TEST_MODULES "/preload-crashes.so\n",
                       "it was killed by SIGSEGV while preloading");
        expect_failure(f, "[Server]\nModule=" TEST_MODULES "/preload-exits.so\n",
                       "it exited with status 3 while preloading: preload-exits: no licence");
        expect_failure(f,
                       "[Server]\nPreloadTimeout=200ms\nModule=" TEST_MODULES "/preload-hangs.so\n",
                       "its preload took longer than 0.2 s");
        expect_failure(f, "[Server]\nModule=" TEST_MODULES "/threaded.so\n", "thread");
        expect_failure(f, "[Server]\nModule=/no/such.so\n", "/no/such.so");
        expect_failure(f, "[Server]\nCommand=/no/such\n",
                       "cannot execute '/no/such': No such file or directory");
        expect_failure(f, "[Server]\nCommand=/bin/true\n",
                       "it exited with status 0 before it was ready");
        expect_failure(f, "[Server]\nCommand=/bin/sh -c 'exec 3>&-; exec sleep 1000'\n",
                       "it closed its channel before it was ready");
}

#define SAYS(packet)                                                                               \
        "[Server]\nCommand=/usr/bin/python3 -c \"import socket, time; "                            \
        "socket.socket(fileno=3).send(b'''" packet "'''); time.sleep(1000)\"\n"

/* What a host in another language says is looked at before it is believed. */
static void test_unsafe_hosts(void **state) {
        DaemonFixture *f = *state;

        expect_failure(f,
                       SAYS("{\\\"method\\\": \\\"Ready\\\", \\\"parameters\\\": {\\\"safety\\\": "
                            "{\\\"threads\\\": 3}}}"),
                       "it has 3 threads");
        expect_failure(f, SAYS("{\\\"method\\\": \\\"Ready\\\"}"), "does not say in 'safety'");
        expect_failure(f,
                       SAYS("{\\\"method\\\": \\\"Ready\\\", \\\"parameters\\\": {\\\"safety\\\": "
                            "{\\\"threads\\\": 1, \\\"signals\\\": [\\\"SIGCHLD\\\"]}}}"),
                       "SIGCHLD");
        expect_failure(f,
                       SAYS("{\\\"method\\\": \\\"Ready\\\", \\\"parameters\\\": {\\\"safety\\\": "
                            "{\\\"threads\\\": 1}}}"),
                       "offers no entries");
        expect_failure(
                f,
                SAYS("{\\\"method\\\": \\\"Refused\\\", \\\"parameters\\\": {\\\"reason\\\": "
                     "\\\"no\\\\\\\\nmodel\\\"}}"),
                "no model");
}

static void test_retried_at_boot(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(
                f, "spell", "[Server]\nStart=boot\nModule=" TEST_MODULES "/preload-fails.so\n");
        uint64_t id = submit(f, "spell", "echo"); /* waits, as long as there is hope */
        const Certificate *c = fixture_wait(f, id);

        assert_int_equal(c->result, RESULT_SERVER_FAILED);
        assert_non_null(strstr(c->text, "preload-fails"));
        assert_int_equal(n->starts, 5);
        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_null(n->start_timer);

        /* mended, and read again */
        configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        assert_string_equal(wait_ready(f, n).error, "");
}

static void test_dies(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\n" MISBEHAVE "[Pool]\nSpare=0\n");
        uint64_t id = fixture_submit(
                f, "{'server':'spell','entry':'sleep','arguments':{'usec':1000000000}}");
        pid_t before;

        fixture_wait_state(f, id, JOB_RUNNING);
        for (unsigned i = 2; i <= 4; i++) {
                before = server_pid(n->serving);
                kill(before, SIGKILL);
                fixture_until(f, n->serving == NULL);
                assert_string_equal(named_reason(n), "it was killed by SIGKILL");
                /* the first time the next one comes at once, then after a while */
                assert_int_equal(named_state(n), i == 2 ? NAMED_STARTING : NAMED_FAILED);
                assert_int_equal(fixture_wait(f, submit(f, "spell", "echo"))->result,
                                 RESULT_SUCCESS);
                assert_int_equal(n->serving->generation, i);
        }
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        assert_true(fixture_job(f, id)->running->orphan);
        assert_int_equal(fixture_job(f, id)->server_generation, 1);
        assert_int_equal(named_count_workers(n), 1);
}

/* A job that kills each forkserver that is to start it does not do so for ever. */
static void test_dies_of_a_job(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(
                f, "frail",
                "[Server]\nCommand=/usr/bin/python3 -c \"import socket; s = socket.socket(fileno=3); "
                "s.send(b'''{\\\"method\\\": \\\"Ready\\\", \\\"parameters\\\": {\\\"entries\\\": "
                "[{\\\"name\\\": \\\"x\\\"}], \\\"safety\\\": {\\\"threads\\\": 1}}}'''); "
                "s.recv(9999); s.recv(9999)\"\n[Pool]\nSpare=0\n");
        const Certificate *c = fixture_wait(f, submit(f, "frail", "x"));

        assert_int_equal(c->result, RESULT_SERVER_FAILED);
        assert_non_null(strstr(c->text, "died each time"));
        assert_in_range(n->starts, 4, 5);
}

/* ---- stop */

static void test_stop(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        uint64_t id = fixture_submit(
                f, "{'server':'spell','entry':'sleep','arguments':{'usec':1000000000}}");
        Answer a = { 0 };
        Server *s;

        fixture_wait_state(f, id, JOB_RUNNING);
        assert_int_equal(named_wait_stopped(n, on_answer, &a), 0);
        named_stop(n, false);
        assert_int_equal(named_state(n), NAMED_STOPPING);
        assert_int_equal(named_pick(n, "echo", &s), SERVER_E_FAILED);
        assert_int_equal(fixture_wait(f, submit(f, "spell", "echo"))->result, RESULT_SERVER_FAILED);
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        assert_int_equal(a.n, 0);

        named_stop(n, true);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_CANCELLED);
        fixture_until(f, a.n > 0);
        assert_int_equal(named_state(n), NAMED_STOPPED);
        /* it was stopped by request: nobody's use starts it */
        assert_int_equal(named_pick(n, "echo", &s), SERVER_E_FAILED);
        assert_int_equal(named_start_again(n), 0);
        assert_string_equal(wait_ready(f, n).error, "");
}

static void test_stop_interrupts_start(void **state) {
        DaemonFixture *f = *state;
        Answer a = { 0 };
        NamedServer *n;

        assert_int_equal(named_start(f->daemon->named,
                                     request("slow", TEST_MODULES "/preload-hangs.so"), &n),
                         0);
        assert_int_equal(named_wait_ready(n, on_answer, &a), 0);
        fixture_until(f, n->starting && n->starting->pid > 0);
        stop(f, n, false);
        assert_int_equal(a.n, 1);
        assert_string_equal(a.error, "it was stopped");
        assert_null(named_find(f->daemon->named, "slow")); /* it was there by request */
}

/* ---- by request */

static void test_names_and_limits(void **state) {
        DaemonFixture *f = *state;
        NamedSet *set = f->daemon->named;
        const Peer root = { .uid = 0 }, stranger = { .uid = 4711 };
        ServerSettings *theirs;
        NamedServer *n, *other;
        char name[16], names[128];

        assert_int_equal(named_start(set, request("b", TEST_MODULES "/misbehave.so"), &n), 0);
        assert_int_equal(named_start(set, request("b", "x"), &other), NAMED_E_TAKEN);
        assert_string_equal(wait_ready(f, n).error, "");
        assert_int_equal(named_start(set, request("a", "/no/such.so"), &other), 0);
        assert_ptr_equal(named_next(set, NULL), other);
        assert_ptr_equal(named_next(set, other), n);
        assert_null(named_next(set, n));
        named_names_text(set, &root, names, sizeof(names));
        assert_string_equal(names, "a, b");
        named_names_text(set, &stranger, names, sizeof(names));
        assert_string_equal(names, "");
        assert_true(named_permits(n, &root) && named_permits_control(n, &root));
        assert_false(named_permits(n, &stranger) || named_permits_control(n, &stranger));

        /* one that has failed is replaced, but not by anybody */
        assert_non_null(strstr(wait_ready(f, other).error, "/no/such.so"));
        theirs = request("a", TEST_MODULES "/misbehave.so");
        theirs->user.uid = 4711;
        assert_int_equal(named_start(set, theirs, &n), NAMED_E_TAKEN);
        assert_int_equal(named_start(set, request("a", TEST_MODULES "/misbehave.so"), &n), 0);
        assert_ptr_equal(n, other);
        assert_string_equal(wait_ready(f, n).error, "");

        /* one user has half of them at most */
        for (unsigned i = 0; i < NAMED_MAX / 2 + 1; i++) {
                snprintf(name, sizeof(name), "u%u", i);
                theirs = request(name, "x");
                theirs->user.uid = 4711;
                assert_int_equal(named_start(set, theirs, &n),
                                 i < NAMED_MAX / 2 ? 0 : NAMED_E_LIMIT);
                if (i < NAMED_MAX / 2)
                        named_stop(n, false);
        }
        theirs = request("v", "x");
        theirs->user.uid = 4712;
        assert_int_equal(named_start(set, theirs, &n), 0);
        named_stop(n, false);
        for (unsigned i = NAMED_MAX / 2 + 3; i < NAMED_MAX + 1; i++) {
                snprintf(name, sizeof(name), "w%u", i);
                assert_int_equal(named_start(set, request(name, "x"), &n),
                                 i < NAMED_MAX ? 0 : NAMED_E_LIMIT);
                if (i < NAMED_MAX)
                        named_stop(n, false);
        }
        fixture_settle(f);
        assert_null(named_find(set, "u0"));
        assert_non_null(named_find(set, "a"));
}

/* A file does not take what somebody has started, and nobody takes a file's. */
static void test_request_and_file(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n, *other;

        assert_int_equal(
                named_start(f->daemon->named, request("spell", TEST_MODULES "/misbehave.so"), &n),
                0);
        configure(f, "spell", "[Server]\nStart=boot\n" MISBEHAVE);
        assert_int_equal(n->settings->origin, SERVER_FROM_REQUEST);
        assert_non_null(strstr(f->daemon->config->warnings[0], "spell.conf: ignoring this file"));
        stop(f, n, false);
        n = configure(f, "spell", "[Server]\n");
        assert_int_equal(n->settings->origin, SERVER_FROM_CONFIGURATION);
        assert_int_equal(named_state(n), NAMED_FAILED);
        assert_int_equal(named_start(f->daemon->named, request("spell", "x"), &other),
                         NAMED_E_TAKEN);
}

/* ---- what its processes write */

static void test_output(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(
                f, "loud",
                "[Server]\nArguments={\"a\": 1}\nEnvironment=B=2\n"
                "Command=/bin/sh -c 'echo \"$FORKD_SERVER $FORKD_ARGUMENTS $B $FORKD_CHANNEL\"; "
                "printf \"\\\\033[1mx\\\\n\\\\nhalf\" >&2; exit 3'\n");
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        assert_int_equal(named_start_again(n), 0);
        assert_string_equal(wait_ready(f, n).error,
                            "it exited with status 3 while preloading: half");
        named_write_output(n, &t, NULL);
        assert_int_equal(json_text_finish(&t), 0);
        assert_string_equal(t.text, "[\"loud#1 {\\\"a\\\": 1} 2 3\",\"\\\\x1b[1mx\",\"half\"]");
}

/* Its end is told by its spawner, while all forkservers are being looked at. */
static void test_ends_while_polled(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "brief",
                                   "[Server]\nCommand=/usr/bin/python3 -c \"import socket; "
                                   "s = socket.socket(fileno=3); s.recv(99); s.recv(99)\"\n");
        struct pollfd p = { .fd = fixture_spawner(f)->channel, .events = POLLIN };

        assert_int_equal(named_start_again(n), 0);
        fixture_until(f, n->starting && n->starting->pid > 0);
        assert_int_equal(server_send(n->starting, "{}", 2, NULL, 0), 0);
        assert_int_equal(poll(&p, 1, 10000), 1);
        server_set_poll(f->daemon->servers);
        assert_null(n->starting);
        assert_null(named_next_generation(n, NULL));
        assert_string_equal(n->reason, "it exited with status 0 before it was ready");
}

/* What it wrote last is known when its end is, even where both come at once. */
static void test_last_words(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(
                f, "mute",
                "[Server]\nCommand=/usr/bin/python3 -c \"import socket, sys; "
                "s = socket.socket(fileno=3); s.recv(99); s.recv(99); sys.exit('no model')\"\n");
        struct pollfd p = { .fd = fixture_spawner(f)->channel, .events = POLLIN };

        assert_int_equal(named_start_again(n), 0);
        fixture_until(f, n->starting && n->starting->pid > 0);
        assert_int_equal(server_send(n->starting, "{}", 2, NULL, 0), 0);
        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_string_equal(wait_ready(f, n).error,
                            "it exited with status 1 while preloading: no model");
}

static void test_written(void **state) {
        DaemonFixture *f = *state;
        NamedServer *n = configure(f, "spell", "[Server]\n" MISBEHAVE "[Pool]\nSpare=2\n");
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const char *name, *server_state;
        json_int_t spare, generation;
        json_t *json;

        assert_int_equal(named_start_again(n), 0);
        assert_string_equal(wait_ready(f, n).error, "");
        fixture_until(f, n->serving->n_spares == 2);
        named_write(n, &t, NULL, true);
        assert_int_equal(json_text_finish(&t), 0);
        json = json_loads(t.text, 0, NULL);
        assert_int_equal(json_unpack(json, "{s:s,s:s,s:I,s:I}", "name", &name, "state",
                                     &server_state, "spare", &spare, "generation", &generation),
                         0);
        assert_string_equal(name, "spell");
        assert_string_equal(server_state, "ready");
        assert_int_equal(spare, 2);
        assert_int_equal(generation, 1);
        assert_true(json_integer_value(json_object_get(json, "preloadUSec")) > 0);
        assert_true(json_integer_value(json_object_get(json, "privateBytes")) > 0);
        assert_null(json_object_get(json, "reason"));
        json_decref(json);

        named_scale(n, 0);
        fixture_until(f, n->serving->n_spares == 0);
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_states),
                cmocka_unit_test_setup_teardown(test_first_use, setup, teardown),
                cmocka_unit_test_setup_teardown(test_boot_and_gone_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_invalid_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_changed_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reload_fails, setup, teardown),
                cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
                cmocka_unit_test_setup_teardown(test_unsafe_hosts, setup, teardown),
                cmocka_unit_test_setup_teardown(test_retried_at_boot, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dies, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dies_of_a_job, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
                cmocka_unit_test_setup_teardown(test_stop_interrupts_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_names_and_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_request_and_file, setup, teardown),
                cmocka_unit_test_setup_teardown(test_output, setup, teardown),
                cmocka_unit_test_setup_teardown(test_ends_while_polled, setup, teardown),
                cmocka_unit_test_setup_teardown(test_last_words, setup, teardown),
                cmocka_unit_test_setup_teardown(test_written, setup, teardown),
        };

        fixture_twin(argc, argv);
        if (argc > 1)
                cmocka_set_test_filter(argv[1]);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
