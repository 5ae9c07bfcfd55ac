/* SPDX-License-Identifier: Apache-2.0 */

/* Hosts: the processes of generations of named forkservers, in forkd. A host is a child of the
 * spawner; its generation (a Server) has its channel and its output, and outlives it until its end
 * has been told. What it is to preload stands in settings; what becomes of its forkserver is
 * decided in named.c. */

#include "host.h"

#include "attempt.h"
#include "certificate.h"
#include "daemon.h"
#include "host-ready.h"
#include "log.h"
#include "order.h"
#include "process-id.h"
#include "server-private.h"
#include "text.h"

#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>

#define END_USEC     USEC_PER_SEC /* with its channel closed, or having refused, it ends by itself */
#define RETIRE_USEC  (5 * USEC_PER_SEC) /* told to end, and its last worker has ended */
#define STOP_USEC    (2 * USEC_PER_SEC) /* … while forkd waits for it */
#define KILLS_MAX    3                  /* then it is left behind as it is */
#define HUGE_TUNABLE "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"

static int on_host_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void host_set_timer(Server *s, uint64_t usec) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        s->host_timer = sd_event_source_disable_unref(s->host_timer);
        if (usec >= USEC_INFINITY - now)
                return;
        if (sd_event_add_time(s->daemon->event, &s->host_timer, CLOCK_MONOTONIC, now + usec, 1000,
                              on_host_timer, s) < 0)
                host_kill(s);
        else
                (void)sd_event_source_set_priority(s->host_timer, PRIORITY_TIMER);
}

/* ---- how it is started */

static int command_of_modules(char ***ret, char *const *modules, bool huge_pages) {
        _cleanup_(strings_freep) char **command = NULL;
        _cleanup_(freep) char *program = NULL, *option = NULL;
        const char *path = secure_getenv("FORKD_MODULE_PATH");
        int r;

        r = paths_find_helper("forkd-server", &program);
        if (r < 0)
                return r;
        r = strings_append(&command, program);
        if (r >= 0 && huge_pages)
                r = strings_append(&command, "--huge-pages");
        if (r >= 0 && path) {
                if (asprintf(&option, "--module-path=%s", path) < 0) {
                        option = NULL;
                        return -ENOMEM;
                }
                r = strings_append(&command, option);
        }
        if (r >= 0)
                r = strings_append(&command, "--");
        for (; r >= 0 && modules && *modules; modules++)
                r = strings_append(&command, *modules);
        if (r < 0)
                return r;
        *ret = steal(command);
        return 0;
}

static int command_of_settings(char ***ret, const ServerSettings *settings) {
        _cleanup_(strings_freep) char **command = NULL;
        int r = 0;

        if (!settings->command)
                return command_of_modules(ret, settings->modules, settings->huge_pages);
        for (char *const *word = settings->command; r >= 0 && *word; word++)
                r = strings_append(&command, *word);
        if (r < 0)
                return r;
        *ret = steal(command);
        return 0;
}

int host_one_shot_command(Daemon *daemon, const ServerSettings *settings, char ***ret) {
        return settings ? command_of_settings(ret, settings)
                        : command_of_modules(ret, daemon->config->modules, false);
}

static size_t name_length(const char *variable) {
        return (size_t)(strchrnul(variable, '=') - variable);
}

static bool is_set(char *const *list, const char *variable) {
        size_t n = name_length(variable);

        for (; list && *list; list++)
                if (name_length(*list) == n && strncmp(*list, variable, n) == 0)
                        return true;
        return false;
}

/* What tells a host what it is does not come from a file or a request. */
static bool is_ours(const char *variable) {
        static const char *const ours[] = { "FORKD_CHANNEL", "FORKD_WORKER", "FORKD_SERVER",
                                            "FORKD_ARGUMENTS", "FORKD_HUGE_PAGES" };
        size_t n = name_length(variable);

        for (size_t i = 0; i < ELEMENTSOF(ours); i++)
                if (strlen(ours[i]) == n && strncmp(ours[i], variable, n) == 0)
                        return true;
        return false;
}

/* The same for both kinds: what a preload sees is up to the forkserver, whosever job it is for.
 * Anybody else's LD_PRELOAD or OPENSSL_CONF would run code as the forkserver's user. */
