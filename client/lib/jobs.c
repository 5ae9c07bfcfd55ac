/* SPDX-License-Identifier: Apache-2.0 */

/* The other methods of org.forkd.jobs: looking at jobs, waiting for them, acting on them. Lives in
 * clients. */

#include "connection.h"

#define JOBS "org.forkd.jobs."

static json_t *ids_to_json(const uint64_t *ids, size_t n_ids) {
        json_t *a = json_array();

        for (size_t i = 0; i < n_ids; i++)
                if (json_array_append_new(a, json_integer((json_int_t)ids[i])) < 0) {
                        json_decref(a);
                        return NULL;
                }
        return a;
}

/* Calls with parameters, whose reference it takes over; NULL means that there was no memory for
 * them. */
static int call_with(Forkd *f, const char *method, unsigned flags, json_t *parameters, Waiting *w) {
        const ForkdRequest request = { .method = method, .parameters = parameters, .flags = flags };
        int r;

        if (!parameters)
                return connection_fault(f, -ENOMEM, "out of memory");
        r = call_wait(f, &request, w);
        json_decref(parameters);
        return r;
}

static int malformed(Forkd *f, const char *method) {
        return connection_fault(f, -EBADMSG, "forkd's answer to %s lacks what it should have",
                                method);
}

/* ---- Watch */

typedef struct Watching {
        ForkdOnChange on_change;
        void *userdata;
        bool finished_only;
} Watching;

static int on_watch_reply(json_t *p, void *userdata) {
        const Watching *watching = userdata;
        ForkdChange change = {
                .cursor = json_integer_value(json_object_get(p, "cursor")),
                .id = (uint64_t)json_integer_value(json_object_get(p, "id")),
                .state = json_string_value(json_object_get(p, "state")),
                .certificate = json_object_get(p, "certificate"),
        };

        if (!json_is_object(change.certificate))
                change.certificate = NULL;
        if (!watching->on_change)
                return 0;
        if (watching->finished_only && (!change.state || !streq(change.state, "finished")))
                return 0;
        return watching->on_change(&change, watching->userdata);
}

static int watch(Forkd *f, const uint64_t *ids, size_t n_ids, int64_t cursor, Waiting *w) {
        json_t *p = json_object();
        int r;

        if (ids && json_object_set_new(p, "ids", ids_to_json(ids, n_ids)) < 0) {
                json_decref(p);
                p = NULL;
        }
        if (cursor >= 0 && json_object_set_new(p, "cursor", json_integer(cursor)) < 0) {
                json_decref(p);
                p = NULL;
        }
        r = call_with(f, JOBS "Watch", FORKD_CALL_MORE, p, w);
        /* The last reply tells of a change like those before it. */
        if (r == 0 && w->reply.outcome == 0 && w->reply.parameters) {
                r = on_watch_reply(w->reply.parameters, w->userdata);
                r = r > 0 ? 0 : r;
        }
        forkd_reply_done(&w->reply);
        return r;
}

int forkd_watch(Forkd *f, const uint64_t *ids, size_t n_ids, int64_t cursor,
                ForkdOnChange on_change, void *userdata) {
        Watching watching = { .on_change = on_change, .userdata = userdata };
        Waiting w = { .each = on_watch_reply, .userdata = &watching };

        return watch(f, ids, n_ids, cursor, &w);
}

int forkd_wait(Forkd *f, const uint64_t *ids, size_t n_ids, uint64_t timeout_usec,
               ForkdOnChange on_finished, void *userdata) {
        Watching watching = { .on_change = on_finished,
                              .userdata = userdata,
                              .finished_only = true };
        Waiting w = { .each = on_watch_reply, .userdata = &watching };
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        if (n_ids == 0)
                return 0;
        if (timeout_usec < USEC_INFINITY - now)
                w.deadline_usec = now + timeout_usec;
        return watch(f, ids, n_ids, -1, &w);
}

/* ---- List, Show */

typedef struct Listing {
        ForkdEach each;
        void *userdata;
} Listing;

static int on_list_reply(json_t *p, void *userdata) {
        const Listing *listing = userdata;
        json_t *job = json_object_get(p, "job"), *jobs = json_object_get(p, "jobs");
        size_t i;
        int r = 0;

        if (json_is_object(job))
                r = listing->each(job, listing->userdata);
        json_array_foreach (jobs, i, job) {
                if (r == 0 && json_is_object(job))
                        r = listing->each(job, listing->userdata);
        }
        return r;
}

static json_t *list_filter_to_json(const ForkdListFilter *filter) {
        json_t *p = json_object(), *states;
        int r = 0;

        if (!filter)
                return p;
        if (filter->states && filter->states[0]) {
                states = json_array();
                for (const char *const *s = filter->states; *s; s++)
                        r |= json_array_append_new(states, json_string(*s));
                r |= json_object_set_new(p, "states", states);
        }
        if (filter->queue)
                r |= json_object_set_new(p, "queue", json_string(filter->queue));
        if (filter->name)
                r |= json_object_set_new(p, "name", json_string(filter->name));
        if (filter->limit > 0)
                r |= json_object_set_new(p, "limit", json_integer((json_int_t)filter->limit));
        if (r != 0) {
                json_decref(p);
                return NULL;
        }
        return p;
}

