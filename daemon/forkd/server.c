/* SPDX-License-Identifier: Apache-2.0 */

/* Forkservers as forkd sees them: owned by the set, which the daemon owns; in forkd. This file has
 * one server's process, channel and packets; server-set.c has which of them are there. */

#include "server.h"

#include "daemon.h"
#include "host-ready.h"
#include "host.h"
#include "log.h"
#include "packet.h"
#include "process-id.h"
#include "server-private.h"
#include "spare.h"
#include "text.h"

#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <utlist.h>

#define COMPLAINTS_MAX 10 /* about one host */
#define STRANGER_USEC                                                                              \
        (10 * USEC_PER_MSEC) /* in that time, the channel of another user's host …               \
                              */
#define STRANGER_TURNS  20   /* … is read so often */
#define STRANGER_BYTES  ((size_t)512 * 1024) /* … and so much at once, as JSON costs time */
#define HOST_PACKETS    4096                 /* of one host, where all that is there is wanted */
#define HOST_PACKET_MAX ((size_t)256 * 1024) /* the largest Ready fits */

extern char **environ;

static const char *const state_names[_SERVER_STATE_MAX] = {
        [SERVER_STARTING] = "starting",
        [SERVER_READY] = "ready",
        [SERVER_FAILED] = "failed",
        [SERVER_RETIRED] = "retired",
};

const char *server_state_to_string(ServerState state) {
        return state_names[state];
}

ServerKind server_kind(const Server *s) {
        return s->kind;
}

const char *server_name(const Server *s) {
        switch (s->kind) {
        case SERVER_TWIN:
                return "twin";
        case SERVER_HOST:
                return s->name;
        default:
                return "spawner";
        }
}

const char *server_label(const Server *s) {
        return s->kind == SERVER_HOST ? s->label : server_name(s);
}

unsigned server_generation(const Server *s) {
        return s->generation;
}

pid_t server_pid(const Server *s) {
        return s->pid;
}

uid_t server_uid(const Server *s) {
        return s->kind == SERVER_HOST ? s->uid : geteuid();
}

bool server_trusted(const Server *s) {
        return server_uid(s) == geteuid();
}

static void server_set_state(Server *s, ServerState state, const char *sentence) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        s->state = state;
        if (!s->daemon->watch || s->kind == SERVER_HOST)
                return;
        server_write(s, &t, NULL);
        watch_event(s->daemon->watch, "server", json_text_finish(&t) < 0 ? NULL : t.text, "%s: %s",
                    server_name(s), sentence);
}

void server_become(Server *s, ServerState state) {
        server_set_state(s, state, "");
}

void server_retire(Server *s) {
        static const char text[] = "{\"method\":\"Retire\",\"parameters\":{}}";

        if (s->state == SERVER_RETIRED)
                return;
        server_set_state(s, SERVER_RETIRED, "told to end when its last worker has");
        (void)server_send(s, text, sizeof(text) - 1, NULL, 0);
}

/* ---- attempts */

void server_add_attempt(Server *s, Attempt *a) {
        a->server = s;
        DL_APPEND(s->attempts, a);
        s->n_attempts++;
        server_watch_answers(s);
}

static Attempt *find_attempt(const Server *s, json_t *parameters) {
        json_int_t id = json_integer_value(json_object_get(parameters, "id"));
        json_int_t number = json_integer_value(json_object_get(parameters, "attempt"));
        Attempt *a;

        /* newest last, and it is mostly the newest or the oldest that is asked for */
        DL_FOREACH (s->attempts, a)
                if (a->key_id == (uint64_t)id && a->key_number == (unsigned)number)
                        return a;
        return NULL;
}

/* ---- what it reports */

