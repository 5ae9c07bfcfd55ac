/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon inside the test. The fixture belongs to the test; the daemon runs in its process,
 * forkservers and workers are its children. */

#include "daemon-fixture.h"

#include "log.h"
#include "server-private.h"
#include "twin.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATIENCE_SEC 40 /* for a whole test, on a slow machine */
#define KNOWN_MAX    64

/* ' becomes ". */
static char *quote(const char *format, va_list ap) {
        char *text;

        assert_true(vasprintf(&text, format, ap) >= 0);
        for (char *p = text; *p; p++)
                if (*p == '\'')
                        *p = '"';
        return text;
}

/* ---- birth and death */

static size_t list_fds(int *ret, size_t max) {
        DIR *d = opendir("/proc/self/fd");
        struct dirent *e;
        size_t n = 0;

        assert_non_null(d);
        while ((e = readdir(d))) {
                int fd = atoi(e->d_name);

                if (fd <= STDERR_FILENO || fd == dirfd(d))
                        continue;
                assert_true(n < max);
                ret[n++] = fd;
        }
        closedir(d);
        return n;
}

static void write_conf(const DaemonFixture *f, const char *conf) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/config", f->root);
        assert_int_equal(mkdir(path, 0700), 0);
        snprintf(path, sizeof(path), "%s/config/forkd.conf", f->root);
        file = fopen(path, "we");
        assert_non_null(file);
        fprintf(file, "[Daemon]\n%s\n", conf);
        fclose(file);
}

void fixture_start(DaemonFixture *f, const char *conf) {
        DaemonOptions options = { .keeper_fd = -1 };
        char runtime[128], state[128], config[128];
        int known[KNOWN_MAX];
        sigset_t blocked;
        size_t n_fds;

        *f = (DaemonFixture){ .deadline = now_usec(CLOCK_MONOTONIC) + PATIENCE_SEC * USEC_PER_SEC };
        f->n_fds_before = list_fds(known, KNOWN_MAX);
        for (size_t i = 0; i < f->n_fds_before; i++) /* main() closes what a shell has left */
                (void)fcntl(known[i], F_SETFD, FD_CLOEXEC);
        snprintf(f->root, sizeof(f->root), "/tmp/test-daemon-XXXXXX");
        assert_non_null(mkdtemp(f->root));
        assert_int_equal(chmod(f->root, 0711), 0);
        write_conf(f, conf);
        setenv("FORKD_LIBEXEC_DIR", SPAWNER_FOLDER, 1);
        log_set_level(getenv("TEST_LOG") ? LOG_DEBUG : LOG_CRIT); /* what is said is said to clients, too */

        alarm(PATIENCE_SEC + 20); /* as the signals that usually end a test are the daemon's */
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGINT);
        sigaddset(&blocked, SIGHUP);
        sigprocmask(SIG_BLOCK, &blocked, NULL);

        snprintf(runtime, sizeof(runtime), "%s/runtime", f->root);
        snprintf(state, sizeof(state), "%s/state", f->root);
        snprintf(config, sizeof(config), "%s/config", f->root);
        assert_int_equal(paths_new(&options.paths, PATH_MODE_AUTO, runtime, state, config), 0);
        assert_int_equal(config_load(&options.config, options.paths->config), 0);
        assert_int_equal(state_dir_open(&options.state, state), 0);
        n_fds = list_fds(known, KNOWN_MAX);
        if (options.config->modules) {
                assert_int_equal(twin_start(options.config->modules, known, n_fds, &options.twin),
                                 0);
                /* besides the channel: what modules keep stays for good */
                f->n_fds_before += list_fds(known, KNOWN_MAX) - n_fds - 1;
        }
        assert_int_equal(daemon_new(&f->daemon, &options), 0);
}

void fixture_drop_cgroups(DaemonFixture *f) {
        f->daemon->cgroups = cgroup_base_free(f->daemon->cgroups);
}

