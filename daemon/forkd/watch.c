/* SPDX-License-Identifier: Apache-2.0 */

/* Watchers: owned by the daemon; each holds one unanswered call. In forkd. The ring remembers which job changed to
 * what; certificates stay with the jobs. */

#include "watch.h"

#include "daemon.h"
#include "log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <utlist.h>

#define KEEP_ALIVE_USEC (30 * USEC_PER_SEC) /* clients give up after 45 s of silence */

typedef struct Watcher Watcher;

struct Watcher {
        Watch *watch;
        Call *call;
        uint64_t *ids; /* NULL: all; those that are finished become 0 */
        size_t n_ids, n_open;
        bool subscriber; /* of the daemon's events, not of jobs */
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
        sd_event_source *timer;
};

static void watcher_free(Watcher *w) {
        DL_DELETE(w->watch->watchers, w);
        w->watch->n_watchers--;
        free(w->ids);
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
        DL_FOREACH_SAFE(watch->watchers, w, next) {
                char text[64];
                int n;

                if (now - w->spoke < KEEP_ALIVE_USEC / 2)
                        continue;
                w->spoke = now;
                n = w->subscriber ? snprintf(text, sizeof(text), "{\"event\":\"alive\",\"sentence\":\"alive\"}")
                                  : snprintf(text, sizeof(text), "{\"cursor\":%" PRIu64 "}", watch->cursor);
                (void)call_reply_text(w->call, text, (size_t)n, true);
        }
        if (watch->watchers) {
                (void)sd_event_source_set_time_relative(source, KEEP_ALIVE_USEC / 2);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

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
                r = sd_event_add_time(daemon->event, &w->timer, CLOCK_MONOTONIC, 0, 0, on_keep_alive, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->timer, SD_EVENT_OFF);
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

/* Tells one watcher of a change, if it wants it; may free it. */
static void watcher_tell(Watcher *w, const JsonText *t, uint64_t id, uid_t uid, bool finished) {
        if (w->subscriber || !watcher_may_see(w, uid))
                return;

        if (w->ids) {
                size_t i = 0;

                while (i < w->n_ids && w->ids[i] != id)
                        i++;
                if (i == w->n_ids)
                        return;
                if (finished) {
                        w->ids[i] = 0;
                        if (--w->n_open == 0) {
                                watcher_finish(w, t);
                                return;
                        }
                }
        }
        w->spoke = now_usec(CLOCK_MONOTONIC);
        (void)call_reply_text(w->call, t->text, t->length, true);
}

void watch_job_changed(Watch *watch, const Job *job) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        uint64_t cursor = watch->cursor++;
        Watcher *w, *next;

        watch->ring[cursor % WATCH_RING] = (Change){ .job = job->id, .uid = job->owner.uid, .state = job->state };
        if (!watch->watchers)
                return;

        if (write_change(&t, watch->cursor, job->id, job->state, job) < 0)
                return;
        DL_FOREACH_SAFE(watch->watchers, w, next)
                watcher_tell(w, &t, job->id, job->owner.uid, job->state == JOB_FINISHED);
}

static uint64_t oldest_cursor(const Watch *w) {
        return w->cursor > WATCH_RING ? w->cursor - WATCH_RING : 1;
}

/* One that is still to come is of a former daemon, which counted on its own. */
bool watch_remembers(const Watch *w, uint64_t cursor) {
        return cursor >= oldest_cursor(w) && cursor <= w->cursor;
}

enum {
        WATCHER_ANSWERED = 1, /* for good: it is freed */
};

/* What happened since cursor. */
static int replay(Watch *watch, Watcher *w, uint64_t cursor) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        size_t n_before = watch->n_watchers;

        for (uint64_t c = cursor; c < watch->cursor; c++) {
                const Change *change = &watch->ring[c % WATCH_RING];

                if (write_change(&t, c + 1, change->job, change->state, job_find(watch->daemon, change->job)) < 0)
                        return -ENOMEM;
                watcher_tell(w, &t, change->job, change->uid, change->state == JOB_FINISHED);
                if (watch->n_watchers < n_before)
                        return WATCHER_ANSWERED;
        }
        return 0;
}

/* How the jobs named are at present; after a replay only of the ends that were before its cursor. */
static int tell_present(Watch *watch, Watcher *w, const uint64_t *ids, size_t n_ids, bool ends_only) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        for (size_t i = 0; i < n_ids; i++) {
                const Job *job = job_find(watch->daemon, ids[i]);
                bool last = w->n_open == 1 && job->state == JOB_FINISHED && w->ids[i] != 0;

                if (w->ids[i] == 0 || (ends_only && job->state != JOB_FINISHED))
                        continue;
                if (write_change(&t, watch->cursor, job->id, job->state, job) < 0)
                        return -ENOMEM;
                watcher_tell(w, &t, job->id, job->owner.uid, job->state == JOB_FINISHED);
                if (last)
                        return 0;
        }
        return 0;
}

int watch_add(Watch *watch, Call *call, uint64_t *ids, size_t n_ids, bool has_cursor, uint64_t cursor) {
        _cleanup_(freep) uint64_t *copy = NULL;
        Watcher *w;

        if (ids) {
                copy = malloc(n_ids * sizeof(*ids) + 1);
                if (!copy) {
                        free(ids);
                        return -ENOMEM;
                }
                memcpy(copy, ids, n_ids * sizeof(*ids));
        }
        if (watcher_new(&w, watch, call) < 0) {
                free(ids);
                return -ENOMEM;
        }
        w->ids = ids;
        w->n_ids = w->n_open = n_ids;

        if (ids && n_ids == 0) {
                watcher_finish(w, NULL);
                return 0;
        }
        if (has_cursor) {
                int r = replay(watch, w, cursor);

                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return ids ? tell_present(watch, w, copy, n_ids, has_cursor) : 0;
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

        DL_FOREACH_SAFE(watch->watchers, w, next)
                if (w->subscriber) {
                        w->spoke = now_usec(CLOCK_MONOTONIC);
                        (void)call_reply_text(w->call, t.text, t.length, true);
                }
}
