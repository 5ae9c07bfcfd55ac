/* SPDX-License-Identifier: Apache-2.0 */

/* Watchers: owned by the daemon; each holds one unanswered call. In forkd. The ring remembers which
 * job changed to what; certificates stay with the jobs. */

#include "watch.h"

#include "daemon.h"
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <utlist.h>

#define KEEP_ALIVE_USEC (30 * USEC_PER_SEC) /* clients give up after 45 s of silence */

typedef struct Watcher Watcher;

typedef struct Watched {
        uint64_t id;
        uint64_t since; /* what changed before is known already */
        bool finished;  /* its end has been told */
} Watched;

struct Watcher {
        Watch *watch;
        Call *call;
        Watched *jobs; /* NULL: all */
        size_t n_jobs, n_open;
        bool subscriber; /* of the daemon's events, not of jobs */
        bool behind; /* it is told the following as its reader takes it, and after that what happens
                      */
        uint64_t cursor; /* of the next change */
        size_t next_job; /* the next of its jobs to tell the present of */
        bool ends_only;  /* of those only that have ended */
        uint64_t spoke;  /* CLOCK_MONOTONIC */
        Watcher *prev, *next;
};

typedef struct Change {
        uint64_t job;
        uint32_t uid;
        JobState state;
} Change;

struct Watch {
        Daemon *daemon;
        Change *ring;
        uint64_t cursor; /* of the next change; the first is 1 */
        Watcher *watchers;
        size_t n_watchers;
        sd_event_source *timer, *catch_up;
};

static void watcher_free(Watcher *w) {
        DL_DELETE(w->watch->watchers, w);
        w->watch->n_watchers--;
        free(w->jobs);
        free(w);
}

static void on_watcher_gone(Call *call, void *userdata) {
        (void)call;
        watcher_free(userdata);
}

static int on_keep_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        Watch *watch = userdata;
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        Watcher *w, *next;

        (void)usec;
        DL_FOREACH_SAFE (watch->watchers, w, next) {
                char text[64];
                int n;

                if (w->behind || now - w->spoke < KEEP_ALIVE_USEC / 2)
                        continue;
                w->spoke = now;
                n = w->subscriber ? snprintf(text, sizeof(text),
                                             "{\"event\":\"alive\",\"sentence\":\"alive\"}")
                                  : snprintf(text, sizeof(text), "{\"cursor\":%" PRIu64 "}",
                                             watch->cursor);
                (void)call_reply_text(w->call, text, (size_t)n, true);
        }
        if (watch->watchers) {
                (void)sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC / 2);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int on_catch_up(sd_event_source *source, uint64_t usec, void *userdata);

