/* SPDX-License-Identifier: Apache-2.0 */

/* The forkservers that there are: one spawner, more while one is held up, and the twin when modules
 * are preloaded. Owned by the daemon; in forkd. Starts them again with back-off. */

#include "daemon.h"
#include "host.h"
#include "log.h"
#include "process-id.h"
#include "server-private.h"
#include "spare.h"
#include "text.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <utlist.h>

#define SPAWNERS_MAX     8
#define ANSWER_USEC      USEC_PER_SEC /* an order unanswered for longer: the spawner is held up */
#define SILENT_USEC      (10 * USEC_PER_SEC) /* … any other forkserver is no use any more */
#define RESTART_MIN_USEC (100 * USEC_PER_MSEC)
#define RESTART_MAX_USEC (10 * USEC_PER_SEC)
#define FAILURES_MAX     5 /* starts in a row without Ready: its jobs wait no longer */
#define GIVE_UP_USEC                                                                               \
        (5 * USEC_PER_SEC)           /* a start that holds others up may take no longer than this */
#define STOP_USEC (2 * USEC_PER_SEC) /* for all forkservers to end with their channel closed */

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata;
        int r;

        (void)source;
        (void)usec;
        s->restart_timer = sd_event_source_disable_unref(s->restart_timer);
        s->failures++; /* until it is ready */
        r = server_spawn(s);
        if (r < 0) {
                snprintf(s->reason, sizeof(s->reason), "cannot start %s: %s", s->argv[0],
                         strerror(-r));
                log_about(LOG_ERR, 0,
                          (LogAbout){ .server = server_name(s), .event = LOG_EVENT_SERVER_FAILED },
                          "%s: %s", server_name(s), s->reason);
                s->state = SERVER_FAILED;
                server_restart(s);
                return 0;
        }
        r = server_attach(s, s->daemon);
        if (r < 0) {
                log_about(LOG_ERR, r, LOG_SERVER(server_name(s)), "%s: cannot attach to it",
                          server_name(s));
                server_gone(s);
                return 0;
        }
        queue_wake(s->daemon->queue);
        return 0;
}

static uint64_t restart_delay(unsigned failures) {
        uint64_t delay = RESTART_MIN_USEC;

        if (failures == 0)
                return 0;
        while (--failures > 0 && delay < RESTART_MAX_USEC)
                delay *= 2;
        return delay < RESTART_MAX_USEC ? delay : RESTART_MAX_USEC;
}

void server_restart(Server *s) {
        ServerSet *set = s->daemon->servers;
        int r;

        if (!set || set->stopping)
                return;
        if (s->state == SERVER_RETIRED) {
                DL_DELETE(set->servers, s);
                server_free(s);
                return;
        }

        s->answer_timer = sd_event_source_disable_unref(s->answer_timer);
        s->held = false;
        r = sd_event_add_time_relative(s->daemon->event, &s->restart_timer, CLOCK_MONOTONIC,
                                       restart_delay(s->failures), 0, on_restart, s);
        if (r < 0)
                log_about(LOG_ERR, r, LOG_SERVER(server_name(s)), "%s: cannot arrange its restart",
                          server_name(s));
}

Server *server_new(ServerKind kind) {
        Server *s = calloc(1, sizeof(*s));

        if (!s)
                return NULL;
        s->kind = kind;
        s->channel = s->pidfd = -1;
        return s;
}

Server *server_new_twin(int channel, pid_t pid, char **argv, uint64_t preload_usec) {
        Server *s = server_new(SERVER_TWIN);

        if (!s)
                return NULL;
        s->channel = channel;
        s->pid = pid;
        s->argv = argv;
        s->preload_usec = preload_usec;
        return s;
}

static int spawner_start(ServerSet *set, Server **ret) {
        Server *s = server_new(SERVER_SPAWNER);
        int r = -ENOMEM;

        if (!s)
                return r;
        s->argv = calloc(2, sizeof(char *));
        if (s->argv)
                r = paths_find_helper("forkd-spawner", &s->argv[0]);
        if (r < 0) {
                server_free(s);
                return log_error_errno(
                        r, "cannot find forkd-spawner; FORKD_LIBEXEC_DIR may name its folder");
        }

        s->daemon = set->daemon;
        r = server_spawn(s);
        if (r >= 0) {
                r = server_attach(s, set->daemon);
                if (r < 0)
                        server_end_process(s);
        }
        if (r < 0) {
                log_error_errno(r, "cannot start %s", s->argv[0]);
                server_free(s);
                return r;
        }

        DL_APPEND(set->servers, s);
        *ret = s;
        return 0;
}