/* A host may be anybody's code: what it does wrong is logged a few times. */
static void server_complain(Server *s, const char *format, ...) {
        char sentence[256];
        va_list ap;

        if (s->kind == SERVER_HOST && s->complaints++ >= COMPLAINTS_MAX)
                return;
        va_start(ap, format);
        text_formatv(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        log_about(LOG_WARNING, 0, LOG_SERVER(server_label(s)), "%s: %s", server_label(s), sentence);
}

static void on_ready(Server *s, Packet *p) {
        json_t *usec = json_object_get(p->parameters, "preloadUSec");
        char sentence[128];

        if (s->kind == SERVER_HOST) {
                host_ready(s, p->parameters);
                return;
        }
        json_decref(s->entries);
        s->entries = json_incref(json_object_get(p->parameters, "entries"));
        if (s->preload_usec == 0)
                s->preload_usec = (uint64_t)json_integer_value(usec);
        s->failures = 0;
        snprintf(sentence, sizeof(sentence), "ready with pid %d", s->pid);
        server_set_state(s, SERVER_READY, sentence);
        queue_wake(s->daemon->queue);
}

static void on_refused(Server *s, Packet *p) {
        char reason[sizeof(s->reason)];

        host_refusal_read(p->parameters, reason, sizeof(reason));
        if (s->kind == SERVER_HOST)
                host_refused(s, reason);
        else
                log_about(LOG_ERR, 0,
                          (LogAbout){ .server = server_name(s), .event = LOG_EVENT_SERVER_FAILED },
                          "%s: %s", server_name(s), reason);
}

/* 0: none. As the group of a worker, 1 would be everybody. */
static pid_t reported_pid(const Packet *p) {
        json_int_t pid = json_integer_value(json_object_get(p->parameters, "pid"));

        return pid > 1 && pid <= INT_MAX ? (pid_t)pid : 0;
}

static void on_started(Attempt *a, Packet *p) {
        pid_t pid = reported_pid(p);
        int pidfd;

        if (pid == 0 && !a->untrusted) { /* what one of those names is looked at anyway */
                server_complain(a->server, "ignoring a Started whose pid is none");
                return;
        }
        pidfd = packet_take_fd(p, "pidfd");
        if (pidfd < 0)
                pidfd = -1;
        attempt_started(a, pid,
                        (uint64_t)json_integer_value(json_object_get(p->parameters, "startTime")),
                        pidfd);
}

static void on_exited(Attempt *a, Packet *p) {
        const char *code = json_string_value(json_object_get(p->parameters, "code")) ?: "";
        AttemptEnd end = {
                .pid = a->pid > 0 ? a->pid : reported_pid(p),
                .code = streq(code, "killed")   ? CLD_KILLED
                        : streq(code, "dumped") ? CLD_DUMPED
                                                : CLD_EXITED,
                .status = (int)json_integer_value(json_object_get(p->parameters, "status")),
                .has_usage = true,
                .user_usec =
                        (uint64_t)json_integer_value(json_object_get(p->parameters, "userUSec")),
                .system_usec =
                        (uint64_t)json_integer_value(json_object_get(p->parameters, "systemUSec")),
        };

        attempt_exited(a, &end);
}

static void on_failed(Attempt *a, Packet *p) {
        const char *stage = json_string_value(json_object_get(p->parameters, "stage")) ?: "plan";

        attempt_failed(a, stage, (int)json_integer_value(json_object_get(p->parameters, "errno")),
                       json_string_value(json_object_get(p->parameters, "text")));
}

static const struct {
        const char *method;
        void (*function)(Attempt *a, Packet *p);
} reports[] = {
        { "Started", on_started },
        { "Exited", on_exited },
        { "Failed", on_failed },
};

static void server_dispatch(Server *s, Packet *p) {
        if (streq(p->method, "Ready")) {
                on_ready(s, p);
                return;
        }
        if (streq(p->method, "Refused")) {
                on_refused(s, p);
                return;
        }
        if (streq(p->method, "Running")) {
                s->heard = json_integer_value(json_object_get(p->parameters, "epoch")) == s->epoch;
                return;
        }
        if (!s->heard)
                return; /* from before our time */

        for (size_t i = 0; i < ELEMENTSOF(reports); i++)
                if (streq(reports[i].method, p->method)) {
                        Attempt *a = find_attempt(s, p->parameters);

                        if (!a)
                                server_complain(s,
                                                "ignoring %s of an attempt that it does not have",
                                                reports[i].method);
                        else
                                reports[i].function(a, p);
                        return;
                }
}

static void server_set_priority(Server *s, int priority) {
        if (s->channel_source)
                (void)sd_event_source_set_priority(s->channel_source, priority);
}

/* Handles what is there, at most so much that others get their turn: whoever never stops comes
 * after all others. False when the server is gone. */
bool server_read(Server *s, unsigned max) {
        size_t bytes = 0, bytes_max = server_trusted(s) ? SIZE_MAX : STRANGER_BYTES;

        while (s->channel >= 0 && max-- > 0 && bytes < bytes_max) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                int r = packet_receive_bounded(
                        s->channel, s->kind == SERVER_HOST ? HOST_PACKET_MAX : PACKET_MAX, &p);

                if (r == PACKET_E_AGAIN) {
                        server_set_priority(s, PRIORITY_SERVER);
                        return true;
                }
                bytes += r == 0 ? p.length : PACKET_INLINE_MAX;
                if (r == PACKET_E_INVALID) {
                        server_complain(s, "ignoring a packet that is none");
                        if (s->kind == SERVER_HOST)
                                host_broken(s);
                        continue;
                }
                if (r != 0) {
                        server_gone(s);
                        return false;
                }
                server_dispatch(s, &p);
        }
        if (s->channel < 0)
                return false;
        if (!server_trusted(s))
                server_set_priority(s, PRIORITY_FLOOD);
        return true;
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Server *s = userdata;

        (void)source;
        (void)fd;
        if (events & EPOLLOUT)
                server_flush(s);
        (void)server_read(s, server_trusted(s) ? 64 : 16);
        return 0;
}

