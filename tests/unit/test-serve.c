/* SPDX-License-Identifier: Apache-2.0 */

/* serve(): commands from the order to the acknowledged end, and what the channel does. */

#include "server-fixture.h"

#include "process-id.h"

#include <limits.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

static void test_ready(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *safety;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        fixture_receive(&f, &p);
        assert_string_equal(p.method, "Ready");
        assert_string_equal(json_string_value(json_object_get(p.parameters, "name")), "spawner");
        assert_int_equal(json_array_size(json_object_get(p.parameters, "entries")), 0);
        safety = json_object_get(p.parameters, "safety");
        assert_int_equal(json_integer_value(json_object_get(safety, "threads")), 1);
        assert_true(json_is_array(json_object_get(safety, "descriptors")));
        assert_int_equal(json_array_size(json_object_get(safety, "signals")), 0);
        assert_int_equal(fixture_end(&f), 0);
}

static void test_exit_status(void **state) {
        static const int statuses[] = { 0, 1, 2, 126, 127, 128, 255 };
        Outcome o;

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                char script[32];

                snprintf(script, sizeof(script), "exit %d", statuses[i]);
                fixture_run_plan(*state, plan_of_command("/bin/sh", "-c", script, NULL), &o);
                outcome_assert_exited(&o, statuses[i]);
        }
}

static void test_signals(void **state) {
        static const int signals[] = { SIGHUP, SIGINT, SIGKILL, SIGPIPE, SIGTERM, SIGUSR1, 34, 64 };
        Outcome o;

        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                char script[32];

                snprintf(script, sizeof(script), "kill -%d $$", signals[i]);
                fixture_run_plan(*state, plan_of_command("/bin/bash", "-c", script, NULL), &o);
                assert_false(o.failed);
                assert_string_equal(o.code, "killed");
                assert_int_equal(o.status, signals[i]);
        }
}

static void test_core(void **state) {
        char directory[] = "/tmp/forkd-test-XXXXXX", *file;
        struct rlimit limit;
        json_t *plan;
        Outcome o;

        assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
        if (limit.rlim_max == 0)
                skip();
        assert_non_null(mkdtemp(directory));
        plan = plan_of_command("/bin/sh", "-c", "kill -SEGV $$", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,n]}", "LimitCORE", 1 << 20));
        if (limit.rlim_max != RLIM_INFINITY)
                json_object_set_new(plan, "limits",
                                    json_pack("{s[I,I]}", "LimitCORE", (json_int_t)limit.rlim_max,
                                              (json_int_t)limit.rlim_max));
        json_object_set_new(plan, "directory", json_string(directory));
        fixture_run_plan(*state, plan, &o);
        assert_string_equal(o.code, "dumped");
        assert_int_equal(o.status, SIGSEGV);

        assert_true(asprintf(&file, "rm -rf %s", directory) > 0);
        assert_int_equal(system(file), 0);
        free(file);

        plan = plan_of_command("/bin/sh", "-c", "kill -SEGV $$", NULL);
        json_object_set_new(plan, "limits", json_pack("{s[i,i]}", "LimitCORE", 0, 0));
        fixture_run_plan(*state, plan, &o);
        assert_string_equal(o.code, "killed");
}

static void test_token(void **state) {
        char file[] = "/tmp/forkd-test-XXXXXX";
        uint64_t value;
        json_t *plan;
        Outcome o;
        int token;

        close(mkstemp(file));
        unlink(file);
        plan = plan_of_command("touch", file, NULL);
        fixture_run(*state, &(Order){ .id = 1, .plan = plan, .token_taken = true }, &o);
        outcome_assert_failed(&o, "token", EAGAIN, "");
        assert_int_equal(access(file, F_OK), -1);

        /* who runs has taken it */
        token = fixture_order(*state, &(Order){ .id = 1, .plan = plan_of_command("true", NULL) });
        fixture_outcome(*state, 1, &o);
        fixture_acknowledge(*state, 1);
        assert_int_equal(read(token, &value, sizeof(value)), -1);
        assert_int_equal(errno, EAGAIN);
        close(token);
}

