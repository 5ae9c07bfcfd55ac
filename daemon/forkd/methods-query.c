/* SPDX-License-Identifier: Apache-2.0 */

/* The methods that only look: List, Show, Watch. A long List under `more` goes out as its reader
 * takes it. In forkd. */

#include "methods.h"

#include <inttypes.h>

#define LIST_TEXT_MAX ((size_t)900 * 1024) /* bytes of such a reply */

typedef struct Filter {
        unsigned states; /* bits; all when nothing was said */
        char *queue, *name;
        int64_t limit; /* the newest so many; 0: all */
} Filter;

static void filter_done(Filter *f) {
        free(f->queue);
        free(f->name);
}

static bool filter_refused(Call *call, json_t *parameters, Filter *ret) {
        json_t *states = json_object_get(parameters, "states"), *element;
        const char *queue, *name;
        size_t i;

        ret->states = (1u << _JOB_STATE_MAX) - 1;
        if (string_read_refused(call, parameters, "queue", &queue) ||
            string_read_refused(call, parameters, "name", &name) ||
            int_read_refused(call, parameters, "limit", 1, INT64_MAX, &ret->limit))
                return true;

        if (states && !json_is_null(states)) {
                if (!json_is_array(states)) {
                        (void)call_invalid_parameter(call, "states",
                                                     "'states' is a list of states");
                        return true;
                }
                ret->states = 0;
                json_array_foreach (states, i, element) {
                        JobState state = json_is_string(element)
                                                 ? job_state_from_string(json_string_value(element))
                                                 : _JOB_STATE_INVALID;

                        if (state < 0) {
                                (void)call_invalid_parameter(
                                        call, "states",
                                        "element %zu of 'states' is no state: there are queued starting "
                                        "running paused stopping finished parked",
                                        i);
                                return true;
                        }
                        ret->states |= 1u << state;
                }
        }

        ret->queue = queue ? strdup(queue) : NULL;
        ret->name = name ? strdup(name) : NULL;
        return false;
}

static bool filter_matches(const Filter *f, const Job *job, const Peer *peer) {
        return f->states & 1u << job->state &&
               (!f->queue || streq_null(f->queue, job->spec->queue)) &&
               (!f->name || streq_null(f->name, job->spec->name)) && job_permits(job, peer);
}

/* The first job to list: jobs are in the order of their ids. */
static const Job *filter_first(const Daemon *d, const Filter *f, const Peer *peer) {
        const Job *first = NULL, *job;
        int64_t n = 0;

        if (!d->jobs || f->limit == 0)
                return d->jobs;
        for (job = ELMT_FROM_HH(d->jobs->hh.tbl, d->jobs->hh.tbl->tail); job && n < f->limit;
             job = job->hh.prev)
                if (filter_matches(f, job, peer)) {
                        first = job;
                        n++;
                }
        return first;
}

static int list_single(Call *call, const Daemon *d, Filter *f) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const Peer *peer = connection_peer(call_connection(call));

        json_text_open(&t, NULL, '{');
        json_text_open(&t, "jobs", '[');
        for (const Job *job = filter_first(d, f, peer); job && t.length <= LIST_TEXT_MAX;
             job = job->hh.next)
                if (filter_matches(f, job, peer))
                        job_write_status(job, &t, NULL, false);
        json_text_close(&t, ']');
        json_text_close(&t, '}');

        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        if (t.length > LIST_TEXT_MAX)
                return wire_error(
                        call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "message"),
                        "so many jobs do not fit one reply: call List with more, or with a smaller limit");
        return call_reply_text(call, t.text, t.length, false);
}

/* ---- under more */

typedef struct Listing {
        Daemon *daemon;
        Call *call;
        Filter filter;
        uint64_t next_id; /* of the next job to look at */
        sd_event_source *timer;
} Listing;

static Listing *listing_free(Listing *l) {
        sd_event_source_disable_unref(l->timer);
        filter_done(&l->filter);
        free(l);
        return NULL;
}

static void on_listing_gone(Call *call, void *userdata) {
        (void)call;
        listing_free(userdata);
}

/* Jobs with smaller ids may have been forgotten since. */
static const Job *listing_resume(const Listing *l) {
        const Job *job = job_find(l->daemon, l->next_id);

        if (job || !l->daemon->jobs)
                return job;
        for (job = l->daemon->jobs; job && job->id < l->next_id; job = job->hh.next)
                ;
        return job;
}

