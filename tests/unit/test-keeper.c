/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/keeper/keeper.h: a real keeper in a child process, with a fake forkd (this program again,
 * see fake-forkd.h) and a fake service manager. Each test ends with no process left: this program
 * is the reaper of what a keeper would leave. */

#include "fake-forkd.h"
#include "keeper-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include <cmocka.h>

/* ---- life of forkd */

static void test_handing_over(void **state) {
        Fixture *f = *state;
        char line[128];
        long inodes[2];

        f->options.watchdog_usec = 77 * USEC_PER_SEC;
        start_keeper(f);
        expect_start(f);
        expect(f, "hello 1 77000000");
        assert_int_equal(strncmp(hear(f), "stored listen ", 14), 0);
        expect(f, "begin");

        say(f, "store b");
        hear(f);
        say(f, "store a");
        assert_int_equal(sscanf(hear(f), "inode %ld", &inodes[0]), 1);
        say(f, "store gone");
        hear(f);
        say(f, "drop gone");
        say(f, "store a");
        assert_int_equal(sscanf(hear(f), "inode %ld", &inodes[1]), 1);
        assert_true(inodes[0] != inodes[1]);
        say(f, "drop b");
        say(f, "garbage");
        say(f, "die 9");

        expect_hello(f, 2);
        snprintf(line, sizeof(line), "stored a %ld", inodes[1]);
        expect(f, line);
        expect(f, "begin");
        end_well(f);
}

static void test_clean_environment(void **state) {
        Fixture *f = *state;

        setenv("LISTEN_FDS", "3", 1);
        setenv("WATCHDOG_USEC", "3", 1);
        start_keeper(f);
        unsetenv("LISTEN_FDS");
        unsetenv("WATCHDOG_USEC");
        expect_begin(f, 1);
        say(f, "environment LISTEN_FDS");
        expect(f, "(none)");
        say(f, "environment WATCHDOG_USEC");
        expect(f, "(none)");
        say(f, "environment NOTIFY_SOCKET");
        expect(f, "(none)");
        end_well(f);
}

static void test_gives_up(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        for (int i = 1; i <= 5; i++) {
                expect_begin(f, i);
                say(f, i < 5 ? "die 9" : "exit 7");
        }
        expect_notify(f, "STATUS=forkd does not become ready");
        expect_end(f, 7);
}

static void test_gives_up_by_signal(void **state) {
        Fixture *f = *state;

        f->options.failures_max = 1;
        start_keeper(f);
        expect_begin(f, 1);
        say(f, "die 15");
        expect_end(f, 128 + 15);
}

static void test_usage_is_not_repeated(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "exit 2");
        expect_end(f, 2);
}

static void test_readiness_forgives(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        for (int i = 1; i <= 9; i++) {
                expect_begin(f, i);
                if (i % 3 == 0) {
                        say(f, "ready x");
                        expect_notify(f, "READY=1");
                }
                say(f, "die 9");
        }
        expect_begin(f, 10);
        end_well(f);
}

static void test_no_such_program(void **state) {
        Fixture *f = *state;

        f->argv[0] = (char *)"/no/such/forkd";
        start_keeper(f);
        expect_end(f, 127);
}

static void test_stopping_is_final(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "ready x");
        say(f, "stopping x");
        say(f, "die 9"); /* the record before it counts */
        expect_notify(f, "STOPPING=1");
        expect_end(f, 128 + 9);
}

static void test_backoff(void **state) {
        KeeperOptions options = KEEPER_OPTIONS_DEFAULT;
        uint64_t nominal = 100000;
        bool varies = false;

        (void)state;
        for (int round = 0; round < 20; round++) {
                Keeper k = { .options = &options };
                uint64_t first = 0;

                assert_int_equal(keeper_backoff(&k), 0);
                for (int i = 0; i < 12; i++) {
                        uint64_t expected = nominal << i > 10000000 ? 10000000 : nominal << i;
                        uint64_t usec = keeper_backoff(&k);

                        assert_in_range(usec, expected * 8 / 10, expected * 12 / 10);
                        varies = varies || (first != 0 && usec != first);
                        first = usec;
                }
        }
        assert_true(varies);
}

/* Every state has a name, is reached from the first and reaches the last. */
static void test_states(void **state) {
        bool reached[_KEEP_STATE_MAX] = { [KEEP_NEW] = true },
             ends[_KEEP_STATE_MAX] = { [KEEP_ENDED] = true };

        (void)state;
        for (int round = 0; round < _KEEP_STATE_MAX; round++)
                for (int a = 0; a < _KEEP_STATE_MAX; a++)
                        for (int b = 0; b < _KEEP_STATE_MAX; b++) {
                                if (!keep_state_may((KeepState)a, (KeepState)b))
                                        continue;
                                reached[b] = reached[b] || reached[a];
                                ends[a] = ends[a] || ends[b];
                        }
        for (int a = 0; a < _KEEP_STATE_MAX; a++) {
                assert_non_null(keep_state_name((KeepState)a));
                assert_true(reached[a] && ends[a]);
        }
}

