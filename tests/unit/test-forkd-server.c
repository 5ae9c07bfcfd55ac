/* SPDX-License-Identifier: Apache-2.0 */

/* forkd-server, the program: what it says to forkd when it can serve and when it cannot, and
 * one-shot hosts. */

#include "host-fixture.h"
#include "server-fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#define M(name) TEST_MODULES "/" name ".so"
#define SERVER(...)                                                                                \
        {                                                                                          \
                .argv = { FORKD_SERVER, __VA_ARGS__ }                                              \
        }

static void assert_contains(const char *text, const char *part) {
        if (!strstr(text, part))
                print_message("'%s' is not in '%s'\n", part, text);
        assert_non_null(strstr(text, part));
}

static const char *text_of(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name)) ?: "(none)";
}

/* It says so on the channel and on standard error, and ends. */
static void assert_refuses(const HostStart *start, const char *reason) {
        json_t *refused;
        char *log;
        Host h;

        host_start(&h, start);
        refused = host_expect(h.channel, "Refused");
        host_expect_end(h.channel);
        assert_int_equal(host_end(&h, NULL, &log), EXIT_FAILURE);
        assert_contains(text_of(refused, "reason"), reason);
        assert_contains(log, text_of(refused, "reason"));
        free(log);
        json_decref(refused);
}

static void test_ready(void **state) {
        HostStart start = SERVER("--module-path=/no/such:" TEST_MODULES, "--", "misbehave");
        json_t *ready, *entries, *safety;
        char *log;
        Host h;

        (void)state;
        host_start(&h, &start);
        ready = host_expect(h.channel, "Ready");
        entries = json_object_get(ready, "entries");
        safety = json_object_get(ready, "safety");
        assert_string_equal(text_of(ready, "name"), "test#1");
        assert_true(json_integer_value(json_object_get(ready, "preloadUSec")) > 0);
        assert_string_equal(text_of(json_array_get(entries, 0), "name"), "echo");
        assert_string_equal(text_of(json_array_get(entries, 1), "arguments"), "usec=N");
        assert_int_equal(json_integer_value(json_object_get(safety, "threads")), 1);
        assert_int_equal(json_array_size(json_object_get(safety, "descriptors")), 0);
        json_decref(ready);
        assert_int_equal(host_end(&h, NULL, &log), EXIT_SUCCESS);
        assert_string_equal(log, "");
        free(log);
}

