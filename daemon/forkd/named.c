/* SPDX-License-Identifier: Apache-2.0 */

/* A named forkserver's life: owned by the set; in forkd. It has settings, and generations, which
 * are Servers of the ServerSet: one serves, the next one may be starting, retired ones wait for
 * their last workers. Starts are always made from the loop, so that whoever asked can wait first.
 */

#include "named.h"

#include "daemon.h"
#include "drain.h"
#include "host.h"
#include "log.h"
#include "named-private.h"
#include "server-private.h"
#include "spare.h"

#include <utlist.h>

#define RETRY_MIN_USEC (100 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (10 * USEC_PER_SEC)
#define FAILURES_MAX   5                   /* in a row before Ready: it has failed for good */
#define REFUSALS_MAX   8                   /* starts for which there was no process */
#define YOUNG_USEC     (10 * USEC_PER_SEC) /* one that dies sooner after Ready makes the next wait */

static const struct {
        const char *name;
        unsigned next; /* bits of the states that may follow */
} states[_NAMED_STATE_MAX] = {
        [NAMED_STOPPED] = { "stopped",
                            1 << NAMED_STARTING | 1 << NAMED_FAILED | 1 << NAMED_STOPPING },
        [NAMED_STARTING] = { "starting",
                             1 << NAMED_READY | 1 << NAMED_FAILED | 1 << NAMED_STOPPING },
        [NAMED_READY] = { "ready", 1 << NAMED_STARTING | 1 << NAMED_FAILED | 1 << NAMED_STOPPING },
        [NAMED_FAILED] = { "failed",
                           1 << NAMED_STARTING | 1 << NAMED_STOPPED | 1 << NAMED_STOPPING },
        [NAMED_STOPPING] = { "stopping", 1 << NAMED_STOPPED },
};

const char *named_state_to_string(NamedState state) {
        return states[state].name;
}

bool named_state_may_follow(NamedState from, NamedState to) {
        return states[from].next & 1U << to;
}

static void named_tell(const NamedServer *n, const char *sentence) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        Watch *watch = n->set->daemon->watch;

        if (!watch)
                return;
        named_write_summary(n, &t, NULL);
        watch_event(watch, "server", json_text_finish(&t) < 0 ? NULL : t.text, "%s: %s",
                    n->settings->name, sentence);
}

static void named_set_state(NamedServer *n, NamedState state, const char *sentence) {
        if (!named_state_may_follow(n->state, state)) {
                log_about(LOG_ERR, 0, LOG_SERVER(n->settings->name),
                          "forkserver '%s': ignoring a move from %s to %s", n->settings->name,
                          named_state_to_string(n->state), named_state_to_string(state));
                return;
        }
        n->state = state;
        named_tell(n, sentence);
}

static void named_set_reason(NamedServer *n, const char *reason) {
        char *copy = reason ? strdup(reason) : NULL;

        free(n->reason);
        n->reason = copy;
}

const ServerSettings *named_settings(const NamedServer *n) {
        return n->settings;
}

NamedState named_state(const NamedServer *n) {
        return n->state;
}

const char *named_reason(const NamedServer *n) {
        return n->reason;
}

const char *named_invalid(const NamedServer *n) {
        return n->invalid;
}

const json_t *named_entries(const NamedServer *n) {
        return n->entries;
}

/* ---- generations */

Server *named_next_generation(const NamedServer *n, const Server *s) {
        Server *other, *found = NULL;

        DL_FOREACH (n->set->daemon->servers->servers, other)
                if (other->named == n && (!s || other->generation < s->generation) &&
                    (!found || other->generation > found->generation))
                        found = other;
        return found;
}

/* It has nothing to do with what comes; its end is awaited. */
static void generation_abandon(Server *s) {
        s->refused = true;
        if (s->state == SERVER_STARTING)
                server_become(s, SERVER_RETIRED);
        host_kill(s);
}

static void generation_retire(Server *s) {
        spare_end_all(s);
        host_retire(s);
}

static Server *generation_new(NamedServer *n, const ServerSettings *settings) {
        Server *s = server_new(SERVER_HOST);

        if (!s)
                return NULL;
        s->daemon = n->set->daemon;
        s->named = n;
        s->generation = n->generation + 1;
        s->uid = settings->user.uid;
        s->spare_wanted = settings->spare;
        s->name = strdup(settings->name);
        if (!s->name || asprintf(&s->label, "%s#%u", settings->name, s->generation) < 0) {
                s->label = NULL;
                server_free(s);
                return NULL;
        }
        return s;
}

