/* SPDX-License-Identifier: Apache-2.0 */

/* The world of the fuzzers of forkd: one for an input, so that inputs know nothing of each other;
 * only its folder stays until the fuzzer ends. Processes are a model: pids from PID_FIRST to
 * PID_LAST live and have one another as sessions, no others do. */

#include "world.h"

#include "cgroup.h"
#include "log.h"
#include "named.h"
#include "packet.h"
#include "process-id.h"
#include "server-private.h"
#include "trust.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <utlist.h>

#define PID_FIRST   100
#define PID_LAST    163
#define TURNS_MAX   40 /* of the loop after one line */
#define LINES_MAX   200
#define WAITS_MAX   4
#define WAIT_USEC   3000
#define JOBS_MAX    64 /* of lines; clients may ask for more */
#define FDS_MAX     20 /* attached to one text: more than a packet or message may have */
#define MEMFD_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static World *world; /* the one that is open: what replaces functions knows it by nothing else */
static char root[64];

static void check(bool good, const char *what) {
        if (!good) {
                fprintf(stderr, "the daemon is wrong: %s\n", what);
                abort();
        }
}

/* ---- in place of the real ones */

int __real_packet_pair(int *ret_ours, int *ret_theirs);
int __wrap_packet_pair(int *ret_ours, int *ret_theirs);
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);
int __wrap_kill(pid_t pid, int signal);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *ret, int options);
int __wrap_process_signal(int pidfd, int signal);
int __wrap_process_open(pid_t pid, uint64_t start_time);
int __wrap_process_stat(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session,
                        char *ret_state, uint64_t *ret_start_time);
int __wrap_trust_admit(Attempt *a, pid_t pid, uint64_t start_time, int *ret_pidfd);
int __wrap_cgroup_base_new(CgroupBase **ret, const char *instance, unsigned *ret_ended);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_packet_pair(int *ret_ours, int *ret_theirs) {
        int r = __real_packet_pair(ret_ours, ret_theirs);

        if (r >= 0 && world && world->n_ends < WORLD_ENDS_MAX)
                world->ends[world->n_ends++] = fcntl(*ret_theirs, F_DUPFD_CLOEXEC, 0);
        return r;
}

/* A forkserver is this process: it lives as long as anybody looks. */
int __wrap_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const argv[],
                       char *const envp[]) {
        (void)path;
        (void)actions;
        (void)attributes;
        (void)argv;
        (void)envp;
        *pid = getpid();
        return 0;
}

/* Everybody, our own group and init are nobody's worker, whatever a forkserver says. */
int __wrap_kill(pid_t pid, int signal) {
        check(pid != 0 && pid != -1 && pid != 1, "a signal for everybody");
        check(signal >= 0 && signal <= SIGRTMAX, "a signal that is none");
        return 0;
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *ret, int options) {
        (void)type;
        (void)id;
        *ret = (siginfo_t){ 0 };
        if (options & WNOWAIT) /* it lives */
                return 0;
        ret->si_pid = getpid();
        ret->si_code = CLD_KILLED;
        ret->si_status = SIGKILL;
        return 0;
}

int __wrap_process_signal(int pidfd, int signal) {
        (void)signal;
        return pidfd < 0 ? -EBADF : 0;
}

static bool lives(pid_t pid) {
        return pid >= PID_FIRST && pid <= PID_LAST;
}

int __wrap_process_open(pid_t pid, uint64_t start_time) {
        (void)start_time;
        return lives(pid) ? (int)syscall(SYS_pidfd_open, getpid(), 0) : -ESRCH;
}

int __wrap_process_stat(pid_t pid, pid_t *ret_parent, pid_t *ret_group, pid_t *ret_session,
                        char *ret_state, uint64_t *ret_start_time) {
        if (!lives(pid))
                return -ESRCH;
        if (ret_parent)
                *ret_parent = PID_FIRST;
        if (ret_group)
                *ret_group = pid & ~3;
        if (ret_session)
                *ret_session = pid & ~3;
        if (ret_state)
                *ret_state = 'S';
        if (ret_start_time)
                *ret_start_time = 7;
        return 0;
}

int __wrap_trust_admit(Attempt *a, pid_t pid, uint64_t start_time, int *ret_pidfd) {
        if (pid <= 0 || start_time == 0)
                return TRUST_E_STRANGER;
        if (!lives(pid))
                return TRUST_E_GONE;
        if (pid % 4 == 3 || server_set_find_worker(a->daemon->servers, pid, start_time))
                return TRUST_E_STRANGER;
        *ret_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
        return 0;
}

int __wrap_cgroup_base_new(CgroupBase **ret, const char *instance, unsigned *ret_ended) {
        (void)ret;
        (void)instance;
        (void)ret_ended;
        return CGROUP_E_NO_CGROUP2;
}

