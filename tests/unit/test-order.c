/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/order.h: from a job to the packets of forkd-server(7). */

#include "order-fixture.h"

static void test_command(void **state) {
        Made m;

        (void)state;
        make(&m, "{'command':['/bin/echo','a b','','\xc3\xa4\\n']}");
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "id")), 17);
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "attempt")), 3);
        assert_int_equal(fd_of(&m, json_object_get(m.parameters, "token")), FD_TOKEN);
        assert_null(json_object_get(m.parameters, "cgroup"));
        check(json_object_get(m.plan, "command"), "['/bin/echo','a b','','\xc3\xa4\\n']");
        check(json_object_get(m.plan, "directory"), "'/'");
        check(json_object_get(m.plan, "umask"), "18");
        check(json_object_get(m.plan, "stdio"), "[null,null,null]");
        /* what was not said is not ordered */
        for (size_t i = 0; i < 7; i++) {
                static const char *const absent[] = { "entry",    "channel", "limits", "nice",
                                                      "affinity", "title",   "uid" };

                if (i < 6 || getuid() == 0)
                        assert_null(json_object_get(m.plan, absent[i]));
        }
        assert_int_equal(m.order.n_fds, 1);
        made_done(&m);
}

static void test_everything_of_a_command(void **state) {
        Made m;

        (void)state;
        make(&m,
             "{'command':['x'],'directory':'/a b','umask':63,'nice':-5,'affinity':[0,2,1023],"
             "'environment':{'A':'1','B':'','LISTEN_FDS':'3','NOTIFY_SOCKET':'/n','FORKD_CHANNEL':'3'},"
             "'limits':{'LimitNOFILE':'10:20','LimitCORE':0,'LimitCPU':'infinity','LimitNPROC':'5:infinity'}}");
        check(json_object_get(m.plan, "directory"), "'/a b'");
        check(json_object_get(m.plan, "umask"), "63");
        check(json_object_get(m.plan, "nice"), "-5");
        check(json_object_get(m.plan, "affinity"), "[0,2,1023]");
        check(json_object_get(m.plan, "environment"), "['A=1','B=']");
        check(json_object_get(m.plan, "limits"),
              "{'LimitNOFILE':[10,20],'LimitCORE':[0,0],'LimitCPU':[null,null],"
              "'LimitNPROC':[5,null]}");
        made_done(&m);
}

static void test_nice_and_umask_of_zero(void **state) {
        Made m;

        (void)state;
        make(&m, "{'command':['x'],'nice':0,'umask':0,'environment':{}}");
        check(json_object_get(m.plan, "nice"), "0");
        check(json_object_get(m.plan, "umask"), "0");
        check(json_object_get(m.plan, "environment"), "[]");
        made_done(&m);
}

/* ---- streams, and which descriptor is which */

static void test_output_files(void **state) {
        Made m;

        (void)state;
        make_job(&m, "{'command':['x'],'stderr':'file'}");
        m.job.outputs[0].fd = FD_OUT;
        m.job.outputs[1].fd = FD_ERR;
        make_order(&m);
        assert_true(json_is_null(json_array_get(json_object_get(m.plan, "stdio"), 0)));
        assert_int_equal(fd_of(&m, json_array_get(json_object_get(m.plan, "stdio"), 1)), FD_OUT);
        assert_int_equal(fd_of(&m, json_array_get(json_object_get(m.plan, "stdio"), 2)), FD_ERR);
        assert_int_equal(m.order.n_fds, 3);
        made_done(&m);
}

static void test_paths(void **state) {
        Made m;

        (void)state;
        make(&m,
             "{'command':['x'],'stdin':{'path':'/in'},'stdout':{'path':'/o\\\"ut','append':true},'stderr':'stdout'}");
        check(json_object_get(m.plan, "stdio"),
              "[{'path':'/in','append':false},{'path':'/o\\\"ut','append':true},'stdout']");
        assert_int_equal(m.order.n_fds, 1);
        made_done(&m);
}

