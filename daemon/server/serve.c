/* SPDX-License-Identifier: Apache-2.0 */

/* The loop of a forkserver: orders come in on the channel, ends by one pidfd each. The Server owns
 * the attempts, the outbox and the epoll descriptor, and lives as long as serve() runs. It never
 * waits for forkd. It waits for a command's child until the exec, and for nothing else of what a
 * job does. A worker of entries leaves the loop at once; the Server that it has a copy of is left
 * alone. */

#include "serve.h"

#include "descriptor-limit.h"

#include "forked.h"
#include "outbox.h"
#include "report.h"
#include "worker.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utlist.h>

#define STARTED_WITHIN_USEC (2 * USEC_PER_MSEC)
#define ORDERS_A_TURN       32 /* then ends get their turn */
#define EVENTS_A_TURN       64
#define DESCRIPTORS_SPARE   32 /* for the next packets, and for what we have open ourselves */

typedef struct Server {
        const ServeOptions *options;
        int epoll;
        uint32_t interest; /* EPOLLIN, EPOLLOUT of the channel */
        Launcher *launcher;
        Outbox *outbox;
        TitleArea *title;
        Forked *attempts;  /* table */
        Forked *unstarted; /* list: Started is due */
        bool reset_oom_score;
        struct rlimit descriptors; /* RLIMIT_NOFILE as we were started with: that of workers */
        bool retired;
        bool is_worker;     /* we are a worker by now */
        char *worker_title; /* its first: the kernel reads it there from now on */
} Server;

enum {
        SERVER_E_DONE = 1, /* the channel is closed, or Retire is done */
        SERVER_E_WORKER,   /* we are a newborn worker */
};

/* The log may be a pipe that nobody empties. What poll() has room for in one is at least PIPE_BUF,
 * so that a line is written whole, or not at all. */
static void _printf_(2, 3) server_log(const Server *s, const char *format, ...) {
        struct pollfd p = { .fd = s->options->log_fd, .events = POLLOUT };
        char text[512], line[600];
        va_list ap;
        int n;

        if (s->options->log_fd < 0)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        n = snprintf(line, sizeof(line), "%.64s: %s\n", s->options->name, text);
        if (poll(&p, 1, 0) == 1 && p.revents == POLLOUT)
                (void)!write(s->options->log_fd, line, (size_t)n);
}

/* A forkserver of entries, or the spawner. */
static bool server_has_entries(const Server *s) {
        return s->options->modules || s->options->program;
}

static int server_send(Server *s, const char *method, json_t *parameters, int fd) {
        int r = outbox_send(s->outbox, method, parameters, fd);

        return r == OUTBOX_E_CLOSED ? SERVER_E_DONE : r;
}

/* ---- what is told to forkd */

static int server_send_ready(Server *s) {
        json_t *parameters;
        int r = report_ready(s->options, &parameters);

        return r < 0 ? r : server_send(s, "Ready", parameters, -1);
}

static int server_send_started(Server *s, Forked *a) {
        return server_send(s, "Started", report_started(a), a->child.pidfd);
}

static int server_send_exited(Server *s, const Forked *a) {
        return server_send(s, "Exited", report_exited(a), -1);
}

static int server_send_failed(Server *s, const ForkedKey *key, const ChildReport *failure) {
        return server_send(s, "Failed", report_failed(key, failure), -1);
}

/* ---- attempts */

static void server_unlink_unstarted(Server *s, Forked *a) {
        if (a->started_due == 0)
                return;
        DL_DELETE(s->unstarted, a);
        a->started_due = 0;
}

static void server_drop(Server *s, Forked *a) {
        server_unlink_unstarted(s, a);
        forked_free(a, &s->attempts);
}

static int server_watch(Server *s, const ForkedKey *key, Launched *launched, bool tell) {
        struct epoll_event event = { .events = EPOLLIN };
        Forked *a;
        int r;

        r = forked_new(&a, &s->attempts, key, launched);
        if (r < 0)
                return r;
        event.data.ptr = a;
        if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, launched->pidfd, &event) < 0)
                return -errno;
        if (tell)
                return server_send_started(s, a);
        a->started_due = now_usec(CLOCK_MONOTONIC) + STARTED_WITHIN_USEC;
        DL_APPEND(s->unstarted, a);
        return 0;
}

/* ---- orders */

static bool read_key(const Packet *packet, ForkedKey *ret) {
        const json_t *id = json_object_get(packet->parameters, "id");
        const json_t *attempt = json_object_get(packet->parameters, "attempt");

        if (!json_is_integer(id) || !json_is_integer(attempt))
                return false;
        *ret = (ForkedKey){ .id = (uint64_t)json_integer_value(id),
                            .attempt = (uint64_t)json_integer_value(attempt) };
        return true;
}

