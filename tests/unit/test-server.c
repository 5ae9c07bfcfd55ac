/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/server.h: forkservers that are there, held up, or dead. */

#include "daemon-fixture.h"

#include "server-private.h"

#include <signal.h>

static int setup(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=8");
        fixture_until(&f, fixture_spawner(&f)->state == SERVER_READY);
        *state = &f;
        return 0;
}

static Server *twin_of(DaemonFixture *f) {
        Server *s = f->daemon->servers->servers;

        while (s && s->kind != SERVER_TWIN)
                s = s->next;
        assert_non_null(s);
        return s;
}

static int setup_twin(void **state) {
        static DaemonFixture f;

        fixture_start(&f, "MaxRunning=8\nModule=" TEST_MODULES "/misbehave.so");
        fixture_until(&f, twin_of(&f)->state == SERVER_READY &&
                                  fixture_spawner(&f)->state == SERVER_READY);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
        fixture_end(*state);
        return 0;
}

static int pick(DaemonFixture *f, StartMethod method, const char *entry, Server **ret) {
        const JobSpec spec = { .start_method = method, .entry = (char *)entry };

        return server_set_pick(f->daemon->servers, &spec, ret);
}

static void test_state_names(void **state) {
        (void)state;
        /* the words of org.forkd.manager */
        assert_string_equal(server_state_to_string(SERVER_STARTING), "starting");
        assert_string_equal(server_state_to_string(SERVER_READY), "ready");
        assert_string_equal(server_state_to_string(SERVER_FAILED), "failed");
        assert_string_equal(server_state_to_string(SERVER_RETIRED), "retired");
        for (ServerState s = 0; s < _SERVER_STATE_MAX; s++)
                assert_non_null(server_state_to_string(s));
}

/* ---- which one gets the order */

static void test_pick_without_modules(void **state) {
        DaemonFixture *f = *state;
        char entries[64];
        Server *s = NULL;

        assert_int_equal(pick(f, START_METHOD_SPAWN, NULL, &s), 0);
        assert_ptr_equal(s, fixture_spawner(f));
        assert_int_equal(server_kind(s), SERVER_SPAWNER);
        assert_string_equal(server_name(s), "spawner");
        assert_int_equal(pick(f, START_METHOD_FORK, "echo", &s), SERVER_E_NONE);
        server_set_entries_text(f->daemon->servers, entries, sizeof(entries));
        assert_string_equal(entries, "");
}

static void test_pick_with_modules(void **state) {
        DaemonFixture *f = *state;
        char entries[1024], little[10];
        Server *s = NULL;

        assert_int_equal(pick(f, START_METHOD_FORK, "echo", &s), 0);
        assert_ptr_equal(s, twin_of(f));
        assert_string_equal(server_name(s), "twin");
        s = NULL;
        assert_int_equal(pick(f, START_METHOD_FORK, "no-such", &s), SERVER_E_NO_ENTRY);
        assert_null(s);
        assert_int_equal(pick(f, START_METHOD_SPAWN, NULL, &s), 0);
        assert_ptr_equal(s, fixture_spawner(f));

        server_set_entries_text(f->daemon->servers, entries, sizeof(entries));
        assert_non_null(strstr(entries, "echo, sleep, "));
        server_set_entries_text(f->daemon->servers, little, sizeof(little));
        assert_memory_equal(little, entries, sizeof(little) - 1);
        assert_true(strlen(little) == sizeof(little) - 1);
}

static void test_written(void **state) {
        DaemonFixture *f = *state;
        json_t *reply;
        const json_t *servers, *twin, *spawner;
        Client c;

        client_open(f, &c);
        client_send(&c, "manager.Status", false, "{}");
        reply = client_receive(f, &c);
        servers = reply_member(reply, "servers");
        assert_int_equal(json_array_size(servers), 2);
        twin = json_array_get(servers, 0);
        spawner = json_array_get(servers, 1);
        assert_string_equal(json_string_value(json_object_get(twin, "name")), "twin");
        assert_string_equal(json_string_value(json_object_get(twin, "startMethod")), "fork");
        assert_string_equal(json_string_value(json_object_get(twin, "state")), "ready");
        assert_int_equal(json_integer_value(json_object_get(twin, "pid")), twin_of(f)->pid);
        assert_int_equal(json_integer_value(json_object_get(twin, "starts")), 1);
        assert_int_equal(json_integer_value(json_object_get(twin, "workers")), 0);
        assert_true(json_integer_value(json_object_get(twin, "preloadUSec")) > 0);
        assert_true(json_array_size(json_object_get(twin, "entries")) > 10);
        assert_null(json_object_get(twin, "reason"));
        assert_string_equal(json_string_value(json_object_get(spawner, "startMethod")), "spawn");
        assert_null(json_object_get(spawner, "entries"));
        json_decref(reply);
        client_close(f, &c);
}

/* ---- it dies */

static void wait_restart(DaemonFixture *f, Server *s, pid_t before) {
        fixture_until(f, s->state == SERVER_READY && s->pid != before);
}

