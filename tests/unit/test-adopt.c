/* SPDX-License-Identifier: Apache-2.0 */

/* From the fork of a worker of entries to its job: how it waits, how it is adopted, and what can
 * fail on the way. */

#include "worker-fixture.h"

#include "process-id.h"

#include <malloc.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* Each step of the job's part that can fail says which it was. */
static void test_adoption_fails(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        const struct {
                json_t *plan;
                const char *stage;
                int error;
                const char *text;
        } cases[] = {
                { plan_with("limits", json_pack("{s[i,i]}", "LimitFSIZE", 5, 4)), "limits", EINVAL,
                  "LimitFSIZE" },
                { plan_with("affinity", json_pack("[i]", 8000)), "limits", EINVAL, "affinity" },
                { plan_with("directory", json_string("/no/such/directory")), "directory", ENOENT,
                  "/no/such/directory" },
                { plan_with("stdio", json_pack("[{ss},n,n]", "path", "/no/in")), "stdin", ENOENT,
                  "/no/in" },
                { plan_with("stdio", json_pack("[n,{ss},n]", "path", "/no/out")), "stdout", ENOENT,
                  "/no/out" },
                { plan_with("stdio", json_pack("[n,n,{ss}]", "path", "/no/err")), "stderr", ENOENT,
                  "/no/err" },
                { plan_with("directory", json_string("x")), "plan", EINVAL,
                  "directory is no absolute path" },
                { plan_with("command", json_pack("[s]", "true")), "plan", EINVAL,
                  "a worker of entries cannot execute a command" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int channel;

                entry_order(f, cases[i].plan, &channel);
                worker_assert_failed(f, channel, cases[i].stage, cases[i].error, cases[i].text);
        }
}

/* From now on malloc() has to ask the kernel for anything large. */
static void leave_no_room(void) {
        struct mallinfo2 before, after;

        assert_int_equal(mallopt(M_TOP_PAD, 0), 1);
        assert_int_equal(mallopt(M_MMAP_THRESHOLD, 1024), 1);
        for (size_t size = 1 << 20; size >= 1024; size /= 2)
                do { /* what it has is taken, so that nobody gets it */
                        before = mallinfo2();
                        assert_non_null(malloc(size));
                        after = mallinfo2();
                } while (after.hblks == before.hblks);
}

/* The limit comes first, and then there is no memory left to say what failed after it. */
static void test_adoption_fails_without_memory(void **state) {
        char path[901] = "/";
        json_t *plan;
        int channel;
        Fixture f;

#ifdef __SANITIZE_ADDRESS__
        skip(); /* it needs memory of its own */
#endif
        leave_no_room();
        fixture_start(&f, "twin", ((WorkerState *)*state)->modules);
        memset(path + 1, 1, 899); /* long to write in JSON */
        for (size_t i = 100; i < 899; i += 100)
                path[i] = '/';
        plan = plan_with("limits", json_pack("{s[i,i]}", "LimitAS", 4096, 4096));
        json_object_set_new(plan, "directory", json_string(path));
        entry_order(&f, plan, &channel);
        worker_assert_failed(&f, channel, "directory", ENOENT, path);
        assert_int_equal(fixture_end(&f), 0);
}

static void test_adoption_user(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        json_t *plan = plan_with("uid", json_integer(12345)), *value;
        Answer a;

        json_object_set_new(plan, "gid", json_integer(12345));
        if (getuid() != 0) {
                int channel;

                entry_order(f, plan, &channel);
                worker_assert_failed(f, channel, "user", EPERM, "");
                return;
        }
        entry_run(state, plan, "process", json_object(), &a);
        value = answer_value(&a);
        assert_non_null(strstr(json_string_value(json_object_get(value, "status")),
                               "Uid:\t12345\t12345\t12345\t12345\n"));
        json_decref(value);
        answer_assert_end(&a, "exited", 0);
}

static void test_token(void **state) {
        WorkerOrder order = { .id = 17, .plan = plan_of_entry(), .token_taken = true };
        Fixture *f = &((WorkerState *)*state)->fixture;
        Answer a = { 0 };
        uint64_t value;
        int channel, token;

        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        worker_assert_failed(f, channel, "token", EAGAIN, "");

        /* who runs has taken it */
        order = (WorkerOrder){ .id = 17, .plan = plan_of_entry() };
        channel = fixture_fork(f, &order);
        token = channel_adopt(channel, &order);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        answer_assert_value(&a, "{}");
        assert_int_equal(read(token, &value, sizeof(value)), -1);
        assert_int_equal(errno, EAGAIN);
        close(token);

        /* none at all */
        channel = fixture_fork(f, &(WorkerOrder){ .id = 17 });
        channel_send(channel, "Adopt",
                     json_pack("{sI,si,so}", "id", (json_int_t)17, "attempt", 1, "plan",
                               plan_of_entry()));
        worker_assert_failed(f, channel, "plan", EINVAL, "token is no descriptor of the packet");
}

static void test_call_before_adopt(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        int channel = fixture_fork(f, &(WorkerOrder){ .id = 17 });

        channel_send(channel, "Dance", json_object()); /* of a later version */
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        worker_assert_failed(f, channel, "plan", EINVAL, "Call has come before Adopt");
}

static void assert_started(Fixture *f, uint64_t id, pid_t *ret_pid, int *ret_pidfd) {
        _cleanup_(packet_done) Packet p = PACKET_NULL;

        do {
                packet_done(&p);
                fixture_receive(f, &p);
        } while (streq(p.method, "Ready"));
        assert_string_equal(p.method, "Started");
        assert_int_equal(json_integer_value(json_object_get(p.parameters, "id")), id);
        *ret_pid = (pid_t)json_integer_value(json_object_get(p.parameters, "pid"));
        *ret_pidfd = packet_take_fd(&p, "pidfd");
        assert_true(*ret_pidfd >= 0);
}

static void read_status(pid_t pid, char *text, size_t size) {
        char path[64];
        ssize_t n;
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        n = read(fd, text, size - 1);
        assert_true(n > 0);
        text[n] = '\0';
        close(fd);
}

/* Forked ahead of need, it waits, and is then a worker like any other. */
static void test_spare(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        WorkerOrder order = { .id = 0, .tell = true, .title = "forkd: spell#2 spare" };
        int channel = fixture_fork(f, &order), pidfd;
        Answer a = { 0 };
        json_t *value;
        pid_t pid;

        assert_started(f, 0, &pid, &pidfd);
        close(pidfd);
        order.id = 17;
        order.plan = plan_of_entry();
        close(channel_adopt(channel, &order));
        channel_send(channel, "Call", json_pack("{ss}", "entry", "process"));
        entry_receive(channel, &a);
        value = answer_value(&a);
        assert_non_null(strstr(json_string_value(json_object_get(value, "status")),
                               "Name:\tforkd: twin job\n"));
        json_decref(value);
        packet_done(&a.packet);
        close(channel);
        /* its forkserver knows it as what it was born as */
        fixture_outcome(f, 0, &a.outcome);
        assert_int_equal(a.outcome.pid, pid);
        outcome_assert_exited(&a.outcome, 0);
        fixture_acknowledge(f, 0);
}

/* How it waits: with nothing but its channel, all signals at their default, and its title. */
static void test_spare_waits(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        WorkerOrder order = { .id = 0, .tell = true, .title = "forkd: spare 1" };
        int channel = fixture_fork(f, &order), pidfd, small = 1;
        char status[8192];
        Outcome o;
        pid_t pid;

        assert_started(f, 0, &pid, &pidfd);
        /* what it ignores does not fit into the channel unless it reads */
        assert_int_equal(setsockopt(channel, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
        for (int i = 0; i < 100; i++)
                channel_send(channel, "Dance", json_object());
        read_status(pid, status, sizeof(status));
        assert_non_null(strstr(status, "Name:\tforkd: spare 1\n"));
        assert_non_null(strstr(status, "SigBlk:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigIgn:\t0000000000000000\n"));
        assert_non_null(strstr(status, "SigCgt:\t0000000000000000\n"));
        assert_int_equal(process_signal(pidfd, SIGTERM), 0);
        close(pidfd);
        fixture_outcome(f, 0, &o);
        assert_string_equal(o.code, "killed");
        assert_int_equal(o.status, SIGTERM);
        fixture_acknowledge(f, 0);
        close(channel);
}

/* End-of-file before it had a job is no failure; garbage is one. */
static void test_spare_ends(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        Outcome o;
        int channel;

        close(fixture_fork(f, &(WorkerOrder){ .id = 0 }));
        fixture_outcome(f, 0, &o);
        outcome_assert_exited(&o, 0);
        fixture_acknowledge(f, 0);

        /* as told, its start comes first, however soon it ends */
        for (int i = 0; i < 20; i++) {
                close(fixture_fork(f, &(WorkerOrder){ .id = 0, .tell = true }));
                fixture_outcome(f, 0, &o);
                assert_true(o.started);
                fixture_acknowledge(f, 0);
        }

        channel = fixture_fork(f, &(WorkerOrder){ .id = 0 });
        assert_int_equal(send(channel, "{]", 2, 0), 2);
        fixture_outcome(f, 0, &o);
        outcome_assert_exited(&o, 1);
        fixture_acknowledge(f, 0);
        close(channel);
}

static void assert_refused(Fixture *f, json_t *parameters, const int *fds, size_t n_fds,
                           const char *reason) {
        Outcome o;

        fixture_send(f, "Fork", parameters, fds, n_fds);
        fixture_outcome(f, 17, &o);
        outcome_assert_failed(&o, "plan", EINVAL, reason);
}

static void test_bad_orders(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        int file = open("/dev/null", O_RDONLY | O_CLOEXEC), stream[2], channel;
        Answer a = { 0 };

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
        assert_refused(f, json_pack("{si,si}", "id", 17, "attempt", 1), NULL, 0,
                       "channel is no descriptor of the packet");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 1), &file, 1,
                       "channel is no descriptor of the packet");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 0), &file, 1,
                       "channel is no socket of type SOCK_SEQPACKET");
        assert_refused(f, json_pack("{si,si,si}", "id", 17, "attempt", 1, "channel", 0), stream, 1,
                       "channel is no socket of type SOCK_SEQPACKET");
        assert_refused(
                f, json_pack("{si,si,si,s{}}", "id", 17, "attempt", 1, "channel", 0, "plan"),
                stream, 1,
                "this forkserver forks workers of its entries: a plan goes to them, by Adopt");
        close(stream[0]);
        close(stream[1]);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, stream), 0);
        assert_refused(
                f, json_pack("{si,si,si,si}", "id", 17, "attempt", 1, "channel", 0, "cgroup", 5),
                stream, 1, "cgroup is no descriptor of the packet");
        close(stream[0]);
        close(stream[1]);
        close(file);
        entry_order(f, plan_of_entry(), &channel);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "echo"));
        entry_receive(channel, &a);
        entry_finish(f, channel, &a);
        answer_assert_value(&a, "{}");
}

