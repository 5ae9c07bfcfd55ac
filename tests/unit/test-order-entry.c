/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/order.h: orders for entries: to forkservers, spares, one-shot hosts and hosts, and
 * the Call. */

#include "order-fixture.h"

/* ---- entries */

static Server spell(void) {
        return (Server){ .kind = SERVER_HOST,
                         .name = (char *)"spell",
                         .label = (char *)"spell#2",
                         .generation = 2,
                         .uid = geteuid() };
}

static void check_absent(const json_t *object, const char *const *names) {
        for (; *names; names++)
                if (json_object_get(object, *names))
                        fail_msg("%s is there", *names);
}

/* The forkserver gets no plan: it is for the worker alone. */
static void test_fork_of_a_worker(void **state) {
        const Server twin = { .kind = SERVER_TWIN }, named = spell();
        Made m;

        (void)state;
        make_job(&m, "{'entry':'check','environment':{'A':'secret'}}");
        assert_int_equal(order_write_fork(&m.order, &m.attempt, &twin, &m.job, FD_CHANNEL), 0);
        parse_order(&m, "Fork");
        assert_int_equal(fd_of(&m, json_object_get(m.parameters, "channel")), FD_CHANNEL);
        check(json_object_get(m.parameters, "title"), "'forkd: twin job 17 check'");
        check_absent(m.parameters,
                     (const char *const[]){ "plan", "token", "tell", "cgroup", NULL });
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "id")), 17);
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "attempt")), 3);
        assert_null(strstr(m.order.text.text, "secret"));
        assert_int_equal(m.order.n_fds, 1);
        made_done(&m);

        make_job(&m, "{'entry':'check'}");
        m.attempt = (Attempt){
                .kind = ATTEMPT_SPARE, .key_number = 4, .number = 4, .token = -1, .channel = -1
        };
        assert_int_equal(order_write_fork(&m.order, &m.attempt, &named, NULL, FD_CHANNEL), 0);
        parse_order(&m, "Fork");
        check(json_object_get(m.parameters, "title"), "'forkd: spell#2 spare'");
        assert_true(json_is_true(json_object_get(m.parameters, "tell")));
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "id")), 0);
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "attempt")), 4);
        made_done(&m);

        /* an untrusted one does not get a cgroup, and is to tell who the worker is */
        make_job(&m, "{'entry':'check'}");
        m.attempt.untrusted = true;
        m.attempt.cgroup = (Cgroup *)&m; /* not looked at */
        assert_int_equal(order_write_fork(&m.order, &m.attempt, &named, &m.job, FD_CHANNEL), 0);
        parse_order(&m, "Fork");
        assert_true(json_is_true(json_object_get(m.parameters, "tell")));
        check_absent(m.parameters, (const char *const[]){ "cgroup", "plan", "token", NULL });
        assert_int_equal(m.order.n_fds, 1);
        made_done(&m);
}

static void test_adopt(void **state) {
        const Server named = spell();
        Made m;

        (void)state;
        make_job(
                &m,
                "{'entry':'check','arguments':{'text':'x'},'stdout':{'path':'/o'},'umask':63,'nice':3,"
                "'environment':{'A':'1'},'limits':{'LimitNOFILE':5}}");
        m.job.owner.uid = 54321; /* an entry runs as its forkserver all the same */
        m.attempt.key_id = 0;    /* it was a spare: what matters now is the job's name */
        m.attempt.key_number = 99;
        assert_int_equal(order_write_adopt(&m.order, &m.job, &m.attempt, &named), 0);
        parse_order(&m, "Adopt");
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "id")), 17);
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "attempt")), 3);
        assert_int_equal(fd_of(&m, json_object_get(m.parameters, "token")), FD_TOKEN);
        check(json_object_get(m.parameters, "title"), "'forkd: spell#2 job 17 check'");
        check(json_object_get(m.plan, "environment"), "['A=1']");
        check(json_object_get(m.plan, "umask"), "63");
        check(json_object_get(m.plan, "nice"), "3");
        check(json_object_get(m.plan, "stdio"), "[null,{'path':'/o','append':false},null]");
        check(json_object_get(m.plan, "limits"), "{'LimitNOFILE':[5,5]}");
        check_absent(m.plan,
                     (const char *const[]){ "command", "uid", "gid", "groups", "channel", NULL });
        assert_int_equal(m.order.n_fds, 1);
        made_done(&m);
}

/* By default it has the environment of the user that it runs as. */
static void test_adopt_of_another_user(void **state) {
        Server named = spell();
        Made m;

        (void)state;
        named.uid = 54321;
        make_job(&m, "{'entry':'check'}");
        assert_int_equal(order_write_adopt(&m.order, &m.job, &m.attempt, &named), 0);
        parse_order(&m, "Adopt");
        assert_true(environment_has(m.plan, "HOME=/"));
        made_done(&m);
}

/* ---- one-shot hosts */

static char *command_of_one[] = { (char *)"/x/forkd-server", (char *)"spell", NULL };