static void test_spawner_dies_idle(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);

        for (unsigned i = 1; i <= 3; i++) {
                pid_t before = s->pid;

                kill(before, SIGKILL);
                fixture_until(f, s->state == SERVER_FAILED);
                assert_string_equal(s->reason, "it was killed by SIGKILL");
                wait_restart(f, s, before);
                assert_int_equal(s->starts, i + 1);
                assert_int_equal(fixture_wait(f, fixture_submit(f, "{'command':['true']}"))->result,
                                 RESULT_SUCCESS);
        }
}

/* Without a keeper nobody can say how its workers ended: they run on, and nothing is made up. */
static void test_spawner_dies_with_a_worker(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        pid_t before = s->pid;
        uint64_t id = fixture_submit(f, "{'command':['sleep','1000']}"), other;
        const Certificate *c;

        fixture_wait_state(f, id, JOB_RUNNING);
        kill(before, SIGKILL);
        wait_restart(f, s, before);
        assert_int_equal(fixture_job(f, id)->state, JOB_RUNNING);
        assert_true(fixture_job(f, id)->running->orphan);
        assert_int_equal(s->n_attempts, 0);
        assert_ptr_equal(
                server_set_find_worker(f->daemon->servers, fixture_job(f, id)->running->pid, 0),
                fixture_job(f, id)->running);
        other = fixture_submit(f, "{'command':['true']}");
        assert_int_equal(fixture_wait(f, other)->result, RESULT_SUCCESS);

        assert_int_equal(attempt_signal(fixture_job(f, id)->running, SIGTERM), 0);
        c = fixture_wait(f, id);
        assert_int_equal(c->result, RESULT_LOST);
        assert_int_equal(c->signal, 0);
        assert_int_equal(c->status, -1);
        assert_non_null(strstr(c->text, "forkserver had died"));
}

/* An order that nobody has taken is given to the next one, once. */
static void test_spawner_dies_with_an_order(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        pid_t before = s->pid;
        uint64_t id;
        char *text;

        kill(before, SIGSTOP);
        id = fixture_submit(f, "{'command':['echo','ran']}");
        fixture_wait_state(f, id, JOB_STARTING);
        kill(before, SIGKILL);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
        text = fixture_output(f, id, "out");
        assert_string_equal(text, "ran\n");
        free(text);
}

/* One that was taken, and of which nobody knows more, is not given again. */
static void test_spawner_dies_with_a_taken_order(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        pid_t before = s->pid;
        uint64_t id, one;
        char *text;

        kill(before, SIGSTOP);
        id = fixture_submit(f, "{'command':['echo','ran']}");
        fixture_wait_state(f, id, JOB_STARTING);
        assert_int_equal(read(fixture_job(f, id)->running->token, &one, sizeof(one)),
                         sizeof(one)); /* as its worker */
        kill(before, SIGKILL);
        assert_int_equal(fixture_wait(f, id)->result, RESULT_LOST);
        assert_int_equal(fixture_job(f, id)->certificate->attempt, 1);
        text = fixture_output(f, id, "out");
        assert_string_equal(text, "");
        free(text);
}

/* Many orders at the moment of its death: each runs once. */
static void test_spawner_dies_under_load(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        uint64_t ids[60];
        size_t n_lost = 0;

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(f, "{'command':['echo','ran']}");
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                const Certificate *c;

                if (i % 20 == 10 && s->state == SERVER_READY)
                        kill(s->pid, SIGKILL);
                c = fixture_wait(f, ids[i]);
                if (c->result == RESULT_LOST)
                        n_lost++;
                else {
                        char *text = fixture_output(f, ids[i], "out");

                        assert_int_equal(c->result, RESULT_SUCCESS);
                        assert_string_equal(text, "ran\n");
                        free(text);
                }
        }
        assert_true(n_lost <= 3 * 8); /* those that ran at the time */
}

static void test_twin_dies(void **state) {
        DaemonFixture *f = *state;
        Server *s = twin_of(f), *picked;
        pid_t before = s->pid;
        uint64_t id;

        kill(before, SIGKILL);
        fixture_until(f, s->state == SERVER_FAILED);
        assert_int_equal(pick(f, START_METHOD_FORK, "echo", &picked), SERVER_E_WAIT);
        id = fixture_submit(f, "{'entry':'echo','arguments':{'a':1}}"); /* waits for it */
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_int_not_equal(s->pid, before);
        assert_int_equal(s->starts, 2);
}

/* A module may have opened what it keeps without O_CLOEXEC: the next twin opens its own. */
static void test_twin_dies_with_an_inheritable_descriptor(void **state) {
        DaemonFixture *f = *state;
        int fd = open("/dev/zero", O_RDONLY); /* on purpose */

        assert_true(fd >= 0);
        kill(twin_of(f)->pid, SIGKILL);
        fixture_until(f, twin_of(f)->state == SERVER_FAILED);
        fixture_until(f, twin_of(f)->state == SERVER_READY);
        assert_int_equal(twin_of(f)->starts, 2); /* at once */
        close(fd);
}