int __wrap_fsync(int fd) {
        (void)fd;
        return 0;
}

int __wrap_fdatasync(int fd) {
        (void)fd;
        return 0;
}

/* ---- birth and death */

static void remove_root(void) {
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s", root);
        if (system(command) != 0)
                fprintf(stderr, "%s is left\n", root);
}

static void write_file(const char *name, const char *text) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", root, name);
        file = fopen(path, "we");
        check(file, "no file");
        fputs(text, file);
        fclose(file);
}

static void make_root(void) {
        char path[128];
        sigset_t blocked;

        snprintf(root, sizeof(root), "%s/fuzz-forkd-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        check(mkdtemp(root), "no folder");
        atexit(remove_root);
        snprintf(path, sizeof(path), "%s/config", root);
        check(mkdir(path, 0700) == 0, "no folder");
        snprintf(path, sizeof(path), "%s/config/servers", root);
        check(mkdir(path, 0700) == 0, "no folder");
        write_file("config/forkd.conf", "[Daemon]\nMaxRunning=16\nKeepFinished=50\n");
        write_file("config/servers/spell.conf", "[Server]\nCommand=/bin/true\n[Pool]\nSpare=2\n");
        snprintf(path, sizeof(path), "%s/forkd-spawner", root);
        check(symlink("/bin/true", path) == 0, "no helper");
        snprintf(path, sizeof(path), "%s/forkd-server", root);
        check(symlink("/bin/true", path) == 0, "no helper");
        setenv("FORKD_LIBEXEC_DIR", root, 1);
        unsetenv("NOTIFY_SOCKET");
        log_set_level(getenv("TEST_LOG") ? LOG_DEBUG : LOG_CRIT);

        sigemptyset(&blocked);
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGINT);
        sigaddset(&blocked, SIGHUP);
        sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static unsigned count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        check(d, "no /proc");
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void open_client(World *w, size_t i) {
        int pair[2];

        close_fdp(&w->clients[i]);
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0,
              "no socket");
        w->clients[i] = pair[0];
        (void)service_add_connection(w->daemon->service, pair[1], NULL);
}

void world_open(World *w) {
        DaemonOptions options = { .keeper_fd = -1 };
        char runtime[128], state[128], config[128], ids[128];

        if (!root[0])
                make_root();
        *w = (World){ .n_fds_before = count_fds() };
        for (size_t i = 0; i < WORLD_CLIENTS_MAX; i++)
                w->clients[i] = -1;
        world = w;
        snprintf(runtime, sizeof(runtime), "%s/runtime", root);
        snprintf(state, sizeof(state), "%s/state", root);
        snprintf(config, sizeof(config), "%s/config", root);
        snprintf(ids, sizeof(ids), "%s/state/ids", root);
        (void)unlink(ids); /* they begin at 1 */
        check(paths_new(&options.paths, PATH_MODE_AUTO, runtime, state, config) == 0, "paths");
        check(config_load(&options.config, options.paths->config) == 0, "configuration");
        check(state_dir_open(&options.state, state) == 0, "state directory");
        check(daemon_new(&w->daemon, &options) == 0, "it does not begin");
        check(w->n_ends == 1, "no spawner");
}

/* What an end says, whoever said it: JSON and a sentence. */
static void check_finished(const Job *job) {
        JsonText t = JSON_TEXT_NULL;
        char sentence[512] = "";
        json_t *json;

        if (job->state != JOB_FINISHED)
                return;
        check(job->certificate, "an end without a certificate");
        certificate_sentence(job->certificate, sentence, sizeof(sentence));
        check(sentence[0] != '\0', "an end without a sentence");
        certificate_write(job->certificate, &t, NULL, -1);
        check(json_text_finish(&t) == 0, "a certificate");
        json = json_loads(t.text, JSON_REJECT_DUPLICATES, NULL);
        check(json, "a certificate that is no JSON");
        json_decref(json);
        json_text_done(&t);
}

static void check_told(Daemon *d) {
        JsonText t = JSON_TEXT_NULL;
        Job *job, *next;
        json_t *json;

        HASH_ITER (hh, d->jobs, job, next)
                check_finished(job);
        server_set_write(d->servers, &t, NULL);
        check(json_text_finish(&t) == 0, "what it tells of forkservers");
        json = json_loads(t.text, JSON_REJECT_DUPLICATES, NULL);
        check(json, "forkservers that are no JSON");
        json_decref(json);
        json_text_done(&t);
}

void world_close(World *w) {
        check_told(w->daemon);
        for (size_t i = 0; i < WORLD_CLIENTS_MAX; i++)
                close_fdp(&w->clients[i]);
        (void)state_dir_clear_output(w->daemon->state);
        w->daemon = daemon_free(w->daemon);
        world = NULL;
        for (size_t i = 0; i < w->n_ends; i++)
                close_fdp(&w->ends[i]);
        check(count_fds() == w->n_fds_before, "a descriptor is left");
}