static int server_refuse(Server *s, const ForkedKey *key, ChildStage stage, int error,
                         const char *reason) {
        ChildReport failure;

        child_report_fill(&failure, stage, error, reason);
        return server_send_failed(s, key, &failure);
}

/* Each attempt holds a pidfd, and a packet that comes when no number is left loses its descriptors,
 * which would be the end of us. */
static bool server_is_full(const Server *s) {
        return HASH_COUNT(s->attempts) + outbox_length(s->outbox) + DESCRIPTORS_SPARE >=
               s->descriptors.rlim_max;
}

static int server_refuse_plan(Server *s, const ForkedKey *key, const char *reason) {
        return server_refuse(s, key, CHILD_STAGE_PLAN, EINVAL, reason);
}

static int server_fork_command(Server *s, const ForkedKey *key, Packet *packet) {
        _cleanup_(plan_freep) Plan *plan = NULL;
        bool tell = json_is_true(json_object_get(packet->parameters, "tell"));
        Launched launched = LAUNCHED_NULL;
        const char *reason = NULL;
        ChildReport failure;
        int r;

        r = plan_new(&plan, packet, PLAN_COMMAND, &reason);
        if (r == PLAN_E_INVALID)
                return server_refuse_plan(s, key, reason);
        if (r < 0)
                return r;
        plan->reset_oom_score = s->reset_oom_score;
        plan_default_descriptors(plan, &s->descriptors);
        r = launch_command(s->launcher, plan, &launched, &failure);
        if (r == LAUNCH_E_FAILED)
                return server_send_failed(s, key, &failure);
        return server_watch(s, key, &launched, tell);
}

/* NULL, or what is wrong. */
static const char *birth_read(ChildBirth *ret, const ModuleSet *modules, const Packet *packet) {
        const json_t *cgroup = json_object_get(packet->parameters, "cgroup");
        socklen_t size = sizeof(int);
        int type = 0;

        *ret = (ChildBirth){ .cgroup = -1 };
        if (json_object_get(packet->parameters, "plan"))
                return "this forkserver forks workers of its entries: a plan goes to them, by Adopt";
        ret->channel = packet_fd(packet, json_object_get(packet->parameters, "channel"));
        if (ret->channel < 0)
                return "channel is no descriptor of the packet";
        if (getsockopt(ret->channel, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
            type != SOCK_SEQPACKET)
                return "channel is no socket of type SOCK_SEQPACKET";
        if (cgroup && !json_is_null(cgroup)) {
                ret->cgroup = packet_fd(packet, cgroup);
                if (ret->cgroup < 0)
                        return "cgroup is no descriptor of the packet";
        }
        if (modules)
                ret->keep = modules_kept_fds(modules, &ret->n_keep);
        return NULL;
}

/* In the newborn: all descriptors of the packet have been closed, and their numbers may be others
 * by now. */
static int server_become_worker(Server *s, const ChildBirth *birth, const ChildReport *report,
                                Packet *packet) {
        const char *title = json_string_value(json_object_get(packet->parameters, "title"));

        s->is_worker = true;
        packet->n_fds = 0;
        if (report->stage != CHILD_STAGE_NONE)
                worker_fail(birth->channel, report);
        if (title && (s->worker_title = strdup(title)))
                title_set(s->title, s->worker_title);
        return SERVER_E_WORKER;
}

static int server_fork_worker(Server *s, const ForkedKey *key, Packet *packet) {
        bool tell = json_is_true(json_object_get(packet->parameters, "tell"));
        Launched launched = LAUNCHED_NULL;
        ChildReport failure;
        const char *reason;
        ChildBirth birth;
        int r;

        reason = birth_read(&birth, s->options->modules, packet);
        if (reason)
                return server_refuse_plan(s, key, reason);
        r = launch_worker(&birth, &launched, &failure);
        if (r == LAUNCH_E_CHILD)
                return server_become_worker(s, &birth, &failure, packet);
        if (r == LAUNCH_E_FAILED)
                return server_send_failed(s, key, &failure);
        return server_watch(s, key, &launched, tell);
}

static int on_order_fork(Server *s, Packet *packet) {
        ForkedKey key;

        if (!read_key(packet, &key)) {
                server_log(s, "an order to fork has no id or no attempt, ignoring it");
                return 0;
        }
        if (forked_find(s->attempts, &key)) {
                server_log(s, "attempt %llu of job %llu was ordered twice, ignoring the second",
                           (unsigned long long)key.attempt, (unsigned long long)key.id);
                return 0;
        }
        if (s->retired)
                return server_refuse(s, &key, CHILD_STAGE_FORK, ESHUTDOWN,
                                     "the forkserver has been retired");
        if (server_is_full(s))
                return server_refuse(s, &key, CHILD_STAGE_FORK, EMFILE,
                                     "the forkserver's limit of descriptors");
        return server_has_entries(s) ? server_fork_worker(s, &key, packet)
                                     : server_fork_command(s, &key, packet);
}

static int on_order_acknowledge(Server *s, Packet *packet) {
        ForkedKey key;
        Forked *a;

        if (!read_key(packet, &key))
                return 0;
        a = forked_find(s->attempts, &key);
        if (!a || !a->ended)
                return 0;
        forked_reap(a);
        server_drop(s, a);
        return 0;
}

static int on_order_hello(Server *s, Packet *packet) {
        json_t *epoch = json_object_get(packet->parameters, "epoch");
        Forked *a, *next;
        int r;

        r = server_send(s, "Running", report_running(epoch, s->attempts), -1);

        /* what was said before the answer is dropped by forkd: ends are said again */
        HASH_ITER (hh, s->attempts, a, next) {
                if (r == 0 && a->ended)
                        r = server_send_exited(s, a);
        }
        return r;
}

static int on_order_retire(Server *s, Packet *packet) {
        (void)packet;
        s->retired = true;
        return 0;
}

static const struct {
        const char *method;
        int (*function)(Server *s, Packet *packet);
} orders[] = {
        { "Fork", on_order_fork },
        { "Acknowledge", on_order_acknowledge },
        { "Hello", on_order_hello },
        { "Retire", on_order_retire },
};

static int server_take_order(Server *s) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;
        int r;

        r = packet_receive(s->options->channel, &packet);
        if (r == PACKET_E_CLOSED)
                return SERVER_E_DONE;
        if (r == PACKET_E_INVALID) {
                server_log(s, "forkd sent something that is no packet, leaving");
                return -EBADMSG;
        }
        if (r != 0)
                return r == PACKET_E_AGAIN ? -EAGAIN : r;

        for (size_t i = 0; i < ELEMENTSOF(orders); i++)
                if (streq(orders[i].method, packet.method))
                        return orders[i].function(s, &packet);
        return 0; /* of a later version */
}

