/* SPDX-License-Identifier: Apache-2.0 */
/* bench-server: what it costs to get an answer from a new worker of a program that is warm, request
 * → answer, beside floors of the same hops and of the same size and beside Python's ways, all
 * interleaved in rounds of one run. It reports and never judges a build: only ratios within one run
 * mean anything. Owns the floors' processes, the helpers, and a private daemon. */

#include "server-bench.h"

#include <getopt.h>
#include <signal.h>

#define PYTHON "/usr/bin/python3"

/* ---- rounds */

static int floor_time(const ServerLane *lane, Samples *ret) {
        const Batch one = { .in_flight = 1, .n = 1 };
        uint64_t start;
        int r;

        for (unsigned i = 0; i < lane->n; i++) {
                if (lane->gap_usec > 0)
                        usleep(lane->gap_usec);
                start = now_usec(CLOCK_MONOTONIC);
                r = floor_batch(lane->floor, &one);
                if (r < 0)
                        return r;
                samples_add(ret, (double)(now_usec(CLOCK_MONOTONIC) - start));
        }
        return 0;
}

static int lane_round(ServerBench *b, const ServerLane *lane) {
        _cleanup_(freep) Samples *round = calloc(1, sizeof(*round));
        int r;

        if (!round)
                return -ENOMEM;
        if (lane->floor)
                r = floor_time(lane, round);
        else if (lane->helper)
                r = helper_time(lane->helper, lane->method, lane->n, lane->gap_usec, round);
        else {
                r = lane->spare_of ? server_wait_spares(b->f, lane->spare_of, 1) : 0;
                if (r == 0)
                        r = server_time(b->f, lane->job, lane->n, lane->gap_usec, round);
        }
        if (r < 0) {
                fprintf(stderr, "bench-server: %s: %s\n", lane->title, strerror(-r));
                return r;
        }
        samples_add(&lane->samples->rounds, samples_median(round));
        for (size_t i = 0; i < round->n; i++)
                samples_add(&lane->samples->all, round->usec[i]);
        return 0;
}

static int round_run(ServerBench *b) {
        int r = 0;

        for (size_t i = 0; i < b->n_lanes && r == 0; i++)
                r = lane_round(b, &b->lanes[i]);
        return r;
}

static int rounds_run(ServerBench *b) {
        uint64_t end;
        int r;

        /* the first one only warms up: Python starts its forkserver in it */
        r = round_run(b);
        memset(&b->results, 0, sizeof(b->results));
        end = now_usec(CLOCK_MONOTONIC) + b->options->seconds * USEC_PER_SEC;
        for (; r == 0 && b->results.rounds < SAMPLES_MAX; b->results.rounds++) {
                if (b->results.rounds >= 3 && now_usec(CLOCK_MONOTONIC) >= end)
                        break;
                r = round_run(b);
        }
        return r;
}

/* ---- memory */

static int idle_measure(ServerBench *b, IdleName idle, const pid_t *pids) {
        uint64_t private, shared;
        int r;

        for (size_t i = 0; i < IDLE_WORKERS; i++) {
                r = process_memory(pids[i], &private, &shared);
                if (r < 0)
                        return r;
                samples_add(&b->results.idle_private[idle], (double)private / 1024);
                samples_add(&b->results.idle_shared[idle], (double)shared / 1024);
        }
        return 0;
}

static int idle_by_helper(ServerBench *b, IdleName idle, Helper *helper, const char *method) {
        pid_t pids[IDLE_WORKERS];
        int r;

        r = helper_idle_begin(helper, method, pids, IDLE_WORKERS);
        if (r == 0)
                r = idle_measure(b, idle, pids);
        return r < 0 ? r : helper_idle_end(helper);
}

static int idle_run(ServerBench *b) {
        pid_t pids[IDLE_WORKERS];
        int r;

        r = server_scale(b->f, "tiny-spare", IDLE_WORKERS);
        if (r == 0)
                r = server_spares(b->f, "tiny-spare", pids, IDLE_WORKERS);
        if (r == 0)
                r = idle_measure(b, IDLE_FORKD, pids);
        if (r == 0)
                r = idle_by_helper(b, IDLE_FLOOR, b->fork, "fork");
        if (r == 0 && b->python)
                r = idle_by_helper(b, IDLE_MP_FORK, b->python, "fork");
        if (r == 0 && b->python)
                r = idle_by_helper(b, IDLE_MP_FORKSERVER, b->python, "forkserver");
        return r;
}

/* ---- setting up */