/* ---- what is said */

/* What is there is read, and its descriptors are closed. False at end-of-file. */
static bool drain(int fd) {
        static char bytes[65536];
        char control[CMSG_SPACE(sizeof(int) * 64)];
        ssize_t n;

        do {
                struct iovec iov = { bytes, sizeof(bytes) };
                struct msghdr m = { .msg_iov = &iov,
                                    .msg_iovlen = 1,
                                    .msg_control = control,
                                    .msg_controllen = sizeof(control) };

                n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
                for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&m); h;
                     h = CMSG_NXTHDR(&m, h)) {
                        size_t n_fds = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                        for (size_t i = 0; h->cmsg_type == SCM_RIGHTS && i < n_fds; i++)
                                close_fd(((int *)(void *)CMSG_DATA(h))[i]);
                }
        } while (n > 0);
        return n < 0 && errno == EAGAIN;
}

/* Waits a little for a timer: that of spares. */
static void wait_timer(World *w) {
        if (w->waits++ < WAITS_MAX && sd_event_get_state(w->daemon->event) != SD_EVENT_FINISHED)
                (void)sd_event_run(w->daemon->event, WAIT_USEC);
}

void world_turn(World *w) {
        for (unsigned i = 0; i < TURNS_MAX; i++)
                if (sd_event_get_state(w->daemon->event) == SD_EVENT_FINISHED ||
                    sd_event_run(w->daemon->event, 0) <= 0)
                        break;
        for (size_t i = 0; i < w->n_ends; i++)
                if (w->ends[i] >= 0)
                        (void)drain(w->ends[i]);
}

static int memfd_of(const char *text, size_t length) {
        int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        check(fd >= 0 && write(fd, text, length) == (ssize_t)length, "no memfd");
        (void)fcntl(fd, F_ADD_SEALS, MEMFD_SEALS);
        return fd;
}

/* One of a kind; what a pidfd of a dead process is like is readable. */
static int world_descriptor(char kind) {
        int pair[2];

        switch (kind) {
        case 'l':
                return (int)syscall(SYS_pidfd_open, getpid(), 0);
        case 'd':
                return eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        case 'm':
                return memfd_of("{}", 2);
        case 'p':
                check(pipe2(pair, O_CLOEXEC) == 0, "no pipe");
                close_fd(pair[0]);
                return pair[1];
        case 's':
                check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket");
                close_fd(pair[0]);
                return pair[1];
        case 'n':
                return open("/dev/null", O_RDWR | O_CLOEXEC);
        default:
                return -1;
        }
}

typedef struct Said {
        const char *text;
        size_t length;
        int fds[FDS_MAX + 1];
        size_t n_fds;
        bool quiet; /* the loop is not turned after it */
} Said;

static void said_read(Said *s, const char *line, size_t length) {
        size_t i;

        *s = (Said){ 0 };
        for (i = 0; i < length && line[i] != ' '; i++) {
                int fd = s->n_fds < FDS_MAX ? world_descriptor(line[i]) : -1;

                if (fd >= 0)
                        s->fds[s->n_fds++] = fd;
                s->quiet |= line[i] == '+';
        }
        i += i < length;
        s->text = line + i;
        s->length = length - i;
}

static void said_send(const Said *s, int fd, const char *text, size_t length) {
        char control[CMSG_SPACE(sizeof(int) * (FDS_MAX + 1))] = { 0 };
        struct iovec iov = { (void *)text, length };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (s->n_fds > 0) {
                struct cmsghdr *h;

                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * s->n_fds);
                h = CMSG_FIRSTHDR(&m);
                h->cmsg_level = SOL_SOCKET;
                h->cmsg_type = SCM_RIGHTS;
                h->cmsg_len = CMSG_LEN(sizeof(int) * s->n_fds);
                memcpy(CMSG_DATA(h), s->fds, sizeof(int) * s->n_fds);
        }
        (void)sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_on_channel(Said *s, int fd, bool in_memfd) {
        static const char memfd[] = "{\"memfd\":true}";

        if (fd < 0)
                return;
        if (in_memfd)
                s->fds[s->n_fds++] = memfd_of(s->text, s->length);
        said_send(s, fd, in_memfd ? memfd : s->text, in_memfd ? sizeof(memfd) - 1 : s->length);
}

