/* SPDX-License-Identifier: Apache-2.0 */

/* Programs as forkservers: serve() returns in their workers, which go on as main() does. And
 * one-shot hosts, which are their own worker. The program is this one. */

#include "server-fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static bool the_worker; /* in the test itself no handler has anything to say */

static void say(const char *text) {
        if (the_worker)
                assert_int_equal(write(STDOUT_FILENO, text, strlen(text)), strlen(text));
}

static void on_exit_before(void) {
        say("before ");
}

static void on_exit_later(void) {
        say("later ");
}

/* Its arguments one a line; ends as the first one says. */
static int program(int argc, char **argv) {
        the_worker = true;
        atexit(on_exit_later);
        if (argc > 1 && streq(argv[1], "exit"))
                exit(atoi(argv[2]));
        if (argc > 1 && streq(argv[1], "signal"))
                kill(getpid(), atoi(argv[2]));
        if (argc > 1 && streq(argv[1], "close"))
                close(3);
        if (argc > 1 && streq(argv[1], "fork")) {
                pid_t child = fork();

                if (child == 0) {
                        the_worker = false;
                        exit(0);
                }
                waitpid(child, NULL, 0);
                return 4;
        }
        for (int i = 1; i < argc; i++)
                printf("%s ", argv[i]); /* left in the buffer */
        return argv[argc] ? 99 : 0;
}

static int setup(void **state) {
        ServeOptions options = { .name = "spell", .program = true, .log_fd = STDERR_FILENO };
        Fixture *f = calloc(1, sizeof(Fixture));

        fixture_start_options(f, &options, program);
        *state = f;
        return 0;
}

static void answer_of(int channel, Packet *ret) {
        wait_readable(channel);
        if (packet_receive(channel, ret) != 0)
                *ret = PACKET_NULL;
}

static const char *text_of(const Packet *p, const char *name) {
        return json_string_value(json_object_get(p->parameters, name));
}

/* What a worker did: its answer, what it wrote, how it ended. */
typedef struct Run {
        Packet answer, more;
        char output[256];
        Outcome outcome;
} Run;

static void run_done(Run *run) {
        packet_done(&run->answer);
        packet_done(&run->more);
}

static void run(Fixture *f, json_t *call, Run *ret) {
        WorkerOrder order = { .id = 1, .n_fds = 1 };
        size_t n = 0;
        int p[2], channel;
        ssize_t r;

        *ret = (Run){ 0 };
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        order.fds = &p[1];
        order.plan = json_pack("{s[s],s[nin]}", "environment", "A=1", "stdio", 1);
        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        close(p[1]);
        channel_send(channel, "Call", call);
        while ((r = read(p[0], ret->output + n, sizeof(ret->output) - 1 - n)) > 0)
                n += (size_t)r;
        close(p[0]);
        answer_of(channel, &ret->answer);
        if (ret->answer.method)
                answer_of(channel, &ret->more);
        close(channel);
        fixture_outcome(f, 1, &ret->outcome);
        assert_false(ret->outcome.failed);
        fixture_acknowledge(f, 1);
}

static json_t *call_of(const char *first, const char *second) {
        return json_pack("{ss,s{s[ss*]}}", "entry", "main", "arguments", "argv", first, second);
}

static void test_ready(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        json_t *entries, *entry;

        fixture_receive(*state, &p);
        assert_string_equal(p.method, "Ready");
        entries = json_object_get(p.parameters, "entries");
        assert_int_equal(json_array_size(entries), 1);
        entry = json_array_get(entries, 0);
        assert_string_equal(json_string_value(json_object_get(entry, "name")), "main");
        assert_string_equal(json_string_value(json_object_get(entry, "help")),
                            "the program itself");
        assert_string_equal(json_string_value(json_object_get(entry, "arguments")), "argv=LIST");
}

/* Output is there once, handlers of before the fork do not run, the answer comes after all. */
static void test_returns(void **state) {
        _cleanup_(run_done) Run r;

        run(*state, call_of("one", "two words"), &r);
        assert_string_equal(r.answer.method, "Returned");
        assert_int_equal(r.answer.captured_length, 2);
        assert_memory_equal(r.answer.captured, "{}", 2);
        assert_null(r.more.method);
        assert_string_equal(r.output, "later one two words ");
        outcome_assert_exited(&r.outcome, 0);
}