static int helpers_open(ServerBench *b) {
        char *const fork_argv[] = { (char *)b->options->programs.fork_floor, (char *)"0", NULL };
        char *const python_argv[] = { (char *)PYTHON, (char *)b->options->programs.peers, NULL };
        int r;

        r = helper_new(&b->fork, fork_argv);
        if (r == 0 && access(PYTHON, X_OK) == 0)
                r = helper_new(&b->python, python_argv);
        return r;
}

static int bench_open(ServerBench *b) {
        const ServerShape tiny = { .name = "tiny" }, spare = { .name = "tiny-spare", .spare = 1 };
        int r;

        /* floors are forked while this process is small and has no connection to anything */
        for (int kind = FLOOR_FORK; kind < _FLOOR_KIND_MAX; kind++) {
                r = floor_new(&b->floors[kind], kind);
                if (r < 0)
                        return r;
        }
        r = helpers_open(b);
        if (r < 0)
                return r;
        r = private_daemon_new(&b->daemon, &b->options->programs, "ballast");
        if (r < 0) {
                fprintf(stderr, "bench-server: cannot start a private daemon: %s\n", strerror(-r));
                return r;
        }
        r = forkd_connect(&b->f, private_daemon_address(b->daemon));
        if (r == 0)
                r = server_start(b->f, &tiny);
        if (r == 0)
                r = server_start(b->f, &spare);
        if (r < 0)
                return r;
        tiny_lanes_open(b);
        return size_lanes_open(b);
}

static void sized_free(ServerBench *b, size_t size, size_t huge) {
        helper_free(b->sized[size][huge]);
        floor_free(b->sized_floors[size][huge]);
}

static void bench_close(ServerBench *b) {
        for (size_t i = 0; i < b->n_lanes; i++)
                json_decref(b->lanes[i].job);
        forkd_free(b->f);
        private_daemon_free(b->daemon);
        helper_free(b->fork);
        helper_free(b->python);
        for (size_t size = 0; size < _SIZE_MAX; size++)
                for (size_t huge = 0; huge < 2; huge++)
                        sized_free(b, size, huge);
        for (size_t kind = 0; kind < _FLOOR_KIND_MAX; kind++)
                floor_free(b->floors[kind]);
}

/* ---- main */

static void usage(FILE *f) {
        fputs("bench-server [--seconds=N] [--large] [--json] --build=DIR\n"
              "Measures answers from new workers of forkservers, tiny and large, beside floors and Python.\n\n"
              "  --build=DIR    the build folder with forkd's programs\n"
              "  --seconds=N    start no further round after N seconds (default 30, at least 3 rounds)\n"
              "  --large        also forkservers that hold 1 GiB (needs 9 GiB of free memory)\n"
              "  --json         print one JSON object\n",
              f);
}

static int options_parse(ServerOptions *ret, int argc, char **argv) {
        static const struct option options[] = {
                { "build", required_argument, NULL, 'b' },
                { "seconds", required_argument, NULL, 's' },
                { "large", no_argument, NULL, 'l' },
                { "json", no_argument, NULL, 'J' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        const char *build = NULL;
        ServerOptions o = { .seconds = 30 };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'b':
                        build = optarg;
                        break;
                case 's':
                        o.seconds = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case 'l':
                        o.large = true;
                        break;
                case 'J':
                        o.json = true;
                        break;
                default:
                        usage(c == 'h' ? stdout : stderr);
                        exit(c == 'h' ? 0 : 2);
                }
        if (!build || optind < argc) {
                usage(stderr);
                return -EINVAL;
        }
        r = programs_find(&o.programs, build);
        if (r < 0) {
                fprintf(stderr, "bench-server: %s: %s\n", build, strerror(-r));
                return r;
        }
        *ret = o;
        return 0;
}

int main(int argc, char **argv) {
        ServerOptions options;
        ServerBench *b;
        int r;

        if (options_parse(&options, argc, argv) < 0)
                return 2;
        b = calloc(1, sizeof(*b));
        if (!b)
                return 1;
        b->options = &options;
        signal(SIGPIPE, SIG_IGN);
        r = bench_open(b);
        if (r == 0)
                r = rounds_run(b);
        if (r == 0)
                r = idle_run(b);
        if (r == 0) {
                if (options.json)
                        r = server_results_print_json(&b->results);
                else
                        server_results_print(&b->results);
        }
        if (r < 0)
                fprintf(stderr, "bench-server: %s\n", strerror(-r));
        bench_close(b);
        free(b);
        return r < 0;
}