int host_write_environment(JsonText *t, Daemon *daemon, const ServerSettings *settings,
                           const char *label, bool one_shot) {
        char *const *theirs = settings ? settings->environment : NULL, *const * base;
        _cleanup_(freep) char *server = NULL, *arguments = NULL;
        int r;

        r = environment_default(&daemon->environment, settings ? settings->user.uid : geteuid(),
                                &base);
        if (r < 0)
                return r;
        if (asprintf(&server, "FORKD_SERVER=%s", label) < 0) {
                server = NULL;
                return -ENOMEM;
        }
        if (settings && settings->arguments &&
            asprintf(&arguments, "FORKD_ARGUMENTS=%s", settings->arguments) < 0) {
                arguments = NULL;
                return -ENOMEM;
        }

        json_text_open(t, "environment", '[');
        for (; *base; base++)
                if (!is_set(theirs, *base))
                        json_text_string(t, NULL, *base);
        for (char *const *v = theirs; v && *v; v++)
                if (!is_ours(*v))
                        json_text_string(t, NULL, *v);
        json_text_string(t, NULL, one_shot ? "FORKD_WORKER=3" : "FORKD_CHANNEL=3");
        json_text_string(t, NULL, server);
        if (arguments)
                json_text_string(t, NULL, arguments);
        if (settings && settings->huge_pages && !one_shot) {
                json_text_string(t, NULL, "FORKD_HUGE_PAGES=1");
                if (!is_set(theirs, HUGE_TUNABLE))
                        json_text_string(t, NULL, HUGE_TUNABLE);
        }
        json_text_close(t, ']');
        return 0;
}

static int write_plan(Order *plan, Server *s, const ServerSettings *settings, int channel,
                      int output) {
        _cleanup_(strings_freep) char **command = NULL;
        JsonText *t = &plan->text;
        int r;

        r = command_of_settings(&command, settings);
        if (r < 0)
                return r;
        json_text_open(t, NULL, '{');
        json_text_strings(t, "command", command);
        json_text_int(t, "channel", order_add_fd(plan, channel));
        r = host_write_environment(t, s->daemon, settings, s->label, false);
        if (r < 0)
                return r;
        json_text_string(t, "directory", "/");
        json_text_int(t, "umask", 022);
        json_text_open(t, "stdio", '[');
        json_text_null(t, NULL);
        json_text_int(t, NULL, order_add_fd(plan, output));
        json_text_string(t, NULL, "stdout");
        json_text_close(t, ']');
        order_write_owner(t, &settings->user);
        order_write_limits(t, settings->limits, settings->n_limits);
        json_text_close(t, '}');
        return json_text_finish(t);
}

int host_start(Server *s, const ServerSettings *settings, HostLines *lines) {
        const JobSpec like = { .start_method = START_METHOD_SPAWN };
        _cleanup_(close_fdp) int ours = -1, theirs = -1, output = -1;
        _cleanup_(order_donep) Order plan = ORDER_NULL;
        Daemon *d = s->daemon;
        Server *spawner;
        int r;

        if (server_set_pick(d->servers, &like, &spawner) != 0)
                return SERVER_E_WAIT;
        r = packet_pair(&ours, &theirs);
        if (r >= 0)
                r = host_log_new(&s->log, d->event, s->label, lines, &output);
        if (r >= 0)
                r = write_plan(&plan, s, settings, theirs, output);
        if (r < 0)
                return r;

        s->channel = steal_fd(&ours);
        s->started_at = now_usec(CLOCK_REALTIME);
        r = server_attach_channel(s);
        if (r >= 0)
                r = attempt_start_host(d, spawner, &plan, s, &s->host);
        if (r < 0)
                return r;
        s->preload_timeout = settings->preload_timeout;
        host_set_timer(s, s->preload_timeout);
        return 0;
}

/* ---- it is there */

void host_started(Server *s, pid_t pid, int pidfd) {
        _cleanup_(json_decrefp) json_t *ready = steal(s->early_ready);

        (void)pidfd; /* it is the attempt's */
        s->pid = pid;
        log_about(LOG_DEBUG, 0, LOG_SERVER(s->label), "%s: its process is %d", s->label, pid);
        if (ready)
                host_ready(s, ready);
}

void host_ready(Server *s, json_t *parameters) {
        char reason[sizeof(s->reason)];

        if (s->state != SERVER_STARTING || s->refused)
                return;
        if (s->pid == 0) { /* the spawner says so in a moment */
                json_decref(s->early_ready);
                s->early_ready = json_incref(parameters);
                return;
        }
        if (host_ready_read(parameters, &s->entries, reason, sizeof(reason)) != 0) {
                host_refused(s, reason);
                host_kill(s);
                return;
        }

        s->host_timer = sd_event_source_disable_unref(s->host_timer);
        s->preload_usec = host_ready_preload(parameters);
        s->ready_at = now_usec(CLOCK_MONOTONIC);
        server_become(s, SERVER_READY);
        named_generation_ready(s->named, s);
}

void host_refused(Server *s, const char *reason) {
        if (s->state != SERVER_STARTING || s->refused)
                return;
        text_format(s->reason, sizeof(s->reason), "%s", reason);
        s->refused = true;
        host_set_timer(s, END_USEC);
        named_generation_refused(s->named, s, s->reason);
}