static void test_no_arguments(void **state) {
        static const char *const arguments[] = { "{}", "{\"argv\":[]}", "null" };

        for (size_t i = 0; i < ELEMENTSOF(arguments); i++) {
                _cleanup_(run_done) Run r;

                run(*state,
                    json_pack("{ss,so}", "entry", "main", "arguments",
                              json_loads(arguments[i], JSON_DECODE_ANY, NULL)),
                    &r);
                assert_string_equal(r.answer.method, "Returned");
                assert_string_equal(r.output, "later ");
        }
}

static void test_statuses(void **state) {
        static const char *const statuses[] = { "0", "1", "3", "255", "256" };

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                _cleanup_(run_done) Run r;

                run(*state, call_of("exit", statuses[i]), &r);
                if (atoi(statuses[i]) % 256 == 0)
                        assert_string_equal(r.answer.method, "Returned");
                else
                        assert_null(r.answer.method);
                assert_string_equal(r.output, "later ");
                outcome_assert_exited(&r.outcome, atoi(statuses[i]) % 256);
        }
}

static void test_ends_otherwise(void **state) {
        Run r;

        run(*state, call_of("signal", "15"), &r);
        assert_null(r.answer.method);
        assert_string_equal(r.outcome.code, "killed");
        assert_int_equal(r.outcome.status, SIGTERM);
        run(*state, call_of("close", NULL), &r);
        assert_null(r.answer.method);
        outcome_assert_exited(&r.outcome, 0);
        /* its child's end is not its own */
        run(*state, call_of("fork", NULL), &r);
        assert_null(r.answer.method);
        assert_string_equal(r.output, "later ");
        outcome_assert_exited(&r.outcome, 4);
}

static void test_raised(void **state) {
        static const struct {
                const char *call, *code, *text;
        } cases[] = {
                { "{\"entry\":\"check\"}", "NoSuchEntry",
                  "there is no entry 'check' here: a program's only one is 'main'" },
                { "{}", "NoSuchEntry",
                  "there is no entry '' here: a program's only one is 'main'" },
                { "{\"entry\":\"main\",\"arguments\":{\"argv\":\"x\"}}", "BadArguments",
                  "argv is no array of texts" },
                { "{\"entry\":\"main\",\"arguments\":{\"argv\":[\"x\",1]}}", "BadArguments",
                  "argv is no array of texts" },
                { "{\"entry\":\"main\",\"arguments\":{\"argv\":[],\"x\":1}}", "BadArguments",
                  "the program takes nothing but argv, an array of texts" },
                { "{\"entry\":\"main\",\"arguments\":{\"args\":[]}}", "BadArguments",
                  "the program takes nothing but argv, an array of texts" },
                { "{\"entry\":\"main\",\"arguments\":[]}", "BadArguments",
                  "the arguments are no JSON object" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(run_done) Run r;

                run(*state, json_loads(cases[i].call, 0, NULL), &r);
                assert_string_equal(r.answer.method, "Raised");
                assert_string_equal(text_of(&r.answer, "code"), cases[i].code);
                assert_string_equal(text_of(&r.answer, "text"), cases[i].text);
                assert_string_equal(r.output, "");
                outcome_assert_exited(&r.outcome, 1);
        }
}

static void test_spare_ends(void **state) {
        Outcome o;

        close(fixture_fork(*state, &(WorkerOrder){ .id = 0 }));
        fixture_outcome(*state, 0, &o);
        outcome_assert_exited(&o, 0);
        fixture_acknowledge(*state, 0);
}

/* ---- one-shot hosts */

static void one_shot(Fixture *f, const ServeOptions *options, json_t *call, Packet *ret) {
        fixture_start_worker(f, options, program);
        if (call) {
                channel_adopt_one_shot(f->channel,
                                       "{\"environment\":[\"MINE=1\"],\"directory\":\"/proc\"}");
                channel_send(f->channel, "Call", call);
        } else
                assert_int_equal(shutdown(f->channel, SHUT_WR), 0);
        answer_of(f->channel, ret);
}

static void test_one_shot_program(void **state) {
        ServeOptions options = { .name = "spell", .program = true, .log_fd = -1 };
        Packet p = PACKET_NULL;
        Fixture f;

        (void)state;
        one_shot(&f, &options, call_of("exit", "0"), &p);
        assert_string_equal(p.method, "Returned");
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 0);
        one_shot(&f, &options, call_of("exit", "6"), &p);
        assert_null(p.method);
        assert_int_equal(fixture_end(&f), 6);
        one_shot(&f, &options, json_pack("{ss}", "entry", "x"), &p);
        assert_string_equal(text_of(&p, "code"), "NoSuchEntry");
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 1);
        one_shot(&f, &options, NULL, &p);
        assert_null(p.method);
        assert_int_equal(fixture_end(&f), 1);
}