static int on_start_due(sd_event_source *source, uint64_t usec, void *userdata);

static void named_start_at(NamedServer *n, uint64_t delay_usec) {
        int r;

        n->start_timer = sd_event_source_disable_unref(n->start_timer);
        n->start_at = now_usec(CLOCK_REALTIME) + delay_usec;
        r = sd_event_add_time_relative(n->set->daemon->event, &n->start_timer, CLOCK_MONOTONIC,
                                       delay_usec, 1000, on_start_due, n);
        if (r < 0)
                log_about(LOG_ERR, r, LOG_SERVER(n->settings->name),
                          "forkserver '%s': cannot arrange its start", n->settings->name);
}

static uint64_t retry_delay(unsigned n) {
        uint64_t delay = RETRY_MIN_USEC;

        if (n == 0)
                return 0;
        while (--n > 0 && delay < RETRY_MAX_USEC)
                delay *= 2;
        return delay < RETRY_MAX_USEC ? delay : RETRY_MAX_USEC;
}

/* The start that was under way has come to nothing. */
void named_fail(NamedServer *n, const char *reason) {
        const LogAbout failed = { .server = n->settings->name, .event = LOG_EVENT_SERVER_FAILED };

        named_set_reason(n, reason);
        n->starting = NULL;
        n->start_timer = sd_event_source_disable_unref(n->start_timer);
        n->next_settings = server_settings_free(n->next_settings);
        if (n->state == NAMED_STOPPING)
                return;
        if (n->serving) {
                free(steal(n->invalid)); /* that was of the next one */
                log_about(LOG_ERR, 0, failed,
                          "forkserver '%s': the next generation has failed, the present one goes "
                          "on: %s",
                          n->settings->name, reason);
                named_tell(n, reason);
        } else {
                log_about(LOG_ERR, 0, failed, "forkserver '%s' has failed: %s", n->settings->name,
                          reason);
                if (++n->failures < FAILURES_MAX && n->retry && !n->invalid)
                        named_start_at(n, retry_delay(n->failures));
                else
                        n->retry = false;
                if (n->state == NAMED_FAILED) /* for another reason now */
                        named_tell(n, reason);
                else
                        named_set_state(n, NAMED_FAILED, reason);
        }
        named_answer(n, false, reason);
        queue_wake(n->set->daemon->queue);
}

static void start_failed(NamedServer *n, int error, const ServerSettings *settings) {
        char reason[256];

        if (error == -ENOENT && !settings->command)
                snprintf(reason, sizeof(reason),
                         "forkd-server is not where forkd's other programs are; FORKD_LIBEXEC_DIR "
                         "may name its folder");
        else
                snprintf(reason, sizeof(reason), "its start could not be ordered: %s",
                         strerror(-error));
        named_fail(n, reason);
}

static void generation_start(NamedServer *n) {
        const ServerSettings *settings = n->next_settings ?: n->settings;
        ServerSet *set = n->set->daemon->servers;
        Server *s = generation_new(n, settings);
        int r = -ENOMEM;

        if (s)
                r = host_start(s, settings, n->lines);
        if (r != 0) {
                server_free(s);
                if (r == SERVER_E_WAIT) /* no spawner is up */
                        named_start_at(n, RETRY_MIN_USEC);
                else
                        start_failed(n, r, settings);
                return;
        }
        DL_APPEND(set->servers, s);
        n->generation = s->generation;
        n->starting = s;
        n->starts++;
}

static int on_start_due(sd_event_source *source, uint64_t usec, void *userdata) {
        _cleanup_(freep) char *invalid = NULL;
        NamedServer *n = userdata;

        (void)source;
        (void)usec;
        n->start_timer = sd_event_source_disable_unref(n->start_timer);
        if (n->state != NAMED_STARTING && n->state != NAMED_READY)
                named_set_state(n, NAMED_STARTING, "starting");
        if (n->invalid) {
                invalid = strdup(n->invalid);
                named_fail(n, invalid ?: strerror(ENOMEM));
        } else
                generation_start(n);
        return 0;
}

void named_start_soon(NamedServer *n, bool retry) {
        if (n->starting) {
                generation_abandon(n->starting);
                n->starting = NULL;
        }
        n->retry = retry;
        n->failures = 0;
        n->refusals = 0;
        n->stopped = false;
        if (n->state != NAMED_STARTING && n->state != NAMED_READY)
                named_set_state(n, NAMED_STARTING, "starting");
        named_start_at(n, 0);
}