void host_broken(Server *s) {
        if (s->state != SERVER_STARTING)
                return;
        host_refused(s, "it sent a packet that is none of forkd-server(7), or is above 256 KiB");
        host_kill(s);
}

/* ---- it is to end */

void host_kill(Server *s) {
        if (s->host)
                attempt_kill(s->host);
}

void host_retire(Server *s) {
        server_retire(s);
        if (s->state == SERVER_RETIRED)
                host_set_timer(s, s->daemon->stopping ? STOP_USEC : RETIRE_USEC);
}

void host_gone(Server *s) {
        if (s->host)
                host_set_timer(s, END_USEC);
        else
                named_generation_gone(s->named, s);
}

static int on_host_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;

        (void)source;
        (void)usec;
        if (s->state == SERVER_RETIRED && s->channel >= 0 && s->n_attempts > s->n_unwanted) {
                host_set_timer(s, RETIRE_USEC); /* its last workers run */
                return 0;
        }
        if (s->state == SERVER_STARTING && !s->refused && s->channel >= 0) {
                char reason[96];

                snprintf(reason, sizeof(reason), "its preload took longer than %.6g s",
                         (double)s->preload_timeout / USEC_PER_SEC);
                host_refused(s, reason);
                host_kill(s);
                return 0;
        }

        if (s->channel < 0 && !s->refused) {
                snprintf(s->reason, sizeof(s->reason), "it closed its channel%s",
                         s->ready_at == 0 ? " before it was ready" : "");
                s->refused = true;
        }
        if (s->host_kills++ < KILLS_MAX) {
                host_kill(s);
                host_set_timer(s, END_USEC);
                return 0;
        }
        /* not even SIGKILL ends it soon, as in a dead file system: the forkserver goes on without
         */
        s->host_timer = sd_event_source_disable_unref(s->host_timer);
        log_about(LOG_WARNING, 0,
                  (LogAbout){ .server = s->label, .event = LOG_EVENT_JOB_UNKILLABLE },
                  "%s: its process %d was killed and is still there", s->label, s->pid);
        if (s->channel >= 0)
                server_gone(s);
        named_generation_gone(s->named, s);
        return 0;
}

/* ---- it has ended */

/* "it exited with status 3 while preloading: No module named 'x'". */
static void write_end(Server *s, const AttemptEnd *end, bool preloading) {
        const char *when = preloading ? " while preloading" : "", *last;
        char name[16];

        switch (end->code) {
        case CLD_EXITED:
                last = host_log_last(s->log);
                if (preloading && end->status == 0)
                        when = " before it was ready";
                last = end->status != 0 && last ? last : NULL; /* a status alone says little */
                text_format(s->reason, sizeof(s->reason), "it exited with status %d%s%s%s",
                            end->status, when, last ? ": " : "", last ?: "");
                return;
        case CLD_KILLED:
        case CLD_DUMPED:
                snprintf(s->reason, sizeof(s->reason), "it was killed by %s%s%s",
                         signal_name(end->status, name), when,
                         end->code == CLD_DUMPED ? " (core dumped)" : "");
                return;
        default:
                snprintf(s->reason, sizeof(s->reason), "it has gone%s%s%s", when,
                         end->note ? ": " : "", end->note ?: "");
        }
}

/* The process is no more; reason stands. */
static void host_over(Server *s) {
        s->host = NULL;
        s->host_timer = sd_event_source_disable_unref(s->host_timer);
        if (s->channel >= 0)
                server_gone(s); /* and with it s, maybe: see host_gone() */
        else
                named_generation_gone(s->named, s);
}

void host_ended(Server *s, const AttemptEnd *end) {
        bool preloading = s->ready_at == 0;

        /* what it said and wrote last came before its end, and is handled with it still there */
        (void)server_read(s, 4096);
        host_log_drain(s->log);
        if (!s->refused)
                write_end(s, end, preloading);
        host_over(s);
}

/* There was no process for it, or its spawner has died: no fault of what it is to preload. */
static bool start_again(Server *s, const char *stage, int error) {
        return streq(stage, "fork") && (error == EAGAIN || error == ENOMEM || error == EMFILE) &&
               named_generation_unstarted(s->named, s);
}

void host_failed(Server *s, const char *stage, int error, const char *text) {
        if (!s->refused && !start_again(s, stage, error)) {
                if (streq(stage, "exec"))
                        text_format(s->reason, sizeof(s->reason), "cannot execute '%s': %s",
                                    text ?: "", strerror(error));
                else
                        text_format(s->reason, sizeof(s->reason),
                                    "its process could not be started, in the step '%s'%s%s%s: %s",
                                    stage, text ? " (" : "", text ?: "", text ? ")" : "",
                                    strerror(error));
        }
        host_over(s);
}