/* ---- events */

static int on_channel(Server *s, uint32_t events) {
        int r = 0;

        if (events & EPOLLOUT) {
                r = outbox_flush(s->outbox);
                if (r != 0)
                        return r == OUTBOX_E_CLOSED ? SERVER_E_DONE : r;
        }
        if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                return 0;
        for (int i = 0; i < ORDERS_A_TURN && r == 0 && outbox_length(s->outbox) < OUTBOX_FULL; i++)
                r = server_take_order(s);
        return r == -EAGAIN ? 0 : r;
}

static int on_child_end(Server *s, Forked *a) {
        int r;

        r = forked_peek(a);
        if (r != 0)
                return r < 0 ? r : 0;
        /* a peeked pidfd stays readable for ever */
        if (epoll_ctl(s->epoll, EPOLL_CTL_DEL, a->child.pidfd, NULL) < 0)
                return -errno;
        server_unlink_unstarted(s, a);
        return server_send_exited(s, a);
}

/* Tells of starts that have lasted long enough to be worth it. */
static int server_tell_started(Server *s, uint64_t now) {
        Forked *a, *next;
        int r;

        DL_FOREACH_SAFE (s->unstarted, a, next) {
                if (a->started_due > now)
                        continue;
                server_unlink_unstarted(s, a);
                r = server_send_started(s, a);
                if (r != 0)
                        return r;
        }
        return 0;
}

static const struct timespec *server_timeout(const Server *s, struct timespec *buffer) {
        uint64_t due = USEC_INFINITY, now, left;
        const Forked *a;

        DL_FOREACH (s->unstarted, a)
                due = a->started_due < due ? a->started_due : due;
        if (due == USEC_INFINITY)
                return NULL;
        now = now_usec(CLOCK_MONOTONIC);
        left = due > now ? due - now : 0;
        *buffer = (struct timespec){ .tv_sec = (time_t)(left / USEC_PER_SEC),
                                     .tv_nsec = (long)(left % USEC_PER_SEC) * 1000 };
        return buffer;
}

static int server_update_interest(Server *s) {
        struct epoll_event event = { .data.ptr = NULL };

        if (outbox_length(s->outbox) < OUTBOX_FULL)
                event.events |= EPOLLIN;
        if (outbox_length(s->outbox) > 0)
                event.events |= EPOLLOUT;
        if (event.events == s->interest)
                return 0;
        if (epoll_ctl(s->epoll, s->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, s->options->channel,
                      &event) < 0)
                return -errno;
        s->interest = event.events;
        return 0;
}

/* The last attempt goes by its acknowledgement, or by a failure that forkd has yet to hear of. */
static bool server_is_done(const Server *s) {
        return s->retired && !s->attempts && outbox_length(s->outbox) == 0;
}