void named_begin(NamedServer *n) {
        _cleanup_(freep) char *invalid = n->invalid ? strdup(n->invalid) : NULL;

        n->stopped = false;
        if (n->invalid)
                named_fail(n, invalid ?: strerror(ENOMEM));
        else if (n->settings->start_at_boot)
                named_start_soon(n, true);
}

void named_rest(NamedServer *n) {
        if (n->state == NAMED_FAILED && !n->start_timer && !n->starting)
                named_set_state(n, NAMED_STOPPED, "the next use starts it again");
}

/* ---- what generations tell */

void named_generation_ready(NamedServer *n, Server *s) {
        Server *old = n->serving;
        char sentence[128];

        if (s != n->starting) {
                generation_abandon(s);
                return;
        }
        n->starting = NULL;
        n->serving = s;
        if (n->next_settings) {
                server_settings_free(n->settings);
                n->settings = steal(n->next_settings);
        }
        json_decref(n->entries);
        n->entries = json_incref(s->entries);
        n->failures = 0;
        n->refusals = 0;
        n->retry = true;
        named_set_reason(n, NULL);

        snprintf(sentence, sizeof(sentence),
                 "ready with pid %d, generation %u, preloaded in %.1f ms", s->pid, s->generation,
                 (double)s->preload_usec / 1000);
        log_about(LOG_INFO, 0, (LogAbout){ .server = s->label, .event = LOG_EVENT_SERVER_READY },
                  "forkserver '%s': %s", n->settings->name, sentence);
        if (n->state == NAMED_READY)
                named_tell(n, sentence);
        else
                named_set_state(n, NAMED_READY, sentence);
        if (old)
                generation_retire(old);
        spare_refill(s);
        named_answer(n, false, NULL);
        queue_wake(n->set->daemon->queue);
}

bool named_generation_unstarted(NamedServer *n, Server *s) {
        if (s != n->starting || n->refusals >= REFUSALS_MAX)
                return false;
        n->starting = NULL;
        n->starts--;
        named_start_at(n, retry_delay(++n->refusals));
        return true;
}

void named_generation_refused(NamedServer *n, Server *s, const char *reason) {
        if (s == n->starting)
                named_fail(n, reason);
}

/* The one that served has died: the next one at once, unless this has become a habit. */
static void serving_died(NamedServer *n, const Server *s) {
        uint64_t lived = now_usec(CLOCK_MONOTONIC) - s->ready_at;

        log_about(LOG_WARNING, 0, (LogAbout){ .server = s->label, .event = LOG_EVENT_SERVER_GONE },
                  "%s with pid %d has gone: %s", s->label, s->pid, s->reason);
        n->serving = NULL;
        n->retry = true;
        n->deaths = lived < YOUNG_USEC ? n->deaths + 1 : 0;
        if (n->state != NAMED_READY)
                return;
        named_set_reason(n, s->reason);
        if (n->starting || n->start_timer)
                named_set_state(n, NAMED_STARTING, s->reason);
        else {
                uint64_t delay = retry_delay(n->deaths > 0 ? n->deaths - 1 : 0);

                named_set_state(n, delay > 0 ? NAMED_FAILED : NAMED_STARTING, s->reason);
                named_start_at(n, delay);
        }
        queue_wake(n->set->daemon->queue);
}

static void named_check_soon(NamedServer *n) {
        (void)sd_event_source_set_enabled(n->check, SD_EVENT_ONESHOT);
}

void named_generation_gone(NamedServer *n, Server *s) {
        if (!s->over) {
                s->over = true;
                if (s == n->starting)
                        named_fail(n, s->reason);
                else if (s == n->serving)
                        serving_died(n, s);
        }
        if (s->host)
                return;
        DL_DELETE(n->set->daemon->servers->servers, s);
        server_free(s);
        named_check_soon(n);
}

/* ---- what is asked for */

void named_take_settings(NamedServer *n, ServerSettings *settings, char *invalid) {
        free(n->invalid);
        n->invalid = invalid;
        n->next_settings = server_settings_free(n->next_settings);
        if (n->serving && (invalid || !server_settings_same_process(n->settings, settings))) {
                n->next_settings = settings;
                return;
        }
        server_settings_free(n->settings);
        n->settings = settings;
        if (n->serving)
                named_scale(n, settings->spare);
}