int watch_new(Watch **ret, Daemon *daemon) {
        Watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->daemon = daemon;
        w->cursor = 1;
        w->ring = calloc(WATCH_RING, sizeof(*w->ring));
        r = w->ring ? 0 : -ENOMEM;
        if (r >= 0)
                r = sd_event_add_time(daemon->event, &w->timer, CLOCK_MONOTONIC, 0, 0,
                                      on_keep_alive, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(daemon->event, &w->catch_up, CLOCK_MONOTONIC, 0, 0,
                                      on_catch_up, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->catch_up, SD_EVENT_OFF);
        if (r < 0) {
                watch_free(w);
                return r;
        }

        *ret = w;
        return 0;
}

Watch *watch_free(Watch *w) {
        if (!w)
                return NULL;
        while (w->watchers) {
                call_set_gone(w->watchers->call, NULL, NULL);
                watcher_free(w->watchers);
        }
        sd_event_source_disable_unref(w->timer);
        sd_event_source_disable_unref(w->catch_up);
        free(w->ring);
        free(w);
        return NULL;
}

size_t watch_count(const Watch *w) {
        return w->n_watchers;
}

static int watcher_new(Watcher **ret, Watch *watch, Call *call) {
        Watcher *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->watch = watch;
        w->call = call;
        w->spoke = now_usec(CLOCK_MONOTONIC);
        if (!watch->watchers) {
                (void)sd_event_source_set_time_relative(watch->timer, KEEP_ALIVE_USEC / 2);
                (void)sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
        }
        DL_APPEND(watch->watchers, w);
        watch->n_watchers++;
        call_set_gone(call, on_watcher_gone, w);
        *ret = w;
        return 0;
}

static int write_change(JsonText *t, uint64_t cursor, uint64_t id, JobState state, const Job *job) {
        json_text_reset(t);
        json_text_open(t, NULL, '{');
        json_text_int(t, "cursor", (int64_t)cursor);
        json_text_int(t, "id", (int64_t)id);
        json_text_string(t, "state", job_state_to_string(state));
        if (state == JOB_FINISHED && job && job->certificate)
                certificate_write(job->certificate, t, "certificate", -1);
        json_text_close(t, '}');
        return json_text_finish(t);
}

static void watcher_finish(Watcher *w, const JsonText *last) {
        Call *call = w->call;
        char text[64];

        call_set_gone(call, NULL, NULL);
        if (last)
                (void)call_reply_text(call, last->text, last->length, false);
        else {
                int n = snprintf(text, sizeof(text), "{\"cursor\":%" PRIu64 "}", w->watch->cursor);

                (void)call_reply_text(call, text, (size_t)n, false);
        }
        watcher_free(w);
}

static bool watcher_may_see(const Watcher *w, uid_t uid) {
        const Peer *peer = connection_peer(call_connection(w->call));

        return peer->uid == 0 || peer->uid == geteuid() || peer->uid == uid;
}

enum {
        WATCHER_ANSWERED = 1, /* for good: it is freed */
};

static int watcher_send(Watcher *w, const JsonText *t, Watched *watched, bool finished) {
        if (watched && finished) {
                watched->finished = true;
                if (--w->n_open == 0) {
                        watcher_finish(w, t);
                        return WATCHER_ANSWERED;
                }
        }
        w->spoke = now_usec(CLOCK_MONOTONIC);
        (void)call_reply_text(w->call, t->text, t->length, true);
        return 0;
}

/* Tells one watcher of the change at a cursor, if it wants it. */
static int watcher_tell(Watcher *w, const JsonText *t, uint64_t cursor, const Change *change) {
        Watched *watched = w->jobs, *end = w->jobs + w->n_jobs;

        if (!watcher_may_see(w, change->uid))
                return 0;
        while (watched < end && watched->id != change->job)
                watched++;
        if (w->jobs && (watched == end || watched->finished || cursor < watched->since))
                return 0;
        return watcher_send(w, t, w->jobs ? watched : NULL, change->state == JOB_FINISHED);
}

static int watcher_refuse(Watcher *w) {
        Call *call = w->call;
        uint64_t cursor = w->cursor;

        call_set_gone(call, NULL, NULL);
        watcher_free(w);
        (void)call_invalid_parameter(call, "cursor",
                                     "changes since cursor %" PRIu64
                                     " are not known any more, as they were not read in time: "
                                     "watch without a cursor to begin with the present",
                                     cursor);
        return WATCHER_ANSWERED;
}

/* Looks again soon whether those who are behind have read something. */
static void watch_wait(Watch *watch) {
        (void)sd_event_source_set_time_relative(watch->catch_up, CALL_PENDING_USEC);
        (void)sd_event_source_set_enabled(watch->catch_up, SD_EVENT_ONESHOT);
}

void watch_job_changed(Watch *watch, const Job *job) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        uint64_t cursor = watch->cursor++;
        Change *change = &watch->ring[cursor % WATCH_RING];
        Watcher *w, *next;

        *change = (Change){ .job = job->id, .uid = job->owner.uid, .state = job->state };
        if (!watch->watchers || write_change(&t, watch->cursor, job->id, job->state, job) < 0)
                return;
        DL_FOREACH_SAFE (watch->watchers, w, next) {
                if (w->subscriber || w->behind)
                        continue;
                if (call_pending_output(w->call) > CALL_PENDING_MAX) {
                        w->behind = true;
                        w->cursor = cursor;
                        watch_wait(watch);
                        continue;
                }
                (void)watcher_tell(w, &t, cursor, change);
        }
}

static uint64_t oldest_cursor(const Watch *w) {
        return w->cursor > WATCH_RING ? w->cursor - WATCH_RING : 1;
}

/* One that is still to come is of a former daemon, which counted on its own. */
bool watch_remembers(const Watch *w, uint64_t cursor) {
        return cursor >= oldest_cursor(w) && cursor <= w->cursor;
}