static void test_one_shot_modules(void **state) {
        char *names[] = { (char *)TEST_MODULES "/misbehave.so", NULL }, *reason = NULL;
        ServeOptions options = { .name = "spell", .log_fd = -1 };
        ModuleSet *modules = NULL;
        Packet p = PACKET_NULL;
        json_t *value;
        sigset_t set;
        Fixture f;

        (void)state;
        if (modules_load(&modules, names, &reason) != 0)
                fail_msg("%s", reason);
        options.modules = modules;
        setenv("OURS", "1", 1);
        one_shot(&f, &options, json_pack("{ss}", "entry", "environment"), &p);
        unsetenv("OURS");
        assert_string_equal(p.method, "Returned");
        assert_non_null(strstr(p.text, "MINE=1"));
        assert_null(strstr(p.text, "OURS"));
        assert_null(strstr(p.text, "PATH="));
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 0);

        /* what a preload has done to signals is not the worker's */
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigprocmask(SIG_BLOCK, &set, NULL);
        one_shot(&f, &options, json_pack("{ss}", "entry", "process"), &p);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        value = json_loadb(p.captured, p.captured_length, 0, NULL);
        assert_non_null(strstr(json_string_value(json_object_get(value, "status")),
                               "SigBlk:\t0000000000000000\n"));
        json_decref(value);
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 0);

        one_shot(&f, &options, json_pack("{ss}", "entry", "no-such"), &p);
        assert_string_equal(text_of(&p, "code"), "NoSuchEntry");
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 1);
        one_shot(&f, &options, NULL, &p);
        assert_int_equal(fixture_end(&f), 1);
        modules_free(modules);
}

/* What the plan still asks for may fail, and a Call without it is none of forkd's. */
static void test_one_shot_plan(void **state) {
        ServeOptions options = { .name = "spell", .program = true, .log_fd = -1 };
        Packet p = PACKET_NULL;
        Fixture f;

        (void)state;
        fixture_start_worker(&f, &options, program);
        channel_adopt_one_shot(f.channel, "{\"directory\":\"/no/such\"}");
        answer_of(f.channel, &p);
        assert_string_equal(p.method, "Failed");
        assert_string_equal(text_of(&p, "stage"), "directory");
        assert_string_equal(text_of(&p, "text"), "/no/such");
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 127);

        fixture_start_worker(&f, &options, program);
        channel_send(f.channel, "Call", call_of("exit", "0"));
        answer_of(f.channel, &p);
        assert_string_equal(p.method, "Failed");
        assert_string_equal(text_of(&p, "stage"), "plan");
        packet_done(&p);
        assert_int_equal(fixture_end(&f), 127);
}

static void test_one_shot_fails(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        int pair[2];

        (void)state;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        serve_worker_failed(pair[1], ENOENT, "module 'x\xff.so': its preload failed");
        answer_of(pair[0], &p);
        assert_string_equal(p.method, "Failed");
        assert_string_equal(text_of(&p, "stage"), "preload");
        assert_string_equal(text_of(&p, "text"), "module 'x\xef\xbf\xbd.so': its preload failed");
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "errno")), ENOENT);
        close(pair[0]);
        serve_worker_failed(pair[1], ENOENT, "nobody listens");
        close(pair[1]);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_ready),
                WITH_SERVER(test_returns),
                WITH_SERVER(test_no_arguments),
                WITH_SERVER(test_statuses),
                WITH_SERVER(test_ends_otherwise),
                WITH_SERVER(test_raised),
                WITH_SERVER(test_spare_ends),
                cmocka_unit_test(test_one_shot_program),
                cmocka_unit_test(test_one_shot_modules),
                cmocka_unit_test(test_one_shot_plan),
                cmocka_unit_test(test_one_shot_fails),
        };

        atexit(on_exit_before);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