static void test_descriptors(void **state) {
        const json_t *stdio;
        Made m;

        (void)state;
        /* the indexes of the call are not those of the order */
        make_job(
                &m,
                "{'command':['x'],'stdin':{'descriptor':5},'stdout':{'descriptor':2},'stderr':{'descriptor':2}}");
        m.job.attached = true;
        m.job.fds[0] = FD_STDIN;
        m.job.fds[1] = FD_STDOUT;
        m.job.fds[2] = FD_STDERR;
        make_order(&m);
        stdio = json_object_get(m.plan, "stdio");
        assert_int_equal(fd_of(&m, json_array_get(stdio, 0)), FD_STDIN);
        assert_int_equal(fd_of(&m, json_array_get(stdio, 1)), FD_STDOUT);
        assert_int_equal(fd_of(&m, json_array_get(stdio, 2)), FD_STDERR);
        assert_int_equal(fd_of(&m, json_object_get(m.parameters, "token")), FD_TOKEN);
        assert_int_equal(m.order.n_fds, 4);
        made_done(&m);

        make_job(&m, "{'command':['x'],'stdin':'null','stdout':'null','stderr':{'descriptor':0}}");
        m.job.fds[2] = FD_STDERR;
        make_order(&m);
        stdio = json_object_get(m.plan, "stdio");
        assert_true(json_is_null(json_array_get(stdio, 0)));
        assert_true(json_is_null(json_array_get(stdio, 1)));
        assert_int_equal(fd_of(&m, json_array_get(stdio, 2)), FD_STDERR);
        made_done(&m);
}

/* ---- who it runs as */

static void test_owner(void **state) {
        gid_t groups[] = { 5, 4711 };
        Made m;

        (void)state;
        make_job(&m, "{'command':['x']}");
        m.job.owner = (Owner){ .uid = 54321, .gid = 54322, .groups = groups, .n_groups = 2 };
        make_order(&m);
        if (geteuid() == 0) {
                assert_int_equal(integer(m.plan, "uid"), 54321);
                assert_int_equal(integer(m.plan, "gid"), 54322);
                check(json_object_get(m.plan, "groups"), "[5,4711]");
                assert_true(environment_has(m.plan, "HOME=/"));
        } else /* it can become nobody else */
                assert_null(json_object_get(m.plan, "uid"));
        made_done(&m);

        /* a peer without further groups has none, and does not keep forkd's */
        make_job(&m, "{'command':['x']}");
        m.job.owner = (Owner){ .uid = UINT32_MAX - 1, .gid = UINT32_MAX - 1 };
        make_order(&m);
        if (geteuid() == 0) {
                assert_int_equal(integer(m.plan, "uid"), UINT32_MAX - 1);
                check(json_object_get(m.plan, "groups"), "[]");
        }
        made_done(&m);
}

static void test_named_user(void **state) {
        const struct passwd *daemon_user = getpwnam("daemon");
        char home[256];
        Made m;

        (void)state;
        assert_non_null(daemon_user);
        snprintf(home, sizeof(home), "HOME=%s", daemon_user->pw_dir);
        make_job(&m, "{'command':['x'],'user':'daemon'}");
        if (geteuid() == 0) {
                make_order(&m);
                assert_int_equal(integer(m.plan, "uid"), daemon_user->pw_uid);
                assert_int_equal(integer(m.plan, "gid"), daemon_user->pw_gid);
                assert_true(json_array_size(json_object_get(m.plan, "groups")) >= 1);
                assert_true(environment_has(m.plan, home));
                assert_true(environment_has(m.plan, "USER=daemon"));
        }
        made_done(&m);

        /* who has gone since it was accepted */
        make_job(&m, "{'command':['x'],'user':'no-such-user-here'}");
        if (geteuid() == 0)
                assert_int_equal(order_write(&m.order, &m.job, &m.attempt), -ESRCH);
        made_done(&m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_everything_of_a_command),
                cmocka_unit_test(test_nice_and_umask_of_zero),
                cmocka_unit_test(test_output_files),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_owner),
                cmocka_unit_test(test_named_user),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