/* A program that cannot be started is tried again with back-off, and said to have failed. */
static void test_spawner_cannot_start(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        char *good = s->argv[0];
        uint64_t id;

        s->argv[0] = (char *)"/no/such/spawner";
        kill(s->pid, SIGKILL);
        fixture_until(f, s->failures >= 2);
        assert_int_equal(s->state, SERVER_FAILED);
        assert_non_null(strstr(s->reason, "/no/such/spawner"));
        id = fixture_submit(f, "{'command':['true']}");
        fixture_settle(f);
        assert_int_equal(fixture_job(f, id)->state, JOB_QUEUED);
        s->argv[0] = good;
        assert_int_equal(fixture_wait(f, id)->result, RESULT_SUCCESS);
        assert_int_equal(s->state, SERVER_READY);
        assert_int_equal(s->failures, 0);
}

/* ---- it is held up */

static size_t count_servers(DaemonFixture *f) {
        size_t n = 0;

        for (const Server *s = f->daemon->servers->servers; s; s = s->next)
                n++;
        return n;
}

static void test_spawner_held_up(void **state) {
        DaemonFixture *f = *state;
        pid_t held = fixture_spawner(f)->pid;
        uint64_t first, second;

        kill(held, SIGSTOP);
        first = fixture_submit(f, "{'command':['true']}");
        fixture_until(f, count_servers(f) == 2); /* after a second another one is there */
        second = fixture_submit(f, "{'command':['true']}");
        assert_int_equal(fixture_wait(f, second)->result, RESULT_SUCCESS);
        assert_int_equal(fixture_job(f, first)->state, JOB_STARTING);

        kill(held, SIGCONT);
        assert_int_equal(fixture_wait(f, first)->result, RESULT_SUCCESS);
        fixture_until(f, count_servers(f) == 1); /* and one of them retires */
        assert_int_equal(fixture_wait(f, fixture_submit(f, "{'command':['true']}"))->result,
                         RESULT_SUCCESS);
}

/* ---- more than a channel takes */

static void test_more_than_the_channel_takes(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        uint64_t ids[8];
        char big[100001];
        int last = 0;

        memset(big, 'x', sizeof(big));
        big[sizeof(big) - 1] = '\0';
        kill(s->pid, SIGSTOP);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(
                        f,
                        "{'command':['sh','-c','echo $1 $$','sh','%zu'],'environment':{'A':'%s','PATH':'/bin'}}",
                        i, big);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                fixture_wait_state(f, ids[i], JOB_STARTING);
        assert_non_null(s->output);
        kill(s->pid, SIGCONT);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                int number, pid;
                char *text;

                assert_int_equal(fixture_wait(f, ids[i])->result, RESULT_SUCCESS);
                text = fixture_output(f, ids[i], "out");
                assert_int_equal(sscanf(text, "%d %d", &number, &pid), 2);
                assert_int_equal(number, i);
                assert_true(pid > last ||
                            last - pid > 10000); /* in order, unless pids began anew */
                last = pid;
                free(text);
        }
        assert_null(s->output);
}

/* ... and those that wait are not lost when it dies. */
static void test_dies_with_a_full_channel(void **state) {
        DaemonFixture *f = *state;
        Server *s = fixture_spawner(f);
        uint64_t ids[8];
        char big[100001];

        memset(big, 'x', sizeof(big));
        big[sizeof(big) - 1] = '\0';
        kill(s->pid, SIGSTOP);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                ids[i] = fixture_submit(
                        f, "{'command':['true'],'environment':{'A':'%s','PATH':'/bin'}}", big);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                fixture_wait_state(f, ids[i], JOB_STARTING);
        assert_non_null(s->output);
        kill(s->pid, SIGKILL);
        for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
                assert_int_equal(fixture_wait(f, ids[i])->result, RESULT_SUCCESS);
                assert_int_equal(fixture_job(f, ids[i])->certificate->attempt, 1);
        }
}

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_state_names),
                cmocka_unit_test_setup_teardown(test_pick_without_modules, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pick_with_modules, setup_twin, teardown),
                cmocka_unit_test_setup_teardown(test_written, setup_twin, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_dies_idle, setup, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_dies_with_a_worker, setup, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_dies_with_an_order, setup, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_dies_with_a_taken_order, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_spawner_dies_under_load, setup, teardown),
                cmocka_unit_test_setup_teardown(test_twin_dies, setup_twin, teardown),
                cmocka_unit_test_setup_teardown(test_twin_dies_with_an_inheritable_descriptor,
                                                setup_twin, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_cannot_start, setup, teardown),
                cmocka_unit_test_setup_teardown(test_spawner_held_up, setup, teardown),
                cmocka_unit_test_setup_teardown(test_more_than_the_channel_takes, setup, teardown),
                cmocka_unit_test_setup_teardown(test_dies_with_a_full_channel, setup, teardown),
        };

        fixture_twin(argc, argv);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
