/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/order.h: from a job to the packets of forkd-server(7). */

#include "order.h"

#include "attempt.h"
#include "daemon.h"
#include "server-private.h"

#include <jansson.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

/* Descriptors that are only numbers here. */
enum {
        FD_TOKEN = 1001,
        FD_STDIN,
        FD_STDOUT,
        FD_STDERR,
        FD_OUT,
        FD_ERR,
        FD_CHANNEL,
        FD_ARGUMENTS,
};

typedef struct Made {
        Daemon daemon;
        Job job;
        Attempt attempt;
        Order order;
        json_t *parameters; /* of the Fork, owned */
        json_t *plan;       /* borrowed from it */
} Made;

/* text is JSON with ' for ". */
static JobSpec *spec_of(const char *text) {
        JobSpecError error = { 0 };
        char *copy = strdup(text);
        JobSpec *spec = NULL;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, 0, NULL);
        if (!json || job_spec_parse(json, NULL, 0, 16, &spec, &error) != 0)
                fail_msg("%s: %s: %s", text, error.field, error.sentence);
        json_decref(json);
        free(copy);
        return spec;
}

static void make_job(Made *m, const char *text) {
        memset(m, 0, sizeof(*m));
        m->order = ORDER_NULL;
        m->job = (Job){
                .daemon = &m->daemon,
                .id = 17,
                .spec = spec_of(text),
                .owner = { .uid = getuid(), .gid = getgid() },
                .fds = { -1, -1, -1 },
                .arguments_fd = -1,
                .outputs = { OUTPUT_NULL, OUTPUT_NULL },
        };
        m->attempt = (Attempt){
                .number = 3, .key_id = 17, .key_number = 3, .token = FD_TOKEN, .channel = -1
        };
}

/* Parses what has been written. */
static void parse_order(Made *m, const char *method) {
        json_error_t error;
        json_t *packet;

        packet = json_loadb(m->order.text.text, m->order.text.length, JSON_REJECT_DUPLICATES,
                            &error);
        if (!packet)
                fail_msg("%s: %s", error.text, m->order.text.text);
        assert_int_equal(json_object_size(packet), 2);
        assert_string_equal(json_string_value(json_object_get(packet, "method")), method);
        m->parameters = json_incref(json_object_get(packet, "parameters"));
        m->plan = json_object_get(m->parameters, "plan");
        assert_true(m->order.n_fds <= ORDER_DESCRIPTORS_MAX);
        json_decref(packet);
}

static void make_order(Made *m) {
        assert_int_equal(order_write(&m->order, &m->job, &m->attempt), 0);
        parse_order(m, "Fork");
        assert_true(json_is_object(m->plan));
}

static void made_done(Made *m) {
        json_decref(m->parameters);
        order_done(&m->order);
        environment_cache_done(&m->daemon.environment);
        job_spec_free(m->job.spec);
}

static void make(Made *m, const char *text) {
        make_job(m, text);
        make_order(m);
}

/* The descriptor that an index means. */
static int fd_of(const Made *m, const json_t *index) {
        assert_true(json_is_integer(index));
        assert_in_range(json_integer_value(index), 0, m->order.n_fds - 1);
        return m->order.fds[json_integer_value(index)];
}

/* value is this JSON, with ' for ". */
static void check(const json_t *value, const char *expected) {
        char *copy = strdup(expected), *text;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        if (!json_equal(json, value))
                fail_msg("%s is not %s", text ? text : "nothing", copy);
        free(text);
        free(copy);
        json_decref(json);
}

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