/* What its file says now; it may have been mended. */
static int named_read_settings(NamedServer *n) {
        Daemon *d = n->set->daemon;
        ServerSettings *settings = NULL;
        char *invalid = NULL;
        int r;

        if (n->settings->origin != SERVER_FROM_CONFIGURATION)
                return 0;
        r = server_settings_load(&settings, n->settings->name, d->paths->config,
                                 &d->config->warnings, &invalid);
        if (r < 0)
                return r;
        if (r == SERVER_SETTINGS_E_NONE)
                log_about(LOG_WARNING, 0, LOG_SERVER(n->settings->name),
                          "forkserver '%s': its file is gone, its settings stay as they were",
                          n->settings->name);
        else
                named_take_settings(n, settings, invalid);
        return 0;
}

int named_start_again(NamedServer *n) {
        int r = named_read_settings(n);

        if (r < 0)
                return r;
        named_start_soon(n, false);
        return 0;
}

int named_reload(NamedServer *n) {
        return named_start_again(n);
}

static void end_jobs(NamedServer *n) {
        Daemon *d = n->set->daemon;
        Job *job, *next;

        HASH_ITER (hh, d->jobs, job, next)
                if (job->running && job->spec->start_method == START_METHOD_FORKSERVER &&
                    streq_null(job->spec->server, n->settings->name))
                        job_stop(job, RESULT_CANCELLED, NULL, "its forkserver was stopped");
}

void named_stop(NamedServer *n, bool kill) {
        n->stopped = true;
        n->anew = false;
        n->retry = false;
        n->start_timer = sd_event_source_disable_unref(n->start_timer);
        n->next_settings = server_settings_free(n->next_settings);
        if (n->starting) { /* a stop interrupts a start */
                generation_abandon(n->starting);
                n->starting = NULL;
        }
        if (n->state != NAMED_STOPPING)
                named_set_state(n, NAMED_STOPPING, "no new work; its last workers run");
        if (n->serving) {
                generation_retire(n->serving);
                n->serving = NULL;
        }
        if (kill)
                end_jobs(n);
        named_answer(n, false, "it was stopped");
        queue_wake(n->set->daemon->queue);
        named_check_soon(n);
}

void named_check_stopped(NamedServer *n) {
        Daemon *d = n->set->daemon;

        if (n->state == NAMED_STOPPING && !named_next_generation(n, NULL)) {
                named_set_reason(n, NULL);
                named_set_state(n, NAMED_STOPPED, "stopped");
                named_answer(n, true, NULL);
                if (n->anew) {
                        n->anew = false;
                        named_begin(n);
                        queue_wake(d->queue);
                } else if (n->forget || n->settings->origin == SERVER_FROM_REQUEST)
                        named_free(n);
        }
        daemon_check_drained(d);
}

void named_scale(NamedServer *n, unsigned spare) {
        n->settings->spare = spare;
        if (n->next_settings)
                n->next_settings->spare = spare;
        if (n->starting)
                n->starting->spare_wanted = spare;
        if (n->serving) {
                n->serving->spare_wanted = spare;
                spare_refill(n->serving);
        }
}

int named_look(const NamedServer *n, const char *entry, Server **ret) {
        json_t *e;
        size_t i;

        switch (n->state) {
        case NAMED_STOPPED:
                return n->stopped || n->set->stopping ? SERVER_E_FAILED : SERVER_E_WAIT;
        case NAMED_STARTING:
                return SERVER_E_WAIT;
        case NAMED_FAILED:
                return n->start_timer ? SERVER_E_WAIT : SERVER_E_FAILED;
        case NAMED_STOPPING:
                return n->anew ? SERVER_E_WAIT : SERVER_E_FAILED;
        default:
                break;
        }

        /* it has just died, and its end is being told; or it has not answered many orders */
        if (!n->serving || n->serving->state != SERVER_READY ||
            n->serving->n_unwanted >= SERVER_UNWANTED_MAX)
                return SERVER_E_WAIT;
        json_array_foreach (n->entries, i, e)
                if (streq_null(json_string_value(json_object_get(e, "name")), entry)) {
                        *ret = n->serving;
                        return 0;
                }
        return SERVER_E_NO_ENTRY;
}

int named_pick(NamedServer *n, const char *entry, Server **ret) {
        int r = named_look(n, entry, ret);

        if (r == SERVER_E_WAIT && n->state == NAMED_STOPPED)
                named_start_soon(n, true);
        return r;
}