static void test_refuses(void **state) {
        static const struct {
                HostStart start;
                const char *reason;
        } cases[] = {
                { SERVER(M("threaded")), "'left-behind' is running" },
                { SERVER(M("leaky")), " (/dev/full) is open and undeclared" },
                { SERVER(M("opensocket")), " (socket:[" },
                { SERVER(M("journal-cached")), "is a socket without a peer, as sd-journal" },
                { SERVER(M("sigchld-ignored")), "SIGCHLD is ignored" },
                { SERVER(M("badabi")), "was built for version 2 of the module interface" },
                { SERVER(M("noentries")), "has no entries" },
                { SERVER(M("no-such")), "cannot be loaded: " },
                { SERVER("no-such"), "module 'no-such': there is no no-such.so in " },
                { SERVER(M("misbehave"), M("twice")), "has an entry 'echo', but so does" },
                { { .argv = { FORKD_SERVER } }, "no module is named" },
                { SERVER("--module-path=/tmp"), "no module is named" },
                { SERVER("--huge-page", M("misbehave")), "unknown option '--huge-page'" },
                { { .argv = { FORKD_SERVER, M("misbehave") },
                    .environment = { "FORKD_ARGUMENTS=[]" } },
                  "FORKD_ARGUMENTS is no JSON object" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refuses(&cases[i].start, cases[i].reason);
}

/* A packet is UTF-8 whatever a file is called. */
static void test_refuses_latin1(void **state) {
        HostStart start = SERVER("caf\xe9");
        json_t *refused;
        Host h;

        (void)state;
        host_start(&h, &start);
        refused = host_expect(h.channel, "Refused");
        assert_contains(text_of(refused, "reason"), "module 'caf?': there is no caf?.so in ");
        json_decref(refused);
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_FAILURE);
}

/* What it wrote to standard error comes before the reason. */
static void test_preload_fails(void **state) {
        HostStart start = SERVER(M("preload-fails"));
        json_t *refused;
        char *log;
        Host h;

        (void)state;
        host_start(&h, &start);
        refused = host_expect(h.channel, "Refused");
        assert_string_equal(text_of(refused, "reason"),
                            "module '" M("preload-fails") "': its preload failed: "
                                                          "No such file or directory");
        json_decref(refused);
        assert_int_equal(host_end(&h, NULL, &log), EXIT_FAILURE);
        assert_string_equal(log, "preload-fails: there is no such model\nmodule '" M(
                                         "preload-fails") "': its preload failed: "
                                                          "No such file or directory\n");
        free(log);
}

/* There is nobody left to tell of these; forkd sees the ends. */
static void test_preload_ends(void **state) {
        HostStart crashes = SERVER(M("preload-crashes")), exits = SERVER(M("preload-exits")),
                  hangs = SERVER(M("preload-hangs"));
        char *log;
        Host h;

        (void)state;
        host_start(&h, &crashes);
        host_expect_end(h.channel);
        assert_int_equal(host_end(&h, NULL, NULL), 128 + SIGSEGV);

        host_start(&h, &exits);
        host_expect_end(h.channel);
        assert_int_equal(host_end(&h, NULL, &log), 3);
        assert_string_equal(log, "preload-exits: no licence\n");
        free(log);

        /* a preload can be stopped */
        host_start(&h, &hangs);
        host_expect_log(&h, "waiting for a server");
        assert_int_equal(kill(h.pid, SIGTERM), 0);
        assert_int_equal(host_end(&h, NULL, NULL), 128 + SIGTERM);
}

/* A syslog of our own where there is none; *state is its descriptor, or NULL. */
static int setup_syslog(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
        int *fd = malloc(sizeof(int));

        if (!fd)
                return -1;
        *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (connect(*fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                if (errno == ECONNREFUSED)
                        unlink(address.sun_path); /* whose server is gone */
                if (bind(*fd, (struct sockaddr *)&address, sizeof(address)) == 0) {
                        *state = fd;
                        return 0;
                }
        }
        close(*fd);
        free(fd);
        *state = NULL;
        return 0;
}

static int teardown_syslog(void **state) {
        int *fd = *state;

        if (fd) {
                unlink("/dev/log");
                close(*fd);
        }
        free(fd);
        return 0;
}

/* The C library keeps the socket of syslog(3) after the first line. */
static void test_syslog(void **state) {
        HostStart start = SERVER(M("syslog-cached"));
        Host h;

        if (!*state && access("/dev/log", W_OK) < 0)
                skip();
        assert_refuses(&start, " is a log socket (/dev/log) that a preload opened and a library "
                               "keeps: call closelog() at the end of preload");

        start.environment[0] = "FORKD_TEST_CLOSELOG=1";
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_SUCCESS);
}

static void assert_says(const HostStart *start, const char *sentence) {
        char *log;
        Host h;

        host_start(&h, start);
        assert_int_equal(host_end(&h, NULL, &log), EXIT_FAILURE);
        assert_contains(log, sentence);
        free(log);
}

static void test_by_hand(void **state) {
        static const HostStart cases[] = {
                { .argv = { FORKD_SERVER, M("misbehave") }, .by_hand = true },
                { .argv = { FORKD_SERVER, M("misbehave") },
                  .by_hand = true,
                  .environment = { "FORKD_CHANNEL=x" } },
                { .argv = { FORKD_SERVER, M("misbehave") },
                  .by_hand = true,
                  .environment = { "FORKD_WORKER=7" } },
                { .argv = { FORKD_SERVER, M("misbehave") }, .stream = true },
        };

        (void)state;
        assert_says(&cases[0],
                    "FORKD_CHANNEL is not set: forkd starts this program, people do not");
        assert_says(&cases[1], "FORKD_CHANNEL is 'x', no number of a descriptor above 2");
        assert_says(&cases[3], "descriptor 3 of FORKD_CHANNEL is no socket of type SOCK_SEQPACKET");
        assert_says(&cases[2], "descriptor 7 of FORKD_WORKER is no socket of type SOCK_SEQPACKET");
}

/* Workers have the forkserver's arguments, and nothing of ours in their environment. */
static void test_worker(void **state) {
        HostStart start = SERVER(M("misbehave"));
        json_t *answer;
        char *text;
        Host h;

        (void)state;
        start.environment[0] = "FORKD_ARGUMENTS={\"model\":\"small\"}";
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));

        assert_int_equal(host_answer(&h, 1, host_call(&h, 1, "module-arguments", json_object(), -1),
                                     "Returned", &answer),
                         0);
        assert_string_equal(text_of(json_object_get(answer, "value"), "model"), "small");
        json_decref(answer);

        assert_int_equal(host_answer(&h, 2, host_call(&h, 2, "environment", json_object(), -1),
                                     "Returned", &answer),
                         0);
        text = json_dumps(answer, 0);
        assert_contains(text, "LANG=C");
        assert_null(strstr(text, "FORKD_"));
        free(text);
        json_decref(answer);

        /* these harm themselves alone */
        assert_int_equal(
                host_answer(&h, 3, host_call(&h, 3, "abort", json_object(), -1), NULL, NULL),
                128 + SIGABRT);
        assert_int_equal(
                host_answer(&h, 4, host_call(&h, 4, "log", json_object(), -1), "Returned", NULL),
                0);
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_SUCCESS);
}