/* Its channel's end-of-file may be late: a worker that it has just forked still has a copy. */
void server_look(Server *s) {
        siginfo_t si = { 0 };

        if (s->kind == SERVER_HOST) { /* its spawner tells how it ended, its pidfd that it has */
                struct pollfd p = { .fd = s->host ? s->host->pidfd : -1, .events = POLLIN };
                bool ended = poll(&p, 1, 0) > 0;

                if (server_read(s, HOST_PACKETS) && ended)
                        server_gone(s);
                return;
        }
        if (!server_read(s, UINT32_MAX))
                return;
        if (waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            si.si_pid == 0)
                return;
        /* what it said last came after we read */
        if (server_read(s, UINT32_MAX))
                server_gone(s);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void)source;
        (void)fd;
        (void)events;
        server_look(userdata);
        return 0;
}

/* ---- its process */

static void server_end_text(const siginfo_t *si, char *ret, size_t size) {
        char name[16];

        if (si->si_pid == 0)
                snprintf(ret, size, "it closed its channel");
        else if (si->si_code == CLD_EXITED)
                snprintf(ret, size, "it exited with status %d", si->si_status);
        else
                snprintf(ret, size, "it was killed by %s", signal_name(si->si_status, name));
}

/* It is our child, and with its channel closed it is ending, or no longer worth anything. One that
 * even SIGKILL does not end soon, as in a dead file system, stays behind as it is: waiting would
 * hold all of us up. */
void server_end_process(Server *s) {
        siginfo_t si = { 0 };

        (void)kill(s->pid, SIGKILL);
        for (unsigned i = 0; i < 50; i++) {
                if (waitid(P_PID, (id_t)s->pid, &si, WEXITED | WNOHANG) < 0 || si.si_pid != 0)
                        break;
                usleep(1000);
        }
        close_fdp(&s->pidfd);
        server_end_text(&si, s->reason, sizeof(s->reason));
}

/* Its end: every attempt of it becomes an orphan, and another one is started. */
void server_gone(Server *s) {
        Attempt *a, *next;
        bool retired = s->state == SERVER_RETIRED;

        s->channel_source = sd_event_source_disable_unref(s->channel_source);
        s->pidfd_source = sd_event_source_disable_unref(s->pidfd_source);
        close_fdp(&s->channel);
        server_drop_output(s);

        if (s->kind == SERVER_HOST) {
                spare_end_all(s);
                if (!retired)
                        server_become(s, SERVER_FAILED);
                retired = true; /* its forkserver tells */
        } else
                server_end_process(s);

        if (!retired) {
                log_about(LOG_WARNING, 0,
                          (LogAbout){ .server = server_name(s), .event = LOG_EVENT_SERVER_GONE },
                          "%s with pid %d has gone: %s", server_name(s), s->pid, s->reason);
                server_set_state(s, SERVER_FAILED, s->reason);
        }
        s->heard = false;

        DL_FOREACH_SAFE (s->attempts, a, next) {
                server_move_to_orphans(s, a);
                attempt_orphaned(a);
        }
        if (s->kind == SERVER_HOST)
                host_gone(s);
        else
                server_restart(s);
}