int server_set_new(ServerSet **ret, Daemon *daemon, Server *twin) {
        ServerSet *set = calloc(1, sizeof(*set));
        Server *spawner;
        int r;

        if (!set) {
                server_free(twin);
                return -ENOMEM;
        }
        set->daemon = daemon;
        if (twin) {
                DL_APPEND(set->servers, twin);
                r = server_attach(twin, daemon);
                if (r < 0) {
                        server_set_free(set);
                        return r;
                }
        }
        r = spawner_start(set, &spawner);
        if (r < 0) {
                server_set_free(set);
                return r;
        }

        *ret = set;
        return 0;
}

ServerSet *server_set_free(ServerSet *set) {
        Server *s, *next;

        if (!set)
                return NULL;
        server_set_stop(set);
        DL_FOREACH_SAFE (set->servers, s, next) {
                DL_DELETE(set->servers, s);
                server_free(s);
        }
        free(set);
        return NULL;
}

static bool entry_known(const Server *s, const char *entry) {
        json_t *e;
        size_t i;

        json_array_foreach (s->entries, i, e)
                if (streq_null(json_string_value(json_object_get(e, "name")), entry))
                        return true;
        return false;
}

static int pick_built_in(ServerSet *set, ServerKind kind, const char *entry, Server **ret,
                         Server **ret_failed) {
        Server *s, *held = NULL;
        bool known = false, failed = false;

        DL_FOREACH (set->servers, s) {
                if (s->kind != kind)
                        continue;
                known = true;
                if (s->entries && kind == SERVER_TWIN && !entry_known(s, entry))
                        return SERVER_E_NO_ENTRY;
                if (s->failures >= FAILURES_MAX && s->state != SERVER_READY) {
                        *ret_failed = s;
                        failed = true;
                        continue;
                }
                /* the twin's entries come with Ready; a spawner takes orders from the first moment
                 */
                if (s->channel < 0 || s->state == SERVER_RETIRED ||
                    (kind == SERVER_TWIN && s->state != SERVER_READY))
                        continue;
                if (s->held) {
                        held = s;
                        continue;
                }
                *ret = s;
                return 0;
        }

        if (held) {
                *ret = held; /* there are as many as there may be: it will answer some day */
                return 0;
        }
        return failed ? SERVER_E_FAILED : known ? SERVER_E_WAIT : SERVER_E_NONE;
}

static ServerKind built_in_kind(const JobSpec *spec) {
        return spec->start_method == START_METHOD_SPAWN ? SERVER_SPAWNER : SERVER_TWIN;
}

int server_set_pick(ServerSet *set, const JobSpec *spec, Server **ret) {
        Server *failed;
        NamedServer *n;

        if (spec->start_method != START_METHOD_FORKSERVER)
                return pick_built_in(set, built_in_kind(spec), spec->entry, ret, &failed);

        n = spec->server ? named_find(set->daemon->named, spec->server) : NULL;
        return n ? named_pick(n, spec->entry, ret) : SERVER_E_NONE;
}

static void named_pick_reason(const NamedServer *n, const JobSpec *spec, char *ret, size_t size) {
        Server *s;

        if (named_look(n, spec->entry, &s) == SERVER_E_NO_ENTRY)
                text_format(ret, size, "the forkserver '%s' has no entry '%s'", spec->server,
                            spec->entry);
        else if (named_state(n) == NAMED_FAILED)
                text_format(ret, size, "the forkserver '%s' has failed: %s", spec->server,
                            named_reason(n) ?: "");
        else
                text_format(ret, size,
                            "the forkserver '%s' has been stopped; 'forkctl servers start %s' "
                            "starts it",
                            spec->server, spec->server);
}

void server_set_pick_reason(ServerSet *set, const JobSpec *spec, char *ret, size_t size) {
        Server *s, *failed = NULL;

        if (spec->start_method == START_METHOD_FORKSERVER) {
                NamedServer *n = spec->server ? named_find(set->daemon->named, spec->server) : NULL;

                if (n)
                        named_pick_reason(n, spec, ret, size);
                else
                        text_format(ret, size, "there is no forkserver '%s' any more",
                                    spec->server ?: "");
                return;
        }
        if (pick_built_in(set, built_in_kind(spec), spec->entry, &s, &failed) == SERVER_E_FAILED &&
            failed)
                text_format(ret, size, "the %s cannot be started: %s", server_name(failed),
                            failed->reason);
        else
                text_format(ret, size, "no forkserver has this entry any more");
}

/* ---- one that is held up, as by a dead network mount, is answered by starting another */

static unsigned count_spawners(const ServerSet *set, unsigned *ret_free) {
        const Server *s;
        unsigned n = 0;

        *ret_free = 0;
        DL_FOREACH (set->servers, s)
                if (s->kind == SERVER_SPAWNER && s->state != SERVER_RETIRED) {
                        n++;
                        *ret_free += !s->held;
                }
        return n;
}

