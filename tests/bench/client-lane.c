/* SPDX-License-Identifier: Apache-2.0 */
/* The lane of forkd itself: attached jobs over libforkd, one connection for each in flight. Owned
 * by the benchmark, in which it lives. */

#include "lane.h"

#include "forkd.h"

#include <poll.h>

#define CONNECTIONS_MAX 2

struct ClientLane {
        Forkd *connections[CONNECTIONS_MAX];
        char *entry;
        unsigned started, ended;
        int outcome; /* the first job that went wrong */
};

ClientLane *client_lane_free(ClientLane *lane) {
        if (!lane)
                return NULL;
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                forkd_free(lane->connections[i]);
        free(lane->entry);
        free(lane);
        return NULL;
}

int client_lane_new(ClientLane **ret, const char *address, const char *entry) {
        _cleanup_(client_lane_freep) ClientLane *lane = NULL;
        int r;

        lane = calloc(1, sizeof(*lane));
        if (!lane)
                return -ENOMEM;
        if (entry) {
                lane->entry = strdup(entry);
                if (!lane->entry)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
                r = forkd_connect(&lane->connections[i], address);
                if (r < 0)
                        return r;
        }
        *ret = steal(lane);
        return 0;
}

static json_t *job_pack(const ClientLane *lane, const char *program) {
        if (lane->entry)
                return json_pack("{s:s,s:{s:i}}", "entry", lane->entry, "arguments", "n", 10);
        return json_pack("{s:[s],s:s,s:s,s:s}", "command", program, "stdin", "null", "stdout",
                         "null", "stderr", "null");
}

static void on_end(Forkd *f, int outcome, json_t *certificate _unused_, void *userdata) {
        ClientLane *lane = userdata;

        lane->ended++;
        if (outcome == 0 || lane->outcome < 0)
                return;
        fprintf(stderr, "bench-spawn: %s\n", forkd_error_sentence(f));
        lane->outcome = outcome < 0 ? outcome : -EREMOTEIO;
}

static int one_by_one(ClientLane *lane, const ForkdRun *run, unsigned n) {
        int r;

        for (unsigned i = 0; i < n; i++) {
                r = forkd_run(lane->connections[0], run, NULL);
                if (r == 0)
                        continue;
                fprintf(stderr, "bench-spawn: %s\n", forkd_error_sentence(lane->connections[0]));
                return r < 0 ? r : -EREMOTEIO;
        }
        return 0;
}

static int several(ClientLane *lane, const ForkdRun *run, const Batch *batch) {
        struct pollfd polls[CONNECTIONS_MAX];
        int r;

        while (lane->ended < batch->n && lane->outcome == 0) {
                for (size_t i = 0; i < batch->in_flight; i++) {
                        Forkd *f = lane->connections[i];

                        if (forkd_in_flight(f) == 0 && lane->started < batch->n) {
                                r = forkd_run_start(f, run);
                                if (r != 0)
                                        return r < 0 ? r : -EREMOTEIO;
                                lane->started++;
                        }
                        polls[i] = (struct pollfd){ .fd = forkd_fd(f), .events = forkd_events(f) };
                }
                if (poll(polls, batch->in_flight, -1) < 0)
                        return -errno;
                for (size_t i = 0; i < batch->in_flight; i++) {
                        if (!polls[i].revents)
                                continue;
                        r = forkd_process(lane->connections[i]);
                        if (r < 0)
                                return r;
                }
        }
        return lane->outcome;
}

int client_lane_batch(void *userdata, const Batch *batch) {
        ClientLane *lane = userdata;
        ForkdRun run = { .userdata = lane };
        int r;

        if (batch->in_flight > CONNECTIONS_MAX)
                return -EINVAL;
        run.job = job_pack(lane, batch->program);
        if (!run.job)
                return -ENOMEM;
        lane->started = lane->ended = 0;
        lane->outcome = 0;
        if (batch->in_flight == 1)
                r = one_by_one(lane, &run, batch->n);
        else {
                run.on_end = on_end;
                r = several(lane, &run, batch);
        }
        json_decref(run.job);
        return r;
}