static void test_bad_orders(void **state) {
        int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK),
            file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        Outcome o;

        fixture_send(*state, "Fork", json_pack("{sI,si}", "id", (json_int_t)1, "attempt", 1), NULL,
                     0);
        fixture_outcome(*state, 1, &o);
        outcome_assert_failed(&o, "plan", EINVAL, "plan is no object");
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,so}", "id", (json_int_t)1, "attempt", 1, "plan",
                               plan_of_command("true", NULL)),
                     NULL, 0);
        fixture_outcome(*state, 1, &o);
        outcome_assert_failed(&o, "plan", EINVAL, "token is no descriptor of the packet");
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,si,so}", "id", (json_int_t)1, "attempt", 1, "token", 0,
                               "plan", plan_of_command("true", NULL)),
                     &file, 1);
        fixture_outcome(*state, 1, &o);
        outcome_assert_failed(&o, "plan", EINVAL, "token is no eventfd");
        /* of a worker of entries: there are none here */
        fixture_send(*state, "Fork",
                     json_pack("{sI,si,si}", "id", (json_int_t)1, "attempt", 1, "channel", 0), &fd,
                     1);
        fixture_outcome(*state, 1, &o);
        outcome_assert_failed(&o, "plan", EINVAL, "plan is no object");
        fixture_send(*state, "Dance", json_object(), NULL, 0); /* unknown: ignored */
        fixture_send(*state, "Acknowledge",
                     json_pack("{sI,si}", "id", (json_int_t)99, "attempt", 1), NULL, 0);
        fixture_run_plan(*state, plan_of_command("true", NULL), &o);
        outcome_assert_exited(&o, 0);
        close(fd);
        close(file);
}

static void test_started(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int p_in[2], token, pidfd;
        uint64_t start;
        json_t *plan;
        Outcome o;

        assert_int_equal(pipe2(p_in, O_CLOEXEC), 0);
        plan = plan_of_command("/bin/cat", NULL);
        json_array_set_new(json_object_get(plan, "stdio"), 0, json_integer(1));
        token = fixture_order(*state, &(Order){ .id = 5, .plan = plan, .fds = p_in, .n_fds = 1 });
        close(p_in[0]);
        fixture_receive(*state, &p);
        assert_string_equal(p.method, "Started");
        pidfd = packet_take_fd(&p, "pidfd");
        assert_int_equal(process_signal(pidfd, 0), 0);
        assert_int_equal(
                process_start_time((pid_t)json_integer_value(json_object_get(p.parameters, "pid")),
                                   &start),
                0);
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "startTime")), start);

        close(p_in[1]);
        fixture_outcome(*state, 5, &o);
        outcome_assert_exited(&o, 0);
        assert_int_equal(process_signal(pidfd, 0), 0); /* a zombie until it is acknowledged */
        fixture_acknowledge(*state, 5);
        fixture_run_plan(*state, plan_of_command("true", NULL),
                         &o); /* behind it in the same channel */
        assert_int_equal(process_signal(pidfd, 0), -ESRCH);
        close(pidfd);
        close(token);
}

/* Another forkd takes over: it hears of who lives, and again of who has ended. */
static void test_hello(void **state) {
        _cleanup_(packet_done) Packet running = PACKET_NULL, again = PACKET_NULL;
        json_t *attempts;
        Outcome o;
        int token;

        token = fixture_order(
                *state,
                &(Order){ .id = 8, .plan = plan_of_command("/bin/sh", "-c", "exit 5", NULL) });
        fixture_outcome(*state, 8, &o);
        fixture_send(*state, "Hello", json_pack("{si}", "epoch", 77), NULL, 0);
        fixture_receive(*state, &running);
        assert_string_equal(running.method, "Running");
        assert_int_equal(json_integer_value(json_object_get(running.parameters, "epoch")), 77);
        attempts = json_object_get(running.parameters, "attempts");
        assert_int_equal(json_array_size(attempts), 1);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(attempts, 0), "id")), 8);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(attempts, 0), "pid")),
                         o.pid);
        fixture_receive(*state, &again);
        assert_string_equal(again.method, "Exited");
        assert_int_equal(json_integer_value(json_object_get(again.parameters, "status")), 5);
        fixture_acknowledge(*state, 8);
        close(token);
}