static Attempt *first_order(const Server *s) {
        Attempt *a;

        DL_FOREACH (s->attempts, a)
                if (a->phase == ATTEMPT_ORDERED)
                        return a;
        return NULL;
}

/* The start that a held-up spawner hangs in. It takes orders one by one, so it is the last that has
 * come to life; without cgroups that cannot be seen, and it is taken to be the first. */
static Attempt *hanging_start(const Server *s) {
        Attempt *a, *last = first_order(s);

        DL_FOREACH (s->attempts, a)
                if (a->phase == ATTEMPT_ORDERED && a->cgroup && cgroup_populated(a->cgroup) > 0)
                        last = a;
        return last;
}

/* What was ordered behind it goes to another spawner. */
static void order_again(Attempt *hanging) {
        Attempt *next;

        for (Attempt *a = hanging->next; a; a = next) {
                next = a->next;
                attempt_order_again(a);
        }
}

/* Others wait for this very spawner: those that it has started before cannot be reported either. */
static bool holds_others_up(const Server *s, const Attempt *hanging) {
        const Attempt *a;

        DL_FOREACH (s->attempts, a)
                if (a != hanging && a->job)
                        return true;
        return false;
}

/* One that forks entries has nothing to wait for between orders: if it is silent for so long it is
 * stopped or stuck, and its next life takes the orders. */
static void look_at_silent(Server *s) {
        const Attempt *first = first_order(s);

        if (now_usec(CLOCK_MONOTONIC) - first->ordered_at < SILENT_USEC || s->refused)
                return;
        log_about(LOG_WARNING, 0, LOG_SERVER(server_label(s)),
                  "%s with pid %d has not answered for %u s: it is ended", server_label(s), s->pid,
                  (unsigned)(SILENT_USEC / USEC_PER_SEC));
        if (s->kind == SERVER_TWIN) {
                (void)process_signal(s->pidfd, SIGKILL);
                return;
        }
        s->refused = true; /* its reason stands */
        snprintf(s->reason, sizeof(s->reason), "it did not answer for %u s and was killed",
                 (unsigned)(SILENT_USEC / USEC_PER_SEC));
        host_kill(s);
}

