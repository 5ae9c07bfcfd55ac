/* SPDX-License-Identifier: Apache-2.0 */

/* Plans: what is read of them, and the sentence about each thing that is wrong. */

#include "basic.h"

#include "child.h"
#include "plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/eventfd.h>

#include <cmocka.h>

/* A packet as if it had come, with an eventfd as descriptor 0 and /dev/null as 1. */
static void packet_of(Packet *ret, const char *plan) {
        _cleanup_(freep) char *text = NULL;

        assert_true(asprintf(&text, "{\"id\":1,\"attempt\":1,\"token\":0,\"plan\":%s}", plan) > 0);
        *ret = (Packet){ .object = json_loads(text, 0, NULL), .n_fds = 2 };
        assert_non_null(ret->object);
        ret->parameters = ret->object;
        ret->fds[0] = eventfd(1, EFD_CLOEXEC);
        ret->fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void test_whole(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        Plan *plan = NULL;
        const char *reason = NULL;

        (void)state;
        packet_of(
                &p,
                "{\"command\":[\"ls\",\"-l\"],\"environment\":[\"X=PATH=/no\",\"PATH=/a::/b\"],"
                "\"directory\":\"/d\",\"umask\":18,\"stdio\":[1,{\"path\":\"/o\",\"append\":true},\"stdout\"],"
                "\"uid\":1,\"gid\":2,\"groups\":[9,3],\"limits\":{\"LimitNOFILE\":[1,null]},"
                "\"nice\":-3,\"affinity\":[0,65],\"channel\":1}");
        assert_int_equal(plan_new(&plan, &p, PLAN_COMMAND, &reason), 0);
        assert_string_equal(plan->argv[0], "ls");
        assert_string_equal(plan->argv[1], "-l");
        assert_null(plan->argv[2]);
        assert_string_equal(plan->candidates[0], "/a/ls");
        assert_string_equal(plan->candidates[1], "./ls");
        assert_string_equal(plan->candidates[2], "/b/ls");
        assert_null(plan->candidates[3]);
        assert_string_equal(plan->envp[1], "PATH=/a::/b");
        assert_null(plan->envp[2]);
        assert_string_equal(plan->directory, "/d");
        assert_int_equal(plan->umask, 022);
        assert_int_equal(plan->stdio[0].kind, PLAN_STDIO_FD);
        assert_int_equal(plan->stdio[0].fd, p.fds[1]);
        assert_int_equal(plan->stdio[1].kind, PLAN_STDIO_PATH);
        assert_true(plan->stdio[1].append);
        assert_int_equal(plan->stdio[2].kind, PLAN_STDIO_STDOUT);
        assert_true(plan->change_user);
        assert_int_equal(plan->groups[0], 3);
        assert_int_equal(plan->groups[1], 9);
        assert_int_equal(plan->n_limits, 1);
        assert_int_equal(plan->limits[0].resource, RLIMIT_NOFILE);
        assert_true(plan->limits[0].limit.rlim_max == RLIM64_INFINITY);
        assert_int_equal(plan->nice, -3);
        assert_true(CPU_ISSET_S(65, plan->affinity_size, plan->affinity));
        assert_int_equal(plan->channel, p.fds[1]);
        /* a token must never hold up the child */
        assert_true(fcntl(p.fds[0], F_GETFL) & O_NONBLOCK);
        plan_free(plan);
}

/* Of an entry's plan nothing is executed, and the cgroup was entered before. */
static void test_entry(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        Plan *plan = NULL;
        const char *reason = NULL;

        (void)state;
        packet_of(&p, "{\"stdio\":[null,1,\"stdout\"]}");
        json_object_set_new(p.parameters, "cgroup", json_integer(1));
        assert_int_equal(plan_new(&plan, &p, PLAN_ENTRY, &reason), 0);
        assert_null(plan->argv);
        assert_null(plan->envp[0]);
        assert_int_equal(plan->cgroup, -1);
        assert_int_equal(plan->channel, -1);
        assert_int_equal(plan->stdio[1].fd, p.fds[1]);
        plan_default_descriptors(plan, &(struct rlimit){ .rlim_cur = 7, .rlim_max = 8 });
        assert_int_equal(plan->n_limits, 1);
        assert_int_equal(plan->limits[0].resource, RLIMIT_NOFILE);
        assert_int_equal(plan->limits[0].limit.rlim_cur, 7);
        plan_default_descriptors(plan, &(struct rlimit){ .rlim_cur = 9, .rlim_max = 9 });
        assert_int_equal(plan->n_limits, 1);
        assert_int_equal(plan->limits[0].limit.rlim_cur, 7);
        plan_free(plan);

        json_object_set_new(json_object_get(p.parameters, "plan"), "command",
                            json_pack("[s]", "ls"));
        assert_int_equal(plan_new(&plan, &p, PLAN_ENTRY, &reason), PLAN_E_INVALID);
        assert_string_equal(reason, "a worker of entries cannot execute a command");
}

/* A one-shot host has all else, and its token has been taken. */
static void test_one_shot(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        Plan *plan = NULL;
        const char *reason = NULL;

        (void)state;
        packet_of(&p, "{\"environment\":[\"A=1\"],\"directory\":\"/d\",\"umask\":7,"
                      "\"limits\":\"later\",\"stdio\":\"too\"}");
        json_object_del(p.parameters, "token");
        assert_int_equal(plan_new(&plan, &p, PLAN_ONE_SHOT, &reason), 0);
        assert_string_equal(plan->envp[0], "A=1");
        assert_null(plan->envp[1]);
        assert_string_equal(plan->directory, "/d");
        assert_int_equal(plan->umask, 7);
        assert_int_equal(plan->token, -1);
        assert_int_equal(plan->n_limits, 0);
        plan_free(plan);

        json_object_set_new(json_object_get(p.parameters, "plan"), "environment", json_true());
        assert_int_equal(plan_new(&plan, &p, PLAN_ONE_SHOT, &reason), PLAN_E_INVALID);
        assert_string_equal(reason, "environment is no array of strings");
}

static void test_least(void **state) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;
        Plan *plan = NULL;
        const char *reason = NULL;

        (void)state;
        packet_of(&p, "{\"command\":[\"dir/x\"]}");
        assert_int_equal(plan_new(&plan, &p, PLAN_COMMAND, &reason), 0);
        assert_string_equal(plan->candidates[0], "dir/x");
        assert_null(plan->candidates[1]);
        assert_null(plan->envp[0]);
        assert_int_equal(plan->umask, -1);
        assert_null(plan->directory);
        assert_false(plan->change_user);
        assert_int_equal(plan->stdio[2].kind, PLAN_STDIO_NULL);
        assert_int_equal(plan->cgroup, -1);
        plan_free(plan);
}