static void test_retire(void **state) {
        int token, status;
        Outcome o;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        token = fixture_order(&f, &(Order){ .id = 1, .plan = plan_of_command("true", NULL) });
        fixture_outcome(&f, 1, &o);
        close(token);
        fixture_send(&f, "Retire", json_object(), NULL, 0);
        fixture_run(&f, &(Order){ .id = 2, .plan = plan_of_command("true", NULL) }, &o);
        outcome_assert_failed(&o, "fork", ESHUTDOWN, "the forkserver has been retired");
        fixture_acknowledge(&f, 1); /* the last one: it ends although the channel is open */
        assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(f.channel);
        assert_int_equal(count_fds(), f.n_fds);
}

static void test_channel_closes(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int token, pidfd;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        token = fixture_order(&f,
                              &(Order){ .id = 1, .plan = plan_of_command("sleep", "1000", NULL) });
        fixture_receive(&f, &p);
        packet_done(&p);
        fixture_receive(&f, &p);
        assert_string_equal(p.method, "Started");
        pidfd = packet_take_fd(&p, "pidfd");
        close(token);
        f.n_fds++; /* the pidfd */
        assert_int_equal(fixture_end(&f), 0);

        /* the worker runs on; its parent is gone, so nobody but init reaps it */
        assert_int_equal(process_signal(pidfd, SIGKILL), 0);
        wait_readable(pidfd);
        close(pidfd);
}

static void test_garbage(void **state) {
        Packet p = PACKET_NULL;
        Fixture f;

        (void)state;
        fixture_start(&f, "spawner", NULL);
        fixture_receive(&f, &p); /* unread, it would be lost together with what we send */
        packet_done(&p);
        assert_int_equal(send(f.channel, "{]", 2, 0), 2);
        assert_int_equal(fixture_end(&f), EXIT_FAILURE);
}

/* A log that nobody reads holds nothing up: its lines are dropped whole. */
static void test_full_log(void **state) {
        char noise[PIPE_BUF], text[8192] = "";
        int p[2], n;
        ServeOptions options = { .name = "spawner" };
        Outcome o;
        Fixture f;

        (void)state;
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        memset(noise, 'x', sizeof(noise));
        assert_true(fcntl(p[1], F_SETPIPE_SZ, sizeof(noise)) >= 0);
        assert_int_equal(write(p[1], noise, sizeof(noise)), sizeof(noise));
        options.log_fd = p[1];
        fixture_start_options(&f, &options, NULL);
        for (int i = 0; i < 3; i++)
                fixture_send(&f, "Fork", json_object(), NULL, 0);
        fixture_run_plan(&f, plan_of_command("true", NULL), &o);
        outcome_assert_exited(&o, 0);
        assert_int_equal(read(p[0], text, sizeof(text)), sizeof(noise));

        fixture_send(&f, "Fork", json_object(), NULL, 0);
        wait_readable(p[0]);
        n = (int)read(p[0], text, sizeof(text) - 1);
        assert_true(n > 0);
        text[n] = '\0';
        assert_string_equal(text,
                            "spawner: an order to fork has no id or no attempt, ignoring it\n");
        close(p[0]);
        close(p[1]);
        f.n_fds -= 2;
        assert_int_equal(fixture_end(&f), 0);
}

#define MANY 500