/* The cgroup is entered by the worker itself, as fork() cannot. */
static void test_cgroup_refused(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        int cgroup = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int channel = fixture_fork(f, &(WorkerOrder){ .id = 17, .cgroup = cgroup });

        close(cgroup);
        worker_assert_failed(f, channel, "cgroup", ENOENT, "");
}

static void test_cgroup(void **state) {
        Fixture *f = &((WorkerState *)*state)->fixture;
        _cleanup_(freep) char *path = NULL;
        char name[64];
        WorkerOrder order = { .id = 17, .plan = plan_of_entry(), .cgroup = make_cgroup(&path) };
        json_t *value;
        Answer a = { 0 };
        int channel;

        if (order.cgroup < 0)
                skip();
        channel = fixture_fork(f, &order);
        close(channel_adopt(channel, &order));
        close(order.cgroup);
        channel_send(channel, "Call", json_pack("{ss}", "entry", "process"));
        entry_receive(channel, &a);
        value = answer_value(&a);
        entry_finish(f, channel, &a);
        assert_int_equal(rmdir(path), 0);
        snprintf(name, sizeof(name), "/forkd-test-%d\n", (int)getpid());
        assert_non_null(strstr(json_string_value(json_object_get(value, "cgroup")), name));
        json_decref(value);
        answer_assert_end(&a, "exited", 0);
}