int forkd_list(Forkd *f, const ForkdListFilter *filter, ForkdEach each, void *userdata) {
        Listing listing = { .each = each, .userdata = userdata };
        Waiting w = { .each = on_list_reply, .userdata = &listing };
        int r;

        r = call_with(f, JOBS "List", FORKD_CALL_MORE, list_filter_to_json(filter), &w);
        if (r == 0 && w.reply.outcome == 0 && w.reply.parameters) {
                r = on_list_reply(w.reply.parameters, &listing);
                r = r > 0 ? 0 : r;
        }
        forkd_reply_done(&w.reply);
        return r;
}

int forkd_show(Forkd *f, uint64_t id, json_t **ret_status, json_t **ret_job) {
        Waiting w = { 0 };
        json_t *status, *job;
        int r;

        r = call_with(f, JOBS "Show", 0, json_pack("{s:I}", "id", (json_int_t)id), &w);
        if (r == 0) {
                status = json_object_get(w.reply.parameters, "status");
                job = json_object_get(w.reply.parameters, "job");
                if (!json_is_object(status) || !json_is_object(job))
                        r = malformed(f, JOBS "Show");
                else {
                        if (ret_status)
                                *ret_status = json_incref(status);
                        if (ret_job)
                                *ret_job = json_incref(job);
                }
        }
        forkd_reply_done(&w.reply);
        return r;
}

/* ---- acting on jobs */

static int call_for_ids(Forkd *f, const char *method, const uint64_t *ids, size_t n_ids,
                        int signal) {
        Waiting w = { 0 };
        json_t *p = json_pack("{s:o*}", "ids", ids_to_json(ids, n_ids));
        int r;

        if (p && (!json_object_get(p, "ids") ||
                  (signal > 0 && json_object_set_new(p, "signal", json_integer(signal)) < 0))) {
                json_decref(p);
                p = NULL;
        }
        r = call_with(f, method, 0, p, &w);
        forkd_reply_done(&w.reply);
        return r;
}

int forkd_kill(Forkd *f, const uint64_t *ids, size_t n_ids, int signal) {
        if (signal < 1 || signal > 64)
                return connection_fault(f, -EINVAL, "%d is no signal; signals are 1 to 64", signal);
        return call_for_ids(f, JOBS "Kill", ids, n_ids, signal);
}

int forkd_cancel(Forkd *f, const uint64_t *ids, size_t n_ids) {
        return call_for_ids(f, JOBS "Cancel", ids, n_ids, 0);
}

int forkd_pause(Forkd *f, const uint64_t *ids, size_t n_ids) {
        return call_for_ids(f, JOBS "Pause", ids, n_ids, 0);
}

int forkd_resume(Forkd *f, const uint64_t *ids, size_t n_ids) {
        return call_for_ids(f, JOBS "Resume", ids, n_ids, 0);
}

int forkd_open_output(Forkd *f, uint64_t id, const char *stream, int *ret_fd, uint64_t *ret_lost) {
        Waiting w = { 0 };
        json_t *p = json_pack("{s:I, s:s}", "id", (json_int_t)id, "stream", stream);
        json_int_t i, lost;
        const json_t *index;
        int r;

        r = call_with(f, JOBS "OpenOutput", FORKD_CALL_DESCRIPTORS, p, &w);
        if (r == 0) {
                index = json_object_get(w.reply.parameters, "descriptor");
                i = json_integer_value(index);
                lost = json_integer_value(json_object_get(w.reply.parameters, "lost"));
                if (!json_is_integer(index) || i < 0 || (size_t)i >= w.reply.n_fds || lost < 0)
                        r = malformed(f, JOBS "OpenOutput");
                else {
                        *ret_fd = steal_fd(&w.reply.fds[i]);
                        if (ret_lost)
                                *ret_lost = (uint64_t)lost;
                }
        }
        forkd_reply_done(&w.reply);
        return r;
}

int forkd_forget(Forkd *f, const uint64_t *ids, size_t n_ids, uint64_t *ret_forgotten) {
        Waiting w = { 0 };
        json_t *p = ids ? json_pack("{s:o}", "ids", ids_to_json(ids, n_ids))
                        : json_pack("{s:b}", "finished", 1);
        int r;

        r = call_with(f, JOBS "Forget", 0, p, &w);
        if (r == 0 && ret_forgotten)
                *ret_forgotten = (uint64_t)json_integer_value(
                        json_object_get(w.reply.parameters, "forgotten"));
        forkd_reply_done(&w.reply);
        return r;
}