void fixture_end(DaemonFixture *f) {
        Daemon *d = f->daemon;
        int known[KNOWN_MAX];
        char command[128];
        siginfo_t si;
        Job *job, *next;

        HASH_ITER (hh, d->jobs, job, next) {
                job->spec->grace_usec = 0;
                job_stop(job, RESULT_CANCELLED, NULL, "the test is over");
        }
        fixture_until(f, d->n_attempts == 0);
        named_set_stop(d->named);
        fixture_until(f, named_set_ended(d->named));
        assert_int_equal(d->n_durable_attempts, 0);
        f->daemon = daemon_free(d);

        assert_int_equal(waitid(P_ALL, 0, &si, WEXITED | WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        assert_int_equal(list_fds(known, KNOWN_MAX), f->n_fds_before);
        snprintf(command, sizeof(command), "rm -r %s", f->root);
        assert_int_equal(system(command), 0);
        alarm(0);
}

int fixture_setup(void **state, const char *conf) {
        static DaemonFixture f;

        fixture_start(&f, conf);
        *state = &f;
        return 0;
}

int fixture_teardown(void **state) {
        fixture_end(*state);
        return 0;
}

void fixture_twin(int argc, char **argv) {
        if (argc > 2 && streq(argv[1], "--twin"))
                _exit(twin_main(argv + 3));
}

/* ---- the loop */

void fixture_turn(DaemonFixture *f) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        assert_true(now < f->deadline);
        assert_in_range(sd_event_run(f->daemon->event, f->deadline - now), 1, INT_MAX);
}

void fixture_settle(DaemonFixture *f) {
        while (sd_event_run(f->daemon->event, 0) > 0)
                ;
}

/* ---- jobs */

static Job *new_job(DaemonFixture *f, const char *format, va_list ap) {
        Peer peer = { .uid = getuid(), .gid = getgid(), .pid = getpid() };
        JobSpecError error = { 0 };
        char *text = quote(format, ap);
        json_t *json = json_loads(text, 0, NULL);
        JobSpec *spec = NULL;
        Job *job;

        if (!json || job_spec_parse(json, NULL, 0, 0, &spec, &error) != 0)
                fail_msg("%s: %s: %s", text, error.field, error.sentence);
        assert_int_equal(job_new(&job, f->daemon, spec, &peer, NULL), 0);
        json_decref(json);
        free(text);
        return job;
}

Job *fixture_new_job(DaemonFixture *f, const char *format, ...) {
        va_list ap;
        Job *job;

        va_start(ap, format);
        job = new_job(f, format, ap);
        va_end(ap);
        return job;
}

uint64_t fixture_submit(DaemonFixture *f, const char *format, ...) {
        uint64_t id;
        va_list ap;
        Job *job;

        va_start(ap, format);
        job = new_job(f, format, ap);
        va_end(ap);
        id = job->id;
        assert_int_equal(queue_accept(f->daemon->queue, job), 0);
        return id;
}

Job *fixture_job(DaemonFixture *f, uint64_t id) {
        Job *job = job_find(f->daemon, id);

        assert_non_null(job);
        return job;
}

void fixture_wait_state(DaemonFixture *f, uint64_t id, JobState state) {
        while (fixture_job(f, id)->state != state) {
                if (fixture_job(f, id)->state == JOB_FINISHED) {
                        char sentence[256];

                        certificate_sentence(fixture_job(f, id)->certificate, sentence,
                                             sizeof(sentence));
                        fail_msg("job %d has ended: %s", (int)id, sentence);
                }
                fixture_turn(f);
        }
}

const Certificate *fixture_wait(DaemonFixture *f, uint64_t id) {
        fixture_until(f, fixture_job(f, id)->state == JOB_FINISHED);
        return fixture_job(f, id)->certificate;
}

void fixture_stop(DaemonFixture *f, uint64_t id) {
        Job *job = fixture_job(f, id);

        job->spec->grace_usec = 0;
        job_stop(job, RESULT_CANCELLED, NULL, NULL);
}

char *fixture_output(DaemonFixture *f, uint64_t id, const char *suffix) {
        int fd = output_reopen(state_dir_output_fd(f->daemon->state), id, suffix);
        char *text = calloc(1, 65536);
        size_t n = 0;
        ssize_t k;

        assert_true(fd >= 0);
        while ((k = read(fd, text + n, 65535 - n)) > 0)
                n += (size_t)k;
        close(fd);
        return text;
}

Server *fixture_spawner(DaemonFixture *f) {
        Server *s = f->daemon->servers->servers;

        while (s && s->kind != SERVER_SPAWNER)
                s = s->next;
        assert_non_null(s);
        return s;
}

/* ---- clients */

void client_open(DaemonFixture *f, Client *c) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        *c = (Client){ .fixture = f, .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
        assert_true(c->fd >= 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->daemon->paths->socket);
        assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void client_close(DaemonFixture *f, Client *c) {
        size_t n;

        fixture_settle(f);
        n = service_n_connections(f->daemon->service);
        for (size_t i = 0; i < c->n_fds; i++)
                close(c->fds[i]);
        free(c->text);
        c->fd = close_fd(c->fd);
        fixture_until(f, service_n_connections(f->daemon->service) == n - 1);
}

void client_send(Client *c, const char *method, bool more, const char *format, ...) {
        char *parameters, *text;
        va_list ap;
        int n;

        va_start(ap, format);
        parameters = quote(format, ap);
        va_end(ap);
        n = asprintf(&text, "{\"method\":\"org.forkd.%s\",\"parameters\":%s%s}", method, parameters,
                     more ? ",\"more\":true" : "");
        assert_true(n > 0);
        for (size_t done = 0; done < (size_t)n + 1;) {
                ssize_t k =
                        send(c->fd, text + done, (size_t)n + 1 - done, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (k < 0 && errno == EAGAIN) {
                        fixture_turn(c->fixture); /* nobody else reads it */
                        continue;
                }
                assert_true(k > 0);
                done += (size_t)k;
        }
        free(parameters);
        free(text);
}

void client_open_as(DaemonFixture *f, Client *c, uid_t uid) {
        assert_int_equal(seteuid(uid), 0); /* what the daemon learns is who connects */
        client_open(f, c);
        assert_int_equal(seteuid(0), 0);
}

/* Reads what is there. False when nothing is. */
static bool client_read(Client *c) {
        char control[CMSG_SPACE(sizeof(int) * 4)], bytes[65536];
        struct iovec iov = { bytes, sizeof(bytes) };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        ssize_t n = recvmsg(c->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *h;

        if (n < 0 && errno == EAGAIN)
                return false;
        assert_true(n > 0); /* the daemon does not hang up */
        h = CMSG_FIRSTHDR(&m);
        for (size_t i = 0; h && CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
                assert_true(c->n_fds < ELEMENTSOF(c->fds));
                c->fds[c->n_fds++] = ((int *)(void *)CMSG_DATA(h))[i];
        }
        c->text = realloc(c->text, c->length + (size_t)n);
        assert_non_null(c->text);
        memcpy(c->text + c->length, bytes, (size_t)n);
        c->length += (size_t)n;
        return true;
}

json_t *client_receive(DaemonFixture *f, Client *c) {
        json_error_t error;
        const char *end;
        json_t *reply;
        size_t n;

        while (!(end = c->length > 0 ? memchr(c->text, '\0', c->length) : NULL))
                if (!client_read(c))
                        fixture_turn(f);

        reply = json_loads(c->text, JSON_REJECT_DUPLICATES, &error);
        if (!reply)
                fail_msg("%s: %s", error.text, c->text);
        n = (size_t)(end + 1 - c->text);
        memmove(c->text, end + 1, c->length - n);
        c->length -= n;
        return reply;
}

bool client_has_reply(DaemonFixture *f, Client *c) {
        fixture_settle(f);
        while (client_read(c))
                ;
        return c->length > 0 && memchr(c->text, '\0', c->length);
}

char *client_expect_error(DaemonFixture *f, Client *c, const char *error) {
        json_t *reply = client_receive(f, c);
        const char *name = json_string_value(json_object_get(reply, "error"));
        char *sentence;

        assert_non_null(name);
        assert_string_equal(name + strlen("org."), error);
        sentence = strdup(reply_string(reply, "sentence"));
        assert_true(strlen(sentence) > 0);
        json_decref(reply);
        return sentence;
}

const json_t *reply_member(const json_t *reply, const char *name) {
        return json_object_get(json_object_get(reply, "parameters"), name);
}

json_int_t reply_integer(const json_t *reply, const char *name) {
        const json_t *value = reply_member(reply, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

const char *reply_string(const json_t *reply, const char *name) {
        const json_t *value = reply_member(reply, name);

        assert_true(json_is_string(value));
        return json_string_value(value);
}

bool reply_continues(const json_t *reply) {
        return json_is_true(json_object_get(reply, "continues"));
}