static int listing_next(Listing *l) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        const Peer *peer = connection_peer(call_connection(l->call));
        const Job *job = listing_resume(l);
        Call *call = l->call;

        for (; job; job = job->hh.next) {
                if (!filter_matches(&l->filter, job, peer))
                        continue;
                if (call_pending_output(call) > CALL_PENDING_MAX) {
                        l->next_id = job->id;
                        (void)sd_event_source_set_time_relative(l->timer, CALL_PENDING_USEC);
                        (void)sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
                        return 0;
                }
                json_text_reset(&t);
                json_text_open(&t, NULL, '{');
                job_write_status(job, &t, "job", false);
                json_text_close(&t, '}');
                if (json_text_finish(&t) < 0)
                        return -ENOMEM;
                (void)call_reply_text(call, t.text, t.length, true);
        }

        call_set_gone(call, NULL, NULL);
        listing_free(l);
        return call_reply(call, NULL, false);
}

static int on_listing(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        (void)listing_next(userdata);
        return 0;
}

int method_list(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "states", "queue", "name", "limit", NULL };
        _cleanup_(filter_done) Filter filter = { 0 };
        Daemon *d = userdata;
        const Job *first;
        Listing *l;
        int r;

        if (refuse_unknown(call, parameters, known) || filter_refused(call, parameters, &filter))
                return 0;
        if (!call_wants_more(call))
                return list_single(call, d, &filter);

        first = filter_first(d, &filter, connection_peer(call_connection(call)));
        if (!first)
                return call_reply(call, NULL, false);
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->daemon = d;
        l->call = call;
        l->next_id = first->id;
        r = sd_event_add_time(d->event, &l->timer, CLOCK_MONOTONIC, 0, 0, on_listing, l);
        if (r >= 0)
                r = sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        if (r < 0) {
                listing_free(l);
                return r;
        }
        l->filter = filter;
        filter = (Filter){ 0 };
        call_set_gone(call, on_listing_gone, l);
        return listing_next(l);
}

/* ---- */

int method_show(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "id", NULL };
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;
        _cleanup_(freep) char *text = NULL;
        Daemon *d = userdata;
        const Peer *peer = connection_peer(call_connection(call));
        int64_t id = 0;
        json_t *spec;
        Job *job;
        int r;

        if (refuse_unknown(call, parameters, known) ||
            int_read_refused(call, parameters, "id", 1, INT64_MAX, &id))
                return 0;
        if (id == 0)
                return call_invalid_parameter(call, "id", "Show needs 'id', the id of a job");
        job = job_for_call(d, call, (uint64_t)id);
        if (!job)
                return 0;

        /* what others put into the environment of their jobs is theirs: root looks elsewhere if it
         * must */
        spec = job_spec_dump(job->spec, peer->uid == job->owner.uid);
        text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
        json_decref(spec);
        if (!text)
                return -ENOMEM;

        json_text_open(&t, NULL, '{');
        job_write_status(job, &t, "status", true);
        json_text_raw(&t, "job", text, strlen(text));
        json_text_close(&t, '}');
        if (json_text_finish(&t) < 0)
                return -ENOMEM;
        r = call_reply_text(call, t.text, t.length, false);
        if (r != -EMSGSIZE)
                return r;
        return wire_error(
                call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "message"),
                "job %" PRId64
                " and its status do not fit one message: List tells the status, and OpenOutput has its "
                "value",
                id);
}

int method_watch(Call *call, json_t *parameters, void *userdata) {
        static const char *const known[] = { "ids", "cursor", NULL };
        _cleanup_(ids_done) Ids ids = { 0 };
        Daemon *d = userdata;
        int64_t cursor = 0;

        if (refuse_unknown(call, parameters, known) ||
            ids_read_refused(call, parameters, "ids", false, &ids) ||
            int_read_refused(call, parameters, "cursor", 1, INT64_MAX, &cursor))
                return 0;
        if (cursor > 0 && !watch_remembers(d->watch, (uint64_t)cursor))
                return call_invalid_parameter(call, "cursor",
                                              "changes since cursor %" PRId64
                                              " are not known (any more): watch without a cursor "
                                              "to begin with the present",
                                              cursor);
        for (size_t i = 0; i < ids.n_ids; i++) {
                if (!job_for_call(d, call, ids.ids[i]))
                        return 0;
                for (size_t k = 0; k < i; k++)
                        if (ids.ids[k] == ids.ids[i])
                                return call_invalid_parameter(
                                        call, "ids", "job %" PRIu64 " is named twice", ids.ids[i]);
        }
        return watch_add(d->watch, call, ids.given ? steal(ids.ids) : NULL, ids.n_ids, cursor > 0,
                         (uint64_t)cursor);
}