static void test_worker_start_crashes(void **state) {
        HostStart start = SERVER(M("worker-start-crashes"));
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        for (unsigned i = 1; i <= 2; i++)
                assert_int_equal(host_answer(&h, i, host_call(&h, i, "nothing", json_object(), -1),
                                             NULL, NULL),
                                 128 + SIGSEGV);
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_SUCCESS);
}

static void send_call(Host *h, const char *entry) {
        json_t *call = json_pack("{ss,s{}}", "entry", entry, "arguments");

        assert_int_equal(packet_send(h->channel, "Call", call, NULL, 0), 0);
        json_decref(call);
}

static void test_one_shot(void **state) {
        HostStart start = SERVER(M("misbehave"), M("threaded")); /* it need not fork */
        json_t *answer;
        char *text;
        Host h;

        (void)state;
        start.one_shot = true;
        start.environment[0] = "FORKD_ARGUMENTS={}";
        start.environment[1] = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1";
        start.environment[2] = "OURS=1";
        host_start(&h, &start);
        channel_adopt_one_shot(h.channel, "{\"environment\":[\"MINE=1\"]}");
        send_call(&h, "environment");
        answer = host_expect(h.channel, "Returned");
        text = json_dumps(answer, 0);
        assert_contains(text, "MINE=1");
        assert_null(strstr(text, "FORKD_"));
        assert_null(strstr(text, "GLIBC_TUNABLES"));
        assert_null(strstr(text, "OURS"));
        free(text);
        json_decref(answer);
        assert_int_equal(host_end(&h, NULL, NULL), 0);

        host_start(&h, &start);
        channel_adopt_one_shot(h.channel, "{}");
        send_call(&h, "fail");
        answer = host_expect(h.channel, "Raised");
        json_decref(answer);
        assert_int_equal(host_end(&h, NULL, NULL), 1);
}

static void test_one_shot_preload_fails(void **state) {
        HostStart start = SERVER(M("preload-fails"));
        json_t *failed;
        Host h;

        (void)state;
        start.one_shot = true;
        host_start(&h, &start);
        failed = host_expect(h.channel, "Failed");
        assert_string_equal(text_of(failed, "stage"), "preload");
        assert_contains(text_of(failed, "text"), "its preload failed: No such file or directory");
        json_decref(failed);
        assert_int_equal(host_end(&h, NULL, NULL), 127);
}

/* No descriptor that comes with an order gets the number of a standard stream. */
static void test_preload_closes_streams(void **state) {
        HostStart start = SERVER(M("closes-streams"));
        int out[2];
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        for (unsigned id = 1; id <= 2; id++) {
                char text[8] = "";

                assert_int_equal(pipe2(out, O_CLOEXEC), 0);
                assert_int_equal(host_answer(&h, id,
                                             host_call(&h, id, "say", json_object(), out[1]),
                                             "Returned", NULL),
                                 0);
                close(out[1]);
                assert_int_equal(read(out[0], text, sizeof(text)), 4);
                close(out[0]);
        }
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_SUCCESS);
}

static void test_huge_pages(void **state) {
        HostStart start = SERVER("--huge-pages", M("misbehave"));
        Host h;

        (void)state;
        host_start(&h, &start);
        json_decref(host_expect(h.channel, "Ready"));
        assert_int_equal(
                host_answer(&h, 1, host_call(&h, 1, "echo", json_object(), -1), "Returned", NULL),
                0);
        assert_int_equal(host_end(&h, NULL, NULL), EXIT_SUCCESS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_ready),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_refuses_latin1),
                cmocka_unit_test(test_preload_fails),
                cmocka_unit_test(test_preload_ends),
                cmocka_unit_test_setup_teardown(test_syslog, setup_syslog, teardown_syslog),
                cmocka_unit_test(test_by_hand),
                cmocka_unit_test(test_worker),
                cmocka_unit_test(test_worker_start_crashes),
                cmocka_unit_test(test_one_shot),
                cmocka_unit_test(test_one_shot_preload_fails),
                cmocka_unit_test(test_preload_closes_streams),
                cmocka_unit_test(test_huge_pages),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