/* All wait for the end of one pipe, and so end at once. */
static void test_many_exits(void **state) {
        bool seen[MANY] = { 0 };
        int p_in[2], n = 0;

        assert_int_equal(pipe2(p_in, O_CLOEXEC), 0);
        for (int i = 0; i < MANY; i++) {
                json_t *plan = plan_of_command("/bin/cat", NULL);

                json_array_set_new(json_object_get(plan, "stdio"), 0, json_integer(1));
                close(fixture_order(
                        *state,
                        &(Order){ .id = (uint64_t)i, .plan = plan, .fds = p_in, .n_fds = 1 }));
        }
        close(p_in[0]);
        close(p_in[1]);
        while (n < MANY) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                json_int_t id;

                fixture_receive(*state, &p);
                if (!streq(p.method, "Exited"))
                        continue;
                id = json_integer_value(json_object_get(p.parameters, "id"));
                assert_false(seen[id]);
                seen[id] = true;
                n++;
                fixture_acknowledge(*state, (uint64_t)id);
        }
}

/* A forkd that does not read gets everything in order once it does; the forkserver goes on
 * meanwhile. */
static void test_not_reading(void **state) {
        Fixture *f = *state;
        int n = 0;

        for (int i = 0; i < 2 * MANY; i++) {
                json_t *plan = plan_of_command(
                        "/no/such/program/with/a/name/that/fills/the/channel", NULL);

                close(fixture_order(f, &(Order){ .id = (uint64_t)i, .plan = plan }));
        }
        while (n < 2 * MANY) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                fixture_receive(f, &p);
                assert_string_equal(p.method, "Failed");
                assert_int_equal(json_integer_value(json_object_get(p.parameters, "id")), n);
                n++;
        }
}

#define LIMIT 96

/* At its limit of descriptors it refuses, and goes on: what it has begun still ends. */
static void test_descriptor_limit(void **state) {
        const struct rlimit limit = { LIMIT, LIMIT };
        int p_in[2], fds[5], n_started = 0, n_ended = 0;
        Outcome o;
        Fixture f;

        (void)state;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        fixture_start(&f, "spawner", NULL);
        assert_int_equal(pipe2(p_in, O_CLOEXEC), 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = p_in[0];
        for (int i = 0; i < LIMIT; i++) {
                size_t n_fds = i % 2 == 0 ? 1 : ELEMENTSOF(fds); /* some packets need more room */
                json_t *plan = plan_of_command("/bin/cat", NULL);
                Packet p = PACKET_NULL;

                json_array_set_new(json_object_get(plan, "stdio"), 0, json_integer(1));
                close(fixture_order(
                        &f,
                        &(Order){ .id = (uint64_t)i, .plan = plan, .fds = fds, .n_fds = n_fds }));
                do {
                        packet_done(&p);
                        fixture_receive(&f, &p);
                } while (streq(p.method, "Ready"));
                if (streq(p.method, "Started"))
                        n_started++;
                else {
                        assert_string_equal(p.method, "Failed");
                        assert_int_equal(json_integer_value(json_object_get(p.parameters, "errno")),
                                         EMFILE);
                }
                packet_done(&p);
        }
        assert_in_range(n_started, LIMIT / 2, LIMIT - 8);

        close(p_in[0]);
        close(p_in[1]);
        for (; n_ended < n_started; n_ended++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;

                fixture_receive(&f, &p);
                assert_string_equal(p.method, "Exited");
                fixture_acknowledge(
                        &f, (uint64_t)json_integer_value(json_object_get(p.parameters, "id")));
        }
        fixture_run_plan(&f, plan_of_command("true", NULL), &o);
        outcome_assert_exited(&o, 0);
        assert_int_equal(fixture_end(&f), 0);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ready),
                WITH_SERVER(test_exit_status),
                WITH_SERVER(test_signals),
                WITH_SERVER(test_core),
                WITH_SERVER(test_token),
                WITH_SERVER(test_bad_orders),
                WITH_SERVER(test_started),
                WITH_SERVER(test_hello),
                cmocka_unit_test(test_retire),
                cmocka_unit_test(test_channel_closes),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_full_log),
                WITH_SERVER(test_many_exits),
                WITH_SERVER(test_not_reading),
                cmocka_unit_test(test_descriptor_limit), /* the last: a hard limit does not rise */
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