/* Tells it of the next change. */
static int tell_change(Watcher *w) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const Watch *watch = w->watch;
        const Change *change = &watch->ring[w->cursor % WATCH_RING];

        if (write_change(&t, w->cursor + 1, change->job, change->state,
                         job_find(watch->daemon, change->job)) < 0)
                return -ENOMEM;
        return watcher_tell(w, &t, w->cursor++, change);
}

/* Tells it how the next of its jobs is at present; after a replay only of an end that was before
 * its cursor. */
static int tell_present(Watcher *w) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        Watched *watched = &w->jobs[w->next_job];
        const Job *job = job_find(w->watch->daemon, watched->id);
        Change change = { .job = watched->id, .state = JOB_FINISHED };

        /* one that is not there any more was finished and forgotten in between */
        if (job)
                change = (Change){ .job = job->id, .uid = job->owner.uid, .state = job->state };
        if (watched->finished || (w->ends_only && change.state != JOB_FINISHED)) {
                w->next_job++;
                return 0;
        }
        if (write_change(&t, w->watch->cursor, change.job, change.state, job) < 0)
                return -ENOMEM;
        w->next_job++;
        watched->since = w->watch->cursor;
        return watcher_send(w, &t, watched, change.state == JOB_FINISHED);
}

/* Tells it all up to now, as its reader takes it: the present of its jobs, then what changed since;
 * or, from a cursor, the changes first. */
static int watcher_catch_up(Watcher *w) {
        Watch *watch = w->watch;
        int r = 0;

        while (r == 0 && (w->cursor < watch->cursor || w->next_job < w->n_jobs)) {
                if (!watch_remembers(watch, w->cursor))
                        return watcher_refuse(w);
                if (call_pending_output(w->call) > CALL_PENDING_MAX) {
                        watch_wait(watch);
                        return 0;
                }
                if (w->next_job < w->n_jobs && (!w->ends_only || w->cursor == watch->cursor))
                        r = tell_present(w);
                else
                        r = tell_change(w);
        }
        if (r == 0)
                w->behind = false;
        return r;
}

static int on_catch_up(sd_event_source *source, uint64_t usec, void *userdata) {
        Watch *watch = userdata;
        Watcher *w, *next;

        (void)source;
        (void)usec;
        DL_FOREACH_SAFE (watch->watchers, w, next)
                if (w->behind && watcher_catch_up(w) < 0)
                        watch_wait(watch);
        return 0;
}

int watch_add(Watch *watch, Call *call, uint64_t *ids, size_t n_ids, bool has_cursor,
              uint64_t cursor) {
        Watched *jobs = ids ? calloc(n_ids + 1, sizeof(*jobs)) : NULL;
        Watcher *w;
        int r;

        for (size_t i = 0; jobs && i < n_ids; i++)
                jobs[i].id = ids[i];
        r = ids && !jobs ? -ENOMEM : watcher_new(&w, watch, call);
        if (r < 0) {
                free(jobs);
                free(ids);
                return r;
        }
        free(ids);
        w->jobs = jobs;
        w->n_jobs = w->n_open = n_ids;
        w->cursor = has_cursor ? cursor : watch->cursor;
        w->ends_only = has_cursor;
        w->behind = true;

        if (jobs && n_ids == 0) {
                watcher_finish(w, NULL);
                return 0;
        }
        r = watcher_catch_up(w);
        return r < 0 ? r : 0;
}

int watch_subscribe(Watch *watch, Call *call) {
        Watcher *w;
        int r = watcher_new(&w, watch, call);

        if (r < 0)
                return r;
        w->subscriber = true;
        return 0;
}

void watch_event(Watch *watch, const char *event, const char *server, const char *sentence, ...) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        char text[256];
        Watcher *w, *next;
        va_list ap;

        va_start(ap, sentence);
        vsnprintf(text, sizeof(text), sentence, ap);
        va_end(ap);

        json_text_open(&t, NULL, '{');
        json_text_string(&t, "event", event);
        json_text_string(&t, "sentence", text);
        if (server)
                json_text_raw(&t, "server", server, strlen(server));
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return;

        DL_FOREACH_SAFE (watch->watchers, w, next)
                if (w->subscriber) {
                        w->spoke = now_usec(CLOCK_MONOTONIC);
                        (void)call_reply_text(w->call, t.text, t.length, true);
                }
}