static void submit(World *w, unsigned which) {
        static const char *const specs[] = {
                "{\"command\":[\"true\"],\"graceUSec\":0}",
                "{\"server\":\"spell\",\"entry\":\"a\",\"graceUSec\":0}",
                "{\"server\":\"spell\",\"entry\":\"b\",\"startMethod\":\"spawn\"}",
                ("{\"server\":\"spell\",\"entry\":\"a\",\"timeoutUSec\":1,"
                 "\"retries\":{\"max\":2,\"on\":[\"exit\",\"signal\",\"timeout\",\"lost\"]}}"),
                "{\"command\":[\"x\"],\"after\":[{\"id\":1,\"on\":\"success\"}]}",
        };
        Peer peer = { .uid = getuid(), .gid = getgid(), .pid = getpid() };
        json_t *json = json_loads(specs[which % ELEMENTSOF(specs)], 0, NULL);
        JobSpecError error = { 0 };
        JobSpec *spec = NULL;
        Job *job;

        if (HASH_COUNT(w->daemon->jobs) < JOBS_MAX) {
                check(job_spec_parse(json, NULL, 0, 0, &spec, &error) == 0, "a job of ours");
                check(job_new(&job, w->daemon, spec, &peer, NULL) == 0, "no job");
                (void)queue_accept(w->daemon->queue, job);
        }
        json_decref(json);
}

static void act_on_job(World *w, char verb, uint64_t id, char argument) {
        Job *job = job_find(w->daemon, id);

        if (!job || job->state == JOB_FINISHED)
                return;
        if (verb == 'c')
                job_stop(job, RESULT_CANCELLED, NULL, NULL);
        else if (!job->running)
                return;
        else if (verb == 'k')
                (void)attempt_signal(job->running, 1 + (argument & 0x3f));
        else if (attempt_freeze(job->running, verb == 'p') >= 0 &&
                 job->state == (verb == 'p' ? JOB_RUNNING : JOB_PAUSED))
                job_set_state(job, verb == 'p' ? JOB_PAUSED : JOB_RUNNING);
}

static void act_on_server(World *w, char verb) {
        NamedServer *n = named_find(w->daemon->named, "spell");
        Server *s;

        DL_FOREACH (w->daemon->servers->servers, s)
                if (s->kind == SERVER_HOST && (verb == 'u' || verb == 'U'))
                        s->uid = geteuid() + (verb == 'u');
        if (!n)
                return;
        if (verb == 'S' || verb == 'A')
                named_stop(n, verb == 'A');
        else if (verb == 'R')
                (void)named_reload(n);
        else if (verb == 'g')
                (void)named_start_again(n);
}

static void act_on_client(World *w, char verb, size_t i, const Said *s) {
        if (verb == 'o' || w->clients[i] < 0)
                open_client(w, i);
        if (verb == 'w' || verb == 'W') {
                _cleanup_(freep) char *text = calloc(1, s->length + 1);

                check(text, "no memory");
                memcpy(text, s->text, s->length);
                if (s->length > 0 || verb == 'W')
                        said_send(s, w->clients[i], text, s->length + (verb == 'W'));
        } else if (verb == 'h')
                (void)shutdown(w->clients[i], SHUT_WR);
        else if (verb == 'X')
                close_fdp(&w->clients[i]);
        else if (verb == 'd')
                (void)drain(w->clients[i]);
}

static unsigned number_of(char c) {
        return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a' + 10) & 0x1f;
}

void world_line(World *w, const char *line, size_t length) {
        unsigned whom;
        Said s;

        if (length < 2)
                return;
        whom = number_of(line[1]);
        said_read(&s, line + 2, length - 2);
        if (strchr("smx", line[0])) {
                int *end = &w->ends[whom % w->n_ends];

                if (line[0] == 'x')
                        close_fdp(end);
                else
                        say_on_channel(&s, *end, line[0] == 'm');
        } else if (line[0] == 'j')
                submit(w, whom);
        else if (strchr("cprk", line[0]))
                act_on_job(w, line[0], whom, length > 2 ? line[2] : 0);
        else if (strchr(WORLD_CLIENT, line[0]))
                act_on_client(w, line[0], whom % WORLD_CLIENTS_MAX, &s);
        else if (line[0] == 'T')
                wait_timer(w);
        else
                act_on_server(w, line[0]);

        for (size_t i = 0; i < s.n_fds; i++)
                close_fd(s.fds[i]);
        if (!s.quiet)
                world_turn(w);
}

void world_lines(World *w, const char *const *lines) {
        for (; *lines; lines++)
                world_line(w, *lines, strlen(*lines));
}

void world_input(World *w, const char *verbs, const uint8_t *data, size_t size) {
        const char *line = (const char *)data, *end = line + size;

        for (unsigned n = 0; line < end && n < LINES_MAX; n++) {
                const char *next = memchr(line, '\n', (size_t)(end - line)) ?: end;

                if (*line != '\0' && strchr(verbs, *line))
                        world_line(w, line, (size_t)(next - line));
                line = next + (next < end);
        }
}