static void make_one_shot(Made *m, const ServerSettings *settings) {
        assert_int_equal(order_write_one_shot(&m->order, &m->job, &m->attempt, settings,
                                              command_of_one, FD_CHANNEL),
                         0);
        parse_order(m, "Fork");
        check(json_object_get(m->plan, "command"), "['/x/forkd-server','spell']");
        assert_int_equal(fd_of(m, json_object_get(m->plan, "channel")), FD_CHANNEL);
        assert_int_equal(fd_of(m, json_object_get(m->parameters, "token")), FD_TOKEN);
}

static ServerSettings settings_of(uid_t uid, char **environment, JobLimit *limits, size_t n) {
        return (ServerSettings){ .name = (char *)"spell",
                                 .arguments = (char *)"{\"words\":\"/w\"}",
                                 .environment = environment,
                                 .user = { .uid = uid, .gid = uid },
                                 .limits = limits,
                                 .n_limits = n };
}

/* What a preload gets to see is the forkserver's; the job's comes by Adopt. */
static void test_one_shot(void **state) {
        Made m;

        (void)state;
        make_job(&m,
                 "{'startMethod':'spawn','entry':'check','directory':'/a','environment':{'A':'1'},"
                 "'umask':63,'stdout':{'path':'out'},'stderr':{'path':'/err'},"
                 "'limits':{'LimitNOFILE':5}}");
        make_one_shot(&m, NULL);
        assert_false(environment_has(m.plan, "A=1"));
        assert_true(environment_has(m.plan, "FORKD_WORKER=3"));
        assert_true(environment_has(m.plan, "FORKD_SERVER=twin"));
        assert_non_null(strstr(m.order.text.text, "\"PATH="));
        check(json_object_get(m.plan, "directory"), "'/'");
        check(json_object_get(m.plan, "umask"), "18");
        check(json_object_get(m.plan, "stdio"),
              "[null,{'path':'/a/out','append':false},{'path':'/err','append':false}]");
        check(json_object_get(m.plan, "limits"), "{'LimitNOFILE':[5,5]}");
        check_absent(m.plan, (const char *const[]){ "uid", "title", NULL });
        assert_int_equal(m.order.n_fds, 2);
        made_done(&m);
}

static void make_one_shot_adopt(Made *m, const ServerSettings *settings) {
        assert_int_equal(order_write_adopt_one_shot(&m->order, &m->job, &m->attempt, settings), 0);
        parse_order(m, "Adopt");
        assert_int_equal(m->order.n_fds, 0);
        check_absent(m->parameters, (const char *const[]){ "token", NULL });
        check_absent(m->plan, (const char *const[]){ "stdio", "limits", "uid", NULL });
}

static void test_one_shot_adopt(void **state) {
        ServerSettings settings = settings_of(54321, NULL, NULL, 0);
        Made m;

        (void)state;
        make_job(&m, "{'startMethod':'spawn','entry':'check','directory':'/a','umask':63,"
                     "'environment':{'A':'1'},'stdout':{'path':'out'},'limits':{'LimitNOFILE':5}}");
        make_one_shot_adopt(&m, NULL);
        check(json_object_get(m.parameters, "title"), "'forkd: twin job 17 check'");
        check(m.plan, "{'environment':['A=1'],'directory':'/a','umask':63}");
        made_done(&m);

        /* a job that says nothing has what the forkserver's user has */
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check'}");
        settings.environment = (char *[]){ (char *)"A=server", NULL };
        make_one_shot_adopt(&m, &settings);
        check(json_object_get(m.parameters, "title"), "'forkd: spell job 17 check'");
        assert_true(environment_has(m.plan, "HOME=/"));
        assert_false(environment_has(m.plan, "A=server"));
        check(json_object_get(m.plan, "directory"), "'/'");
        made_done(&m);
}

static void test_one_shot_of_a_named_forkserver(void **state) {
        char *environment[] = { (char *)"A=server", (char *)"PATH=/opt", (char *)"FORKD_WORKER=9",
                                NULL };
        JobLimit limits[] = { { RLIMIT_NOFILE, 7, 7 }, { RLIMIT_CORE, 1, 2 } };
        ServerSettings settings = settings_of(54321, environment, limits, 2);
        size_t n = 0;
        Made m;

        (void)state;
        settings.huge_pages = true; /* it shares nothing with anybody */
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check',"
                     "'environment':{'A':'job','LD_PRELOAD':'/home/me/x.so'},"
                     "'limits':{'LimitNOFILE':5}}");
        make_one_shot(&m, &settings);
        assert_true(environment_has(m.plan, "A=server"));
        assert_true(environment_has(m.plan, "HOME=/"));
        assert_true(environment_has(m.plan, "FORKD_WORKER=3"));
        assert_false(environment_has(m.plan, "FORKD_WORKER=9"));
        assert_true(environment_has(m.plan, "FORKD_SERVER=spell"));
        assert_true(environment_has(m.plan, "FORKD_ARGUMENTS={\"words\":\"/w\"}"));
        assert_true(environment_has(m.plan, "PATH=/opt"));
        for (const char *p = m.order.text.text; (p = strstr(p, "\"PATH=")); p++)
                n++;
        assert_int_equal(n, 1);
        assert_null(strstr(m.order.text.text, "A=job"));
        assert_null(strstr(m.order.text.text, "LD_PRELOAD"));
        assert_null(strstr(m.order.text.text, "FORKD_HUGE_PAGES"));
        assert_null(strstr(m.order.text.text, "GLIBC_TUNABLES"));
        check(json_object_get(m.plan, "limits"), "{'LimitNOFILE':[5,5],'LimitCORE':[1,2]}");
        if (geteuid() == 0) {
                assert_int_equal(integer(m.plan, "uid"), 54321);
                check(json_object_get(m.plan, "groups"), "[]");
        }
        made_done(&m);
}