static void test_invalid(void **state) {
        static const struct {
                const char *plan, *reason;
        } cases[] = {
                { "1", "plan is no object" },
                { "{}", "command is no array of at least one string" },
                { "{\"command\":[]}", "command is no array of at least one string" },
                { "{\"command\":[1]}", "command is no array of strings" },
                { "{\"command\":[\"a\"],\"environment\":{}}",
                  "environment is no array of strings" },
                { "{\"command\":[\"a\"],\"channel\":2}", "channel is no descriptor of the packet" },
                { "{\"command\":[\"a\"],\"channel\":\"x\"}",
                  "channel is no descriptor of the packet" },
                { "{\"command\":[\"a\"],\"stdio\":[]}", "stdio is no array of three" },
                { "{\"command\":[\"a\"],\"stdio\":[9,null,null]}",
                  "stdio names a descriptor that is not there" },
                { "{\"command\":[\"a\"],\"stdio\":[{},null,null]}",
                  "a path of stdio is no string" },
                { "{\"command\":[\"a\"],\"stdio\":[null,\"stdout\",null]}",
                  "stdio holds neither index, null, path nor \"stdout\" as the third" },
                { "{\"command\":[\"a\"],\"uid\":1}", "uid and gid are not both given as numbers" },
                { "{\"command\":[\"a\"],\"uid\":4294967295,\"gid\":1}",
                  "uid and gid are not both given as numbers" },
                { "{\"command\":[\"a\"],\"uid\":1,\"gid\":1,\"groups\":[-1]}",
                  "groups is no array of numbers" },
                { "{\"command\":[\"a\"],\"limits\":{\"LimitX\":[1,1]}}",
                  "limits has an unknown name" },
                { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":[1]}}",
                  "a limit is no array of soft and hard" },
                { "{\"command\":[\"a\"],\"limits\":{\"LimitCPU\":[-1,1]}}",
                  "a limit is no array of soft and hard" },
                { "{\"command\":[\"a\"],\"affinity\":[]}", "affinity is no array of CPU numbers" },
                { "{\"command\":[\"a\"],\"affinity\":[8192]}",
                  "affinity has no CPU number in 0…8191" },
                { "{\"command\":[\"a\"],\"directory\":\"x\"}", "directory is no absolute path" },
                { "{\"command\":[\"a\"],\"umask\":512}", "umask is no number in 0…0777" },
                { "{\"command\":[\"a\"],\"nice\":20}", "nice is no number in -20…19" },
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                const char *reason = NULL;
                Plan *plan = NULL;

                packet_of(&p, cases[i].plan);
                assert_int_equal(plan_new(&plan, &p, PLAN_COMMAND, &reason), PLAN_E_INVALID);
                assert_null(plan);
                assert_string_equal(reason, cases[i].reason);
        }
}

static void test_names(void **state) {
        ChildReport report;
        char text[2 * sizeof(report.object)];

        (void)state;
        for (int i = 0; i < _CHILD_STAGE_MAX; i++)
                assert_true(strlen(child_stage_to_string((ChildStage)i)) > 0);
        assert_string_equal(plan_limit_name(RLIMIT_STACK), "LimitSTACK");
        assert_null(plan_limit_name(-1));

        /* what is cut short is cut between characters */
        for (size_t shift = 0; shift < 3; shift++) {
                memset(text, 'x', shift);
                for (size_t i = shift; i + 3 < sizeof(text); i += 3)
                        memcpy(text + i, "€", 4);
                child_report_fill(&report, CHILD_STAGE_EXEC, 1, text);
                assert_true(strlen(report.object) > sizeof(report.object) - 4);
                assert_int_equal((strlen(report.object) - shift) % 3, 0);
        }
        child_report_fill(&report, CHILD_STAGE_EXEC, 1, NULL);
        assert_string_equal(report.object, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),    cmocka_unit_test(test_entry),
                cmocka_unit_test(test_one_shot), cmocka_unit_test(test_least),
                cmocka_unit_test(test_invalid),  cmocka_unit_test(test_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