static int on_answer_late(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *s = userdata, *another;
        ServerSet *set = s->daemon->servers;
        Attempt *hanging;
        unsigned n, n_free;
        uint64_t since;

        (void)usec;
        if (first_order(s) && s->kind != SERVER_SPAWNER) {
                look_at_silent(s);
                (void)sd_event_source_set_time_relative(source, ANSWER_USEC);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                return 0;
        }
        if (!first_order(s)) {
                s->answer_timer = sd_event_source_disable_unref(s->answer_timer);
                s->held = false;
                (void)count_spawners(set, &n_free);
                if (s->kind == SERVER_SPAWNER && n_free > 1)
                        server_retire(s);
                return 0;
        }

        hanging = hanging_start(s);
        since = now_usec(CLOCK_MONOTONIC) - hanging->ordered_at;
        if (!s->held && since >= ANSWER_USEC)
                log_about(LOG_WARNING, 0,
                          (LogAbout){ .server = server_name(s),
                                      .job = hanging->job_id,
                                      .event = LOG_EVENT_SPAWNER_HELD_UP },
                          "spawner with pid %d does not answer", s->pid);
        s->held = since >= ANSWER_USEC;
        n = count_spawners(set, &n_free);
        if (s->held && n_free == 0 && n < SPAWNERS_MAX && spawner_start(set, &another) == 0)
                n_free++;
        if (s->held && n_free > 0)
                order_again(hanging);
        if (since >= GIVE_UP_USEC && (n_free == 0 || holds_others_up(s, hanging)))
                attempt_give_up(hanging);

        (void)sd_event_source_set_time_relative(source, ANSWER_USEC);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

void server_watch_answers(Server *s) {
        if (s->answer_timer)
                return;
        if (sd_event_add_time_relative(s->daemon->event, &s->answer_timer, CLOCK_MONOTONIC,
                                       ANSWER_USEC, 100 * USEC_PER_MSEC, on_answer_late, s) >= 0)
                (void)sd_event_source_set_priority(s->answer_timer, PRIORITY_TIMER);
}

/* ---- workers and orphans */

void server_count_unwanted(Attempt *a) {
        if (!a->server || a->unwanted)
                return;
        a->unwanted = true;
        a->server->n_unwanted++;
}

static void uncount_unwanted(Attempt *a) {
        if (!a->unwanted)
                return;
        a->unwanted = false;
        if (a->server->n_unwanted-- == SERVER_UNWANTED_MAX)
                queue_wake(a->daemon->queue);
}

void server_move_to_orphans(Server *s, Attempt *a) {
        spare_forget(a);
        uncount_unwanted(a);
        DL_DELETE(s->attempts, a);
        s->n_attempts--;
        a->server = NULL;
        DL_APPEND(s->daemon->servers->orphans, a);
}

void server_remove_attempt(ServerSet *set, Attempt *a) {
        if (a->host)
                a->host->host = NULL;
        spare_forget(a);
        uncount_unwanted(a);
        if (a->server) {
                DL_DELETE(a->server->attempts, a);
                a->server->n_attempts--;
        } else
                DL_DELETE(set->orphans, a);
        a->prev = a->next = NULL;
        a->server = NULL;
}

static Server *next_to_poll(const ServerSet *set) {
        Server *s;

        DL_FOREACH (set->servers, s)
                if (s->polled != set->polls)
                        return s;
        return NULL;
}

/* What a spawner says may be the end of others in the list. */
void server_set_poll(ServerSet *set) {
        Server *s;

        set->polls++;
        while ((s = next_to_poll(set))) {
                s->polled = set->polls;
                server_look(s);
        }
}

void server_set_wait_twin(ServerSet *set) {
        Server *s;

        DL_FOREACH (set->servers, s)
                if (s->kind == SERVER_TWIN && s->state == SERVER_STARTING && s->channel >= 0) {
                        struct pollfd p = { .fd = s->channel, .events = POLLIN };

                        if (poll(&p, 1, 1000) > 0)
                                (void)server_read(s, 1);
                        return;
                }
}

void server_set_keeper_gone(ServerSet *set) {
        Attempt *a, *next;

        DL_FOREACH_SAFE (set->orphans, a, next)
                attempt_keeper_gone(a);
}

Attempt *server_set_find_worker(ServerSet *set, pid_t pid, uint64_t start_time) {
        Server *s;
        Attempt *a;

        DL_FOREACH (set->orphans, a)
                if (a->pid == pid &&
                    (start_time == 0 || a->start_time == 0 || a->start_time == start_time))
                        return a;
        DL_FOREACH (set->servers, s)
                DL_FOREACH (s->attempts, a)
                        if (a->pid == pid &&
                            (start_time == 0 || a->start_time == 0 || a->start_time == start_time))
                                return a;
        return NULL;
}

Attempt *server_set_find_orphan_in_cgroup(ServerSet *set, pid_t pid) {
        Attempt *a;

        DL_FOREACH (set->orphans, a)
                if (a->cgroup && a->phase == ATTEMPT_ORDERED && cgroup_contains(a->cgroup, pid))
                        return a;
        return NULL;
}

void server_set_write(ServerSet *set, JsonText *t, const char *key) {
        Server *s;

        json_text_open(t, key, '[');
        DL_FOREACH (set->servers, s)
                if (s->kind != SERVER_HOST)
                        server_write(s, t, NULL);
        for (NamedServer *n = named_next(set->daemon->named, NULL); n;
             n = named_next(set->daemon->named, n))
                named_write_summary(n, t, NULL);
        json_text_close(t, ']');
}

void server_set_entries_text(ServerSet *set, char *ret, size_t size) {
        Server *s;
        size_t i, n = 0;
        json_t *e;

        *ret = '\0';
        DL_FOREACH (set->servers, s)
                json_array_foreach (s->kind == SERVER_TWIN ? s->entries : NULL, i, e)
                        if (n < size)
                                n += (size_t)snprintf(
                                        ret + n, size - n, "%s%s", n > 0 ? ", " : "",
                                        json_string_value(json_object_get(e, "name")));
}

void server_set_kill_hosts(ServerSet *set) {
        Server *s;

        DL_FOREACH (set->servers, s)
                host_kill(s);
}

void server_set_stop(ServerSet *set) {
        uint64_t deadline = now_usec(CLOCK_MONOTONIC) + STOP_USEC;
        Server *s;

        set->stopping = true;
        DL_FOREACH (set->servers, s) {
                s->channel_source = sd_event_source_disable_unref(s->channel_source);
                s->pidfd_source = sd_event_source_disable_unref(s->pidfd_source);
                s->channel = close_fd(s->channel);
        }
        DL_FOREACH (set->servers, s) {
                siginfo_t si = { 0 };

                if (s->pidfd < 0)
                        continue;
                while (waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG) == 0 &&
                       si.si_pid == 0) {
                        if (now_usec(CLOCK_MONOTONIC) >= deadline) {
                                (void)process_signal(s->pidfd, SIGKILL);
                                (void)waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED);
                                break;
                        }
                        usleep(1000);
                }
                s->pidfd = close_fd(s->pidfd);
        }
}
