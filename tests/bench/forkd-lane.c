/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes of bench-server that are forkd's: what is asked of it, over one connection. Keeps
 * nothing; lives in the benchmark. */

#include "forkd-lane.h"

#include <time.h>

#define SPARES_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define SPARES_LOOK_USEC    2000

static int outcome(Forkd *f, const char *what, int r) {
        if (r == 0)
                return 0;
        fprintf(stderr, "bench-server: %s: %s\n", what, forkd_error_sentence(f));
        return r < 0 ? r : -EREMOTEIO;
}

static void rest(unsigned usec) {
        const struct timespec t = { .tv_sec = usec / USEC_PER_SEC,
                                    .tv_nsec = (long)(usec % USEC_PER_SEC) * 1000 };

        if (usec > 0)
                nanosleep(&t, NULL);
}

/* A forkserver that does not hold what it should would be measured for nothing. */
static int shape_check(const ServerShape *shape, json_t *server) {
        pid_t pid = (pid_t)json_integer_value(json_object_get(server, "pid"));
        uint64_t private = 0, shared = 0;
        int r = process_memory(pid, &private, &shared);

        if (r == 0 && private + shared >= shape->bytes)
                return 0;
        fprintf(stderr, "bench-server: %s (pid %d) holds %llu bytes instead of %llu\n", shape->name,
                (int)pid, (unsigned long long)(private + shared), (unsigned long long)shape->bytes);
        return r < 0 ? r : -EREMOTEIO;
}

int server_start(Forkd *f, const ServerShape *shape) {
        json_t *parameters, *server = NULL;
        int r;

        parameters = json_pack("{s:s,s:[s],s:{s:I},s:i,s:b}", "name", shape->name, "modules",
                               "ballast", "arguments", "bytes", (json_int_t)shape->bytes, "spare",
                               (int)shape->spare, "hugePages", (int)shape->huge_pages);
        if (!parameters)
                return -ENOMEM;
        r = outcome(f, shape->name, forkd_servers_start(f, parameters, &server));
        json_decref(parameters);
        if (r == 0)
                r = shape_check(shape, server);
        json_decref(server);
        return r;
}

int server_scale(Forkd *f, const char *name, unsigned spare) {
        return outcome(f, name, forkd_servers_scale(f, name, spare, NULL));
}

static int spares_count(Forkd *f, const char *name, unsigned *ret) {
        json_t *servers = NULL, *server;
        size_t i;
        int r;

        r = outcome(f, name, forkd_servers_list(f, &servers));
        if (r < 0)
                return r;
        *ret = 0;
        json_array_foreach (servers, i, server) {
                if (streq_null(json_string_value(json_object_get(server, "name")), name))
                        *ret = (unsigned)json_integer_value(json_object_get(server, "spares"));
        }
        json_decref(servers);
        return 0;
}

int server_wait_spares(Forkd *f, const char *name, unsigned n) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + SPARES_TIMEOUT_USEC;
        unsigned found = 0;
        int r;

        for (;;) {
                r = spares_count(f, name, &found);
                if (r < 0 || found >= n)
                        return r;
                if (now_usec(CLOCK_MONOTONIC) >= end)
                        break;
                rest(SPARES_LOOK_USEC);
        }
        fprintf(stderr, "bench-server: %s has %u spares instead of %u\n", name, found, n);
        return -ETIMEDOUT;
}

static int spares_list(Forkd *f, const char *name, pid_t *ret_pids, size_t n, size_t *ret_found) {
        json_t *reply = NULL, *worker;
        size_t i, found = 0;
        int r;

        r = outcome(f, name, forkd_servers_show(f, name, &reply));
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(reply, "workers"), i, worker) {
                const char *state = json_string_value(json_object_get(worker, "state"));

                if (found < n && streq_null(state, "spare"))
                        ret_pids[found++] =
                                (pid_t)json_integer_value(json_object_get(worker, "pid"));
        }
        json_decref(reply);
        *ret_found = found;
        return 0;
}

/* Those that are counted but have only been ordered are not listed yet. */
int server_spares(Forkd *f, const char *name, pid_t *ret_pids, size_t n) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + SPARES_TIMEOUT_USEC;
        size_t found = 0;
        int r;

        for (;;) {
                r = spares_list(f, name, ret_pids, n, &found);
                if (r < 0 || found == n)
                        return r;
                if (now_usec(CLOCK_MONOTONIC) >= end)
                        break;
                rest(SPARES_LOOK_USEC);
        }
        fprintf(stderr, "bench-server: %s lists %zu spares instead of %zu\n", name, found, n);
        return -ETIMEDOUT;
}

json_t *server_job(const char *method, const char *server) {
        json_t *job = json_pack("{s:s,s:s,s:{s:i}}", "startMethod", method, "entry", "answer",
                                "arguments", "n", 10);

        if (job && server)
                json_object_set_new(job, "server", json_string(server));
        return job;
}

int server_time(Forkd *f, json_t *job, unsigned n, unsigned gap_usec, Samples *ret) {
        const ForkdRun run = { .job = job };
        uint64_t start;
        int r;

        for (unsigned i = 0; i < n; i++) {
                rest(gap_usec);
                start = now_usec(CLOCK_MONOTONIC);
                r = outcome(f, "a job", forkd_run(f, &run, NULL));
                if (r < 0)
                        return r;
                samples_add(ret, (double)(now_usec(CLOCK_MONOTONIC) - start));
        }
        return 0;
}