int server_attach_channel(Server *s) {
        int r = sd_event_add_io(s->daemon->event, &s->channel_source, s->channel, EPOLLIN,
                                on_channel, s);

        if (r < 0)
                return r;
        (void)sd_event_source_set_priority(s->channel_source, PRIORITY_SERVER);
        if (!server_trusted(s)) /* whatever it sends, others get their turn */
                (void)sd_event_source_set_ratelimit(s->channel_source, STRANGER_USEC,
                                                    STRANGER_TURNS);
        s->epoch++;
        s->heard = false;
        s->starts++;
        return server_send_hello(s);
}

int server_attach(Server *s, Daemon *daemon) {
        int r;

        s->daemon = daemon;
        s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
        if (s->pidfd < 0)
                return -errno;
        r = sd_event_add_io(daemon->event, &s->pidfd_source, s->pidfd, EPOLLIN, on_pidfd, s);
        if (r < 0)
                return r;
        (void)sd_event_source_set_priority(s->pidfd_source, PRIORITY_SERVER);
        return server_attach_channel(s);
}

static int spawn_attributes(posix_spawnattr_t *attributes) {
        sigset_t none, all;

        sigemptyset(&none);
        sigfillset(&all);
        if (posix_spawnattr_init(attributes) != 0)
                return -ENOMEM;
        (void)posix_spawnattr_setsigmask(attributes, &none);
        (void)posix_spawnattr_setsigdefault(attributes, &all);
        (void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                           POSIX_SPAWN_SETSID);
        return 0;
}

/* Starts its program with the channel as descriptor 3. */
int server_spawn(Server *s) {
        _cleanup_(close_fdp) int ours = -1, theirs = -1;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r;

        r = packet_pair(&ours, &theirs);
        if (r < 0)
                return r;
        if (theirs == 3) { /* dup2() onto itself would leave it CLOEXEC */
                int other = fcntl(theirs, F_DUPFD_CLOEXEC, 4);

                if (other < 0)
                        return -errno;
                close_fd(theirs);
                theirs = other;
        }

        r = spawn_attributes(&attributes);
        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_init(&actions);
        if (r == 0)
                r = -posix_spawn_file_actions_adddup2(&actions, theirs, 3);
        if (r == 0) /* what modules opened in our own process need not be CLOEXEC */
                r = -posix_spawn_file_actions_addclosefrom_np(&actions, 4);
        if (r == 0) {
                setenv("FORKD_CHANNEL", "3", 1);
                r = -posix_spawn(&s->pid, s->argv[0], &actions, &attributes, s->argv, environ);
                unsetenv("FORKD_CHANNEL");
        }
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (r < 0)
                return r;

        /* jobs get what we were started with, not what we raised ours to; no order has gone out yet
         */
        if (s->daemon->descriptors.rlim_max > 0)
                (void)prlimit(s->pid, RLIMIT_NOFILE, &s->daemon->descriptors, NULL);
        s->channel = steal_fd(&ours);
        s->state = SERVER_STARTING;
        return 0;
}

Server *server_free(Server *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->channel_source);
        sd_event_source_disable_unref(s->pidfd_source);
        sd_event_source_disable_unref(s->restart_timer);
        sd_event_source_disable_unref(s->answer_timer);
        close_fd(s->channel);
        close_fd(s->pidfd);
        server_drop_output(s);
        sd_event_source_disable_unref(s->host_timer);
        sd_event_source_disable_unref(s->spare_timer);
        strings_free(s->argv);
        free(s->name);
        free(s->label);
        host_log_free(s->log);
        json_decref(s->early_ready);
        json_decref(s->entries);
        free(s);
        return NULL;
}

void server_write(const Server *s, JsonText *t, const char *key) {
        size_t i;
        json_t *entry;

        json_text_open(t, key, '{');
        json_text_string(t, "name", server_name(s));
        json_text_string(t, "startMethod", s->kind == SERVER_TWIN ? "fork" : "spawn");
        json_text_string(t, "state", server_state_to_string(s->state));
        if (s->channel >= 0)
                json_text_int(t, "pid", s->pid);
        json_text_int(t, "workers", (int64_t)s->n_attempts);
        json_text_int(t, "starts", s->starts);
        if (s->kind == SERVER_TWIN) {
                json_text_int(t, "preloadUSec", (int64_t)s->preload_usec);
                json_text_open(t, "entries", '[');
                json_array_foreach (s->entries, i, entry)
                        json_text_string(t, NULL,
                                         json_string_value(json_object_get(entry, "name")));
                json_text_close(t, ']');
        }
        if (s->state == SERVER_FAILED)
                json_text_string(t, "reason", s->reason);
        json_text_close(t, '}');
}