static json_int_t integer(const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static bool environment_has(const json_t *plan, const char *variable) {
        const json_t *environment = json_object_get(plan, "environment");

        for (size_t i = 0; i < json_array_size(environment); i++)
                if (streq(json_string_value(json_array_get(environment, i)), variable))
                        return true;
        return false;
}

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

static void test_one_shot(void **state) {
        Made m;

        (void)state;
        make_job(&m,
                 "{'startMethod':'spawn','entry':'check','directory':'/a','environment':{'A':'1'},"
                 "'limits':{'LimitNOFILE':5}}");
        make_one_shot(&m, NULL);
        check(json_object_get(m.plan, "environment"),
              "['A=1','FORKD_WORKER=3','FORKD_SERVER=twin']");
        check(json_object_get(m.plan, "directory"), "'/a'");
        check(json_object_get(m.plan, "limits"), "{'LimitNOFILE':[5,5]}");
        check_absent(m.plan, (const char *const[]){ "uid", "title", NULL });
        assert_int_equal(m.order.n_fds, 2);
        made_done(&m);
}

static ServerSettings settings_of(uid_t uid, char **environment, JobLimit *limits, size_t n) {
        return (ServerSettings){ .name = (char *)"spell",
                                 .arguments = (char *)"{\"words\":\"/w\"}",
                                 .environment = environment,
                                 .user = { .uid = uid, .gid = uid },
                                 .limits = limits,
                                 .n_limits = n };
}

static void test_one_shot_of_a_named_forkserver(void **state) {
        char *environment[] = { (char *)"A=server", (char *)"B=server", NULL };
        JobLimit limits[] = { { RLIMIT_NOFILE, 7, 7 }, { RLIMIT_CORE, 1, 2 } };
        ServerSettings settings = settings_of(geteuid(), environment, limits, 2);
        Made m;

        (void)state;
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check',"
                     "'environment':{'A':'job','AB':'x'},'limits':{'LimitNOFILE':5}}");
        make_one_shot(&m, &settings);
        /* what the job says counts */
        check(json_object_get(m.plan, "environment"),
              "['A=job','AB=x','B=server','FORKD_WORKER=3','FORKD_SERVER=spell',"
              "'FORKD_ARGUMENTS={\\\"words\\\":\\\"/w\\\"}']");
        check(json_object_get(m.plan, "limits"), "{'LimitNOFILE':[5,5],'LimitCORE':[1,2]}");
        made_done(&m);

        /* a job that says nothing has what the forkserver's user has, and what the forkserver says
         */
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check'}");
        settings.environment = (char *[]){ (char *)"PATH=/opt", NULL };
        make_one_shot(&m, &settings);
        assert_true(environment_has(m.plan, "PATH=/opt"));
        for (size_t i = 0, n = 0; i < json_array_size(json_object_get(m.plan, "environment"));
             i++) {
                n += strncmp(json_string_value(
                                     json_array_get(json_object_get(m.plan, "environment"), i)),
                             "PATH=", 5) == 0;
                assert_true(n <= 1);
        }
        made_done(&m);
}

/* Whoever may use a forkserver of another user may not choose what its process loads. */
static void test_one_shot_for_a_stranger(void **state) {
        ServerSettings settings = settings_of(54321, NULL, NULL, 0);
        Made m;

        (void)state;
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check',"
                     "'environment':{'LD_PRELOAD':'/home/me/x.so'}}");
        m.job.owner.uid = 54322;
        make_one_shot(&m, &settings);
        assert_false(environment_has(m.plan, "LD_PRELOAD=/home/me/x.so"));
        assert_true(environment_has(m.plan, "HOME=/"));
        assert_true(environment_has(m.plan, "FORKD_WORKER=3"));
        if (geteuid() == 0) {
                assert_int_equal(integer(m.plan, "uid"), 54321);
                check(json_object_get(m.plan, "groups"), "[]");
        }
        made_done(&m);

        /* its own user may, and root */
        make_job(&m, "{'startMethod':'spawn','server':'spell','entry':'check',"
                     "'environment':{'LD_PRELOAD':'/home/me/x.so'}}");
        m.job.owner.uid = 54321;
        make_one_shot(&m, &settings);
        assert_true(environment_has(m.plan, "LD_PRELOAD=/home/me/x.so"));
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
                cmocka_unit_test(test_command),
                cmocka_unit_test(test_everything_of_a_command),
                cmocka_unit_test(test_nice_and_umask_of_zero),
                cmocka_unit_test(test_output_files),
                cmocka_unit_test(test_paths),
                cmocka_unit_test(test_descriptors),
                cmocka_unit_test(test_owner),
                cmocka_unit_test(test_named_user),
                cmocka_unit_test(test_fork_of_a_worker),
                cmocka_unit_test(test_adopt),
                cmocka_unit_test(test_adopt_of_another_user),
                cmocka_unit_test(test_one_shot),
                cmocka_unit_test(test_one_shot_of_a_named_forkserver),
                cmocka_unit_test(test_one_shot_for_a_stranger),
                cmocka_unit_test(test_host),
                cmocka_unit_test(test_call),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_large_limit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