/* ---- signals */

static void test_signals_are_passed_on(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "ready x");
        kill(f->keeper, SIGHUP);
        expect(f, "signal 1");
        kill(f->keeper, SIGTERM);
        expect(f, "signal 15");
        expect_notify(f, "STOPPING=1");
        kill(f->keeper, SIGTERM); /* at once, this time: but not before the first one was taken, */
        say(f, "status y");       /* or the two would merge */
        expect_notify(f, "STATUS=y");
        say(f, "stopping x");
        expect(f, "signal 15");
        kill(f->keeper, SIGINT);
        expect(f, "signal 2");
        kill(f->keeper, SIGQUIT);
        expect(f, "signal 3");
        say(f, "exit 3");
        expect_end(f, 3); /* and no other start */
}

static void test_term_while_waiting(void **state) {
        Fixture *f = *state;

        f->options.backoff_first_usec = f->options.backoff_max_usec = 3600 * USEC_PER_SEC;
        start_keeper(f);
        for (int i = 1; i <= 2; i++) {
                expect_begin(f, i);
                say(f, "ready x");
                expect_notify(f, "READY=1");
                say(f, "die 9");
                expect_notify(f, "STATUS=forkd died");
        }
        kill(f->keeper, SIGHUP);
        kill(f->keeper, SIGTERM);
        expect_end(f, 0);
}

/* ---- orphans */

/* Hears n ends with statuses 0, 1, 2 … in any order; acknowledges them when told. */
static void expect_ends(Fixture *f, int n, bool acknowledge) {
        bool seen[1024] = { false };

        for (int i = 0; i < n;) {
                const char *line = hear(f);
                int pid, code, status, k = 0;

                if (strncmp(line, "orphan ", 7) == 0 || streq(line, "made"))
                        continue;
                if (sscanf(line, "ended %d %d %d", &pid, &code, &status) != 3)
                        fail_msg("'%s' is no end", line);
                assert_int_equal(code, CLD_EXITED);
                while (seen[status + k * 256])
                        k++;
                assert_true(status + k * 256 < n);
                seen[status + k * 256] = true;
                if (acknowledge)
                        say(f, "ack %d", pid);
                i++;
        }
}

static void test_statuses_survive_a_killed_parent(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "orphans 200");
        expect(f, "made");
        say(f, "let go");
        expect_ends(f, 200, false);
        say(f, "die 9");

        expect_hello(f, 2); /* all of them again, until they are acknowledged */
        expect_ends(f, 200, true);
        expect(f, "begin");
        say(f, "die 9");
        expect_begin(f, 3);
        end_well(f);
}

/* A forkd that does not read costs nothing, and loses nothing. */
static void test_deaf_forkd(void **state) {
        Fixture *f = *state;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "deaf");
        say(f, "orphans 700");
        expect(f, "made");
        say(f, "let go");
        say(f, "hear");
        expect_ends(f, 700, true);
        end_well(f);
}

static void test_living_orphan(void **state) {
        Fixture *f = *state;
        char line[64];
        pid_t pid;

        start_keeper(f);
        expect_begin(f, 1);
        say(f, "ready x");
        pid = make_sleeper(f, "sleeper");
        say(f, "die 9");

        expect_hello(f, 2);
        snprintf(line, sizeof(line), "orphan %d", pid);
        expect(f, line);
        expect(f, "begin");
        say(f, "ack %d", pid); /* too early: it lives */
        say(f, "ready x");
        say(f, "kill %d", pid);
        snprintf(line, sizeof(line), "ended %d %d %d", pid, CLD_KILLED, SIGKILL);
        expect(f, line);
        assert_int_equal(kill(pid, 0), 0); /* a zombie, so that its pid is nobody else's */
        say(f, "ack %d", pid);
        say(f, "die 9");
        expect_begin(f, 3);
        assert_int_equal(kill(pid, 0), -1);
        end_well(f);
}

static void test_not_ours(void **state) {
        Fixture *f = *state;
        pid_t pid;

        start_keeper(f);
        expect_begin(f, 1);
        pid = make_sleeper(f, "sleeper");
        say(f, "die 9");
        expect_hello(f, 2);
        hear(f); /* orphan */
        expect(f, "begin");
        say(f, "disown %d", pid);
        say(f, "die 9");
        expect_begin(f, 3); /* not a word of it any more */
        say(f, "kill %d", pid);
        say(f, "echo");
        expect(f, "echo");
        end_well(f);
}

static void test_ends_are_bounded(void **state) {
        Fixture *f = *state;
        const char *line;
        int n = 0;

        f->options.ends_max = 10;
        start_keeper(f);
        expect_begin(f, 1);
        say(f, "orphans 50");
        expect(f, "made");
        say(f, "let go");
        /* the newest start says how many were kept */
        while (n < 10)
                n += strncmp(hear(f), "ended ", 6) == 0;
        say(f, "die 9");
        expect_hello(f, 2);
        for (n = 0; !streq(line = hear(f), "begin");)
                n += strncmp(line, "ended ", 6) == 0;
        assert_int_equal(n, 10);
        end_well(f);
}