/* A forkserver that was retired ends with its last attempt, also when that one has never had a job.
 */
static void test_retire(void **state) {
        int channel, status;
        Outcome o;
        Fixture f;

        fixture_start(&f, "twin", ((WorkerState *)*state)->modules);
        assert_int_equal(kill(f.pid, SIGSTOP), 0); /* so that it finds both at once */
        channel = fixture_fork(&f, &(WorkerOrder){ .id = 17 });
        close(channel);
        fixture_send(&f, "Retire", json_object(), NULL, 0);
        assert_int_equal(kill(f.pid, SIGCONT), 0);
        fixture_outcome(&f, 17, &o);
        outcome_assert_exited(&o, 0);
        fixture_acknowledge(&f, 17);
        assert_int_equal(waitpid(f.pid, &status, 0), f.pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        close(f.channel);
        assert_int_equal(count_fds(), f.n_fds);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, worker_setup, worker_teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_adoption_fails),
                WITH_SERVER(test_adoption_user),
                WITH_SERVER(test_token),
                WITH_SERVER(test_call_before_adopt),
                WITH_SERVER(test_spare),
                WITH_SERVER(test_spare_waits),
                WITH_SERVER(test_spare_ends),
                WITH_SERVER(test_bad_orders),
                WITH_SERVER(test_cgroup_refused),
                WITH_SERVER(test_cgroup),
                cmocka_unit_test(test_retire),
                cmocka_unit_test(
                        test_adoption_fails_without_memory), /* the last: malloc() stays so */
        };

        return cmocka_run_group_tests(tests, worker_setup_group, worker_teardown_group);
}