static int server_turn(Server *s) {
        struct epoll_event events[EVENTS_A_TURN];
        struct timespec timeout;
        int n, r;

        r = server_update_interest(s);
        if (r < 0)
                return r;
        n = epoll_pwait2(s->epoll, events, EVENTS_A_TURN, server_timeout(s, &timeout), NULL);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;

        /* ends first: an attempt that has ended needs no Started, and Acknowledge may free one */
        for (int i = 0; i < n; i++)
                if (events[i].data.ptr) {
                        r = on_child_end(s, events[i].data.ptr);
                        if (r != 0)
                                return r;
                }
        r = s->unstarted ? server_tell_started(s, now_usec(CLOCK_MONOTONIC)) : 0;
        for (int i = 0; i < n && r == 0; i++)
                if (!events[i].data.ptr)
                        r = on_channel(s, events[i].events);
        if (r == 0 && server_is_done(s))
                return SERVER_E_DONE;
        return r;
}

/* ---- begin and end */

static bool oom_score_is_set(void) {
        char text[16] = "";
        _cleanup_(close_fdp) int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);

        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
                return false;
        return atoi(text) != 0;
}

static void server_done(Server *s) {
        Forked *a, *next;

        if (s->is_worker)
                return;
        /* workers run on, zombies fall to the keeper */
        HASH_ITER (hh, s->attempts, a, next)
                server_drop(s, a);
        outbox_free(s->outbox);
        launcher_free(s->launcher);
        title_area_free(s->title);
        close_fd(s->epoll);
}

/* Titles are a convenience. */
static TitleArea *take_title(const ServeOptions *options) {
        TitleArea *title;

        if (title_area_new(&title) < 0)
                return NULL;
        if (options->keep_arguments || options->program)
                title_area_keep_arguments(title);
        if (options->title)
                title_set(title, options->title);
        return title;
}

/* Preloaded code may have closed them; what we are sent would get their numbers then. */
static int fill_streams(void) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
                        return -errno;
        return 0;
}

static int server_init(Server *s, const ServeOptions *options) {
        int flags, r;

        *s = (Server){ .options = options, .epoll = -1, .reset_oom_score = oom_score_is_set() };

        r = fill_streams();
        if (r >= 0)
                r = descriptor_limit_raise(&s->descriptors);
        if (r < 0)
                return r;
        flags = fcntl(options->channel, F_GETFL);
        if (flags < 0 || fcntl(options->channel, F_SETFL, flags | O_NONBLOCK) < 0 ||
            fcntl(options->channel, F_SETFD, FD_CLOEXEC) < 0)
                return -errno;
        r = outbox_new(&s->outbox, options->channel);
        if (r < 0)
                return r;
        /* before we open anything of our own */
        r = server_send_ready(s);
        if (r != 0)
                return r;
        r = launcher_new(&s->launcher);
        if (r < 0)
                return r;
        if (server_has_entries(s))
                s->title = take_title(options);
        s->epoll = epoll_create1(EPOLL_CLOEXEC);
        return s->epoll < 0 ? -errno : 0;
}

static int server_worker(const Server *s, WorkerProgram *ret_program) {
        WorkerOptions worker = {
                .modules = s->options->modules,
                .program = s->options->program,
                .title = s->title,
                .descriptors = s->descriptors,
                .reset_oom_score = s->reset_oom_score,
        };

        (void)worker_run(&worker, ret_program);
        return SERVE_E_PROGRAM;
}

int serve(const ServeOptions *options, WorkerProgram *ret_program) {
        _cleanup_(server_done) Server s;
        sigset_t all;
        int r;

        /* the kernel's call: a signal between clone and bookkeeping would lose a child */
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        fflush(NULL); /* or workers print again what waits */

        r = server_init(&s, options);
        while (r == 0)
                r = server_turn(&s);

        if (r == SERVER_E_WORKER)
                return server_worker(&s, ret_program);
        if (r < 0)
                server_log(&s, "serving failed: %s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- one-shot hosts */

int serve_worker(const ServeOptions *options, WorkerProgram *ret_program) {
        WorkerOptions worker = { .modules = options->modules, .program = options->program };

        if (fill_streams() < 0 || fcntl(options->channel, F_SETFD, FD_CLOEXEC) < 0 ||
            child_reset_signals() < 0)
                return EXIT_FAILURE;
        worker.title = take_title(options);
        (void)worker_run_one_shot(&worker, options->channel, ret_program);
        return SERVE_E_PROGRAM;
}

void serve_worker_failed(int channel, int error, const char *reason) {
        ChildReport failure;

        child_report_fill(&failure, CHILD_STAGE_PRELOAD, error, reason);
        worker_send_failed(channel, &failure);
}