static void test_nothing_is_left(void **state) {
        Fixture *f = *state;

        f->options.end_usec = 50 * USEC_PER_MSEC;
        start_keeper(f);
        expect_begin(f, 1);
        make_sleeper(f, "sleeper");
        make_sleeper(f, "stubborn");
        end_well(f); /* and fixture_end() looks for them */
}

/* ---- watchdog and service manager */

static void test_silent_forkd_is_aborted(void **state) {
        Fixture *f = *state;

        f->options.watchdog_usec = 40 * USEC_PER_MSEC;
        start_keeper(f);
        expect_begin(f, 1);
        say(f, "ready x");
        expect_notify(f, "READY=1");
        assert_int_equal(kill(f->forkd_pid, SIGSTOP), 0);
        expect_notify(f, "STATUS=forkd died");
        expect_begin(f, 2);
        end_well(f);
}

static void test_abort_is_followed_by_kill(void **state) {
        Fixture *f = *state;

        f->options.watchdog_usec = 40 * USEC_PER_MSEC;
        f->options.abort_usec = 20 * USEC_PER_MSEC;
        start_keeper(f);
        expect_begin(f, 1);
        say(f, "ignore 6");
        say(f, "ready x"); /* and silence */
        expect_begin(f, 2);
        end_well(f);
}

static void test_start_takes_too_long(void **state) {
        Fixture *f = *state;

        f->options.watchdog_usec = 20 * USEC_PER_MSEC;
        f->options.start_usec = 60 * USEC_PER_MSEC;
        f->options.failures_max = 2;
        start_keeper(f);
        expect_end(f, 128 + SIGABRT);
}

static void test_manager_hears(void **state) {
        Fixture *f = *state;
        char line[64];

        f->options.manager_watchdog_usec = 3600 * USEC_PER_SEC;
        start_keeper(f);
        expect_begin(f, 1);
        say(f, "status loading\nREADY=1");
        expect_notify(f, "STATUS=loading READY=1");
        say(f, "ready 3 jobs");
        snprintf(line, sizeof(line), "READY=1\nMAINPID=%d\nSTATUS=3 jobs", (int)f->keeper);
        expect_notify(f, line);
        say(f, "alive");
        expect_notify(f, "WATCHDOG=1");
        say(f, "reloading again");
        expect_notify(f, "RELOADING=1\nMONOTONIC_USEC=");
        say(f, "ready 4 jobs");
        expect_notify(f, "READY=1");
        say(f, "stopping x");
        expect_notify(f, "STOPPING=1\nSTATUS=x");
        end_well(f);
}

/* However long a start is waited for: a manager that loses patience would end all jobs. */
static void test_manager_hears_while_waiting(void **state) {
        Fixture *f = *state;

        f->options.watchdog_usec = 2 * USEC_PER_SEC;
        f->options.manager_watchdog_usec = 4 * USEC_PER_SEC;
        f->options.backoff_first_usec = f->options.backoff_max_usec = 3600 * USEC_PER_SEC;
        start_keeper(f);
        for (int i = 1; i <= 2; i++) {
                expect_begin(f, i);
                say(f, "ready x");
                expect_notify(f, "READY=1");
                say(f, "die 9");
                expect_notify(f, "STATUS=forkd died");
        }
        expect_notify(f, "WATCHDOG=1");
        expect_notify(f, "WATCHDOG=1");
        kill(f->keeper, SIGTERM);
        expect_end(f, 0);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_make, fixture_end)

int main(int argc, char **argv) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_handing_over),
                FIXTURE_TEST(test_clean_environment),
                FIXTURE_TEST(test_gives_up),
                FIXTURE_TEST(test_gives_up_by_signal),
                FIXTURE_TEST(test_usage_is_not_repeated),
                FIXTURE_TEST(test_readiness_forgives),
                FIXTURE_TEST(test_no_such_program),
                FIXTURE_TEST(test_stopping_is_final),
                cmocka_unit_test(test_backoff),
                cmocka_unit_test(test_states),
                FIXTURE_TEST(test_signals_are_passed_on),
                FIXTURE_TEST(test_term_while_waiting),
                FIXTURE_TEST(test_statuses_survive_a_killed_parent),
                FIXTURE_TEST(test_deaf_forkd),
                FIXTURE_TEST(test_living_orphan),
                FIXTURE_TEST(test_not_ours),
                FIXTURE_TEST(test_ends_are_bounded),
                FIXTURE_TEST(test_nothing_is_left),
                FIXTURE_TEST(test_silent_forkd_is_aborted),
                FIXTURE_TEST(test_abort_is_followed_by_kill),
                FIXTURE_TEST(test_start_takes_too_long),
                FIXTURE_TEST(test_manager_hears),
                FIXTURE_TEST(test_manager_hears_while_waiting),
        };

        if (argc > 1 && streq(argv[1], "--fake-forkd"))
                return fake_forkd_main();
        if (prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L) < 0)
                return 1;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