/* ---- hosts */

static void test_host(void **state) {
        Order plan = ORDER_NULL;
        Made m;

        (void)state;
        make_job(&m, "{'command':['x']}");
        m.attempt = (Attempt){ .kind = ATTEMPT_HOST, .key_number = 5, .token = FD_TOKEN };
        json_text_open(&plan.text, NULL, '{');
        json_text_int(&plan.text, "channel", order_add_fd(&plan, FD_CHANNEL));
        json_text_int(&plan.text, "other", order_add_fd(&plan, FD_OUT));
        json_text_close(&plan.text, '}');
        assert_int_equal(json_text_finish(&plan.text), 0);
        assert_int_equal(order_write_host(&m.order, &m.attempt, &plan), 0);
        parse_order(&m, "Fork");
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "id")), 0);
        assert_int_equal(json_integer_value(json_object_get(m.parameters, "attempt")), 5);
        assert_int_equal(fd_of(&m, json_object_get(m.plan, "channel")), FD_CHANNEL);
        assert_int_equal(fd_of(&m, json_object_get(m.plan, "other")), FD_OUT);
        assert_int_equal(fd_of(&m, json_object_get(m.parameters, "token")), FD_TOKEN);
        order_done(&plan);
        made_done(&m);
}

/* ---- the Call */

/* The Call of the job, parsed. */
static json_t *call_of(const Made *m) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        json_t *packet, *parameters;

        assert_int_equal(order_write_call(&t, &m->job), 0);
        packet = json_loadb(t.text, t.length, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(packet);
        assert_string_equal(json_string_value(json_object_get(packet, "method")), "Call");
        parameters = json_incref(json_object_get(packet, "parameters"));
        json_decref(packet);
        return parameters;
}

static void test_call(void **state) {
        json_t *call;
        Made m;

        (void)state;
        make_job(&m, "{'entry':'check','arguments':{'text':'\xc3\xa4\\u0001','n':[1,{}]}}");
        call = call_of(&m);
        check(call, "{'entry':'check','arguments':{'text':'\xc3\xa4\\u0001','n':[1,{}]}}");
        json_decref(call);
        made_done(&m);

        make_job(&m, "{'entry':'check'}");
        call = call_of(&m);
        check(call, "{'entry':'check','arguments':{}}");
        json_decref(call);
        made_done(&m);

        make_job(&m, "{'entry':'check','argumentsDescriptor':1}");
        m.job.arguments_fd = FD_ARGUMENTS; /* the only one that goes with the Call */
        call = call_of(&m);
        check(call, "{'entry':'check','argumentsDescriptor':0}");
        json_decref(call);
        made_done(&m);
}

static void test_deadline(void **state) {
        uint64_t before = now_usec(CLOCK_BOOTTIME);
        json_t *call;
        Made m;

        (void)state;
        make_job(&m, "{'entry':'check','timeoutUSec':1000000}");
        call = call_of(&m);
        assert_in_range(integer(call, "deadlineUSec"), before + 1000000,
                        now_usec(CLOCK_BOOTTIME) + 1000000);
        json_decref(call);
        made_done(&m);

        /* the longest that may be asked for ends after now */
        make_job(&m, "{'entry':'check','timeoutUSec':9223372036854775807}");
        call = call_of(&m);
        assert_true(!json_object_get(call, "deadlineUSec") ||
                    integer(call, "deadlineUSec") > (json_int_t)before);
        json_decref(call);
        made_done(&m);
}

/* Limits are 64 bits wide, and packets carry integers of 63. */
static void test_large_limit(void **state) {
        const json_t *limit;
        Made m;

        (void)state;
        make(&m,
             "{'command':['x'],'limits':{'LimitFSIZE':'9223372036854775807:18446744073709551614'}}");
        limit = json_object_get(json_object_get(m.plan, "limits"), "LimitFSIZE");
        assert_int_equal(json_integer_value(json_array_get(limit, 0)), INT64_MAX);
        /* more than that is as good as none, and not a negative number */
        assert_true(json_is_null(json_array_get(limit, 1)) ||
                    json_integer_value(json_array_get(limit, 1)) > 0);
        made_done(&m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_fork_of_a_worker),
                cmocka_unit_test(test_adopt),
                cmocka_unit_test(test_adopt_of_another_user),
                cmocka_unit_test(test_one_shot),
                cmocka_unit_test(test_one_shot_adopt),
                cmocka_unit_test(test_one_shot_of_a_named_forkserver),
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_call),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_large_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
