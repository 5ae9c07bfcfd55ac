/* SPDX-License-Identifier: Apache-2.0 */
/* bench-spawn: what it costs to run a program as a job, request → exit known, beside floors of the
 * same hops and beside other people's tools, all interleaved in rounds of one run. It reports and
 * never judges a build: only ratios within one run mean anything. Owns the floors' processes and a
 * private daemon, of which it is the parent. */

#include "floor.h"
#include "lane.h"
#include "results.h"

#include <getopt.h>
#include <signal.h>

typedef struct Options {
        Programs programs;
        unsigned seconds, jobs;
        bool json;
} Options;

typedef struct Lane {
        BatchFunction batch; /* NULL: not here */
        void *userdata;
        unsigned in_flight_max;
} Lane;

typedef struct Bench {
        const Options *options;
        PrivateDaemon *daemon;
        Floor *floors[_FLOOR_KIND_MAX];
        ClientLane *commands, *entries;
        Tools tools;
        Lane lanes[_LANE_MAX];
        const char *programs[_PROGRAM_MAX];
        Results results;
} Bench;

static int measure(const Lane *lane, const Batch *batch, Samples *samples) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        int r;

        r = lane->batch(lane->userdata, batch);
        if (r < 0)
                return r;
        samples_add(samples, (double)(now_usec(CLOCK_MONOTONIC) - start) / batch->n);
        return 0;
}

static int round_run(Bench *b) {
        const Lane forks[_FORK_MAX] = {
                [FORK_FLOOR] = { floor_batch, b->floors[FLOOR_FORK], 1 },
                [FORK_FORKD] = { client_lane_batch, b->entries, 1 },
        };
        Batch batch = { .n = b->options->jobs };
        int r;

        for (size_t p = 0; p < _PROGRAM_MAX; p++)
                for (batch.in_flight = 1; batch.in_flight <= 2; batch.in_flight++)
                        for (size_t l = 0; l < _LANE_MAX; l++) {
                                const Lane *lane = &b->lanes[l];

                                batch.program = b->programs[p];
                                if (!lane->batch || batch.in_flight > lane->in_flight_max)
                                        continue;
                                r = measure(lane, &batch,
                                            &b->results.samples[p][batch.in_flight - 1][l]);
                                if (r < 0) {
                                        fprintf(stderr, "bench-spawn: %s running %s: %s\n",
                                                lane_title(l), batch.program, strerror(-r));
                                        return r;
                                }
                        }
        batch.in_flight = 1;
        for (size_t i = 0; i < _FORK_MAX; i++) {
                r = measure(&forks[i], &batch, &b->results.forks[i]);
                if (r < 0) {
                        fprintf(stderr, "bench-spawn: fork of an entry: %s\n", strerror(-r));
                        return r;
                }
        }
        return 0;
}

/* ---- setting up */

static void lanes_open(Bench *b) {
        b->lanes[LANE_DIRECT] = (Lane){ floor_direct_batch, NULL, 2 };
        b->lanes[LANE_BARE] = (Lane){ floor_batch, b->floors[FLOOR_BARE], 2 };
        b->lanes[LANE_HOPS] = (Lane){ floor_batch, b->floors[FLOOR_HOPS], 2 };
        if (b->floors[FLOOR_HOPS_CGROUP])
                b->lanes[LANE_HOPS_CGROUP] = (Lane){ floor_batch, b->floors[FLOOR_HOPS_CGROUP], 2 };
        b->lanes[LANE_FORKD] = (Lane){ client_lane_batch, b->commands, 2 };
        if (tool_found("xargs"))
                b->lanes[LANE_XARGS] = (Lane){ xargs_batch, &b->tools, 2 };
        if (tool_found("dash"))
                b->lanes[LANE_SHELL] = (Lane){ shell_batch, &b->tools, 1 };
        if (tool_found("tsp"))
                b->lanes[LANE_TSP] = (Lane){ tsp_batch, &b->tools, 2 };
        b->lanes[LANE_FORKCTL] = (Lane){ forkctl_batch, &b->tools, 1 };
}

static int bench_open(Bench *b) {
        const char *address;
        int r;

        b->programs[PROGRAM_NOLIBC] = b->options->programs.true_nolibc;
        b->programs[PROGRAM_TRUE] = "/bin/true";
        /* floors are forked while this process is small and has no connection to anything */
        for (int kind = 0; kind <= FLOOR_FORK; kind++) {
                r = floor_new(&b->floors[kind], kind);
                if (r < 0)
                        return r;
        }
        r = private_daemon_new(&b->daemon, &b->options->programs, "numbers");
        if (r < 0) {
                fprintf(stderr, "bench-spawn: cannot start a private daemon: %s\n", strerror(-r));
                return r;
        }
        address = private_daemon_address(b->daemon);
        b->tools = (Tools){ .forkctl = b->options->programs.forkctl, .address = address };
        snprintf(b->tools.tsp_socket, sizeof(b->tools.tsp_socket), "TS_SOCKET=%s/tsp",
                 private_daemon_directory(b->daemon));
        r = process_tree_pss(private_daemon_pid(b->daemon), &b->results.idle_pss,
                             &b->results.idle_processes);
        if (r < 0)
                return r;
        r = client_lane_new(&b->commands, address, NULL);
        if (r == 0)
                r = client_lane_new(&b->entries, address, "factorial");
        if (r < 0)
                return r;
        lanes_open(b);
        return 0;
}

static void bench_close(Bench *b) {
        if (b->lanes[LANE_TSP].batch)
                tsp_end(&b->tools);
        client_lane_free(b->commands);
        client_lane_free(b->entries);
        private_daemon_free(b->daemon);
        for (size_t kind = 0; kind < _FLOOR_KIND_MAX; kind++)
                floor_free(b->floors[kind]);
}

/* ---- main */

static void usage(FILE *f) {
        fputs("bench-spawn [--seconds=N] [--jobs=N] [--json] --build=DIR\n"
              "Measures jobs of true-nolibc and /bin/true, one and two in flight, beside floors and "
              "other tools.\n\n"
              "  --build=DIR    the build folder with forkd's programs\n"
              "  --seconds=N    start no further round after N seconds (default 50, at least 3 rounds)\n"
              "  --jobs=N       jobs in a batch (default 40)\n"
              "  --json         print one JSON object\n",
              f);
}

static int options_parse(Options *ret, int argc, char **argv) {
        static const struct option options[] = {
                { "build", required_argument, NULL, 'b' },
                { "seconds", required_argument, NULL, 's' },
                { "jobs", required_argument, NULL, 'j' },
                { "json", no_argument, NULL, 'J' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        const char *build = NULL;
        Options o = { .seconds = 50, .jobs = 40 };
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'b':
                        build = optarg;
                        break;
                case 's':
                        o.seconds = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case 'j':
                        o.jobs = (unsigned)strtoul(optarg, NULL, 10);
                        break;
                case 'J':
                        o.json = true;
                        break;
                default:
                        usage(c == 'h' ? stdout : stderr);
                        exit(c == 'h' ? 0 : 2);
                }
        if (!build || o.jobs < 2) {
                usage(stderr);
                return -EINVAL;
        }
        r = programs_find(&o.programs, build);
        if (r < 0) {
                fprintf(stderr, "bench-spawn: %s: %s\n", build, strerror(-r));
                return r;
        }
        *ret = o;
        return 0;
}

int main(int argc, char **argv) {
        Options options;
        Bench *b;
        uint64_t end;
        int r;

        if (options_parse(&options, argc, argv) < 0)
                return 2;
        b = calloc(1, sizeof(*b));
        if (!b)
                return 1;
        b->options = &options;
        b->results.jobs = options.jobs;
        signal(SIGPIPE, SIG_IGN);
        r = bench_open(b);
        end = now_usec(CLOCK_MONOTONIC) + options.seconds * USEC_PER_SEC;
        for (; r >= 0 && b->results.rounds < SAMPLES_MAX; b->results.rounds++) {
                if (b->results.rounds >= 3 && now_usec(CLOCK_MONOTONIC) >= end)
                        break;
                r = round_run(b);
        }
        if (r >= 0) {
                if (options.json)
                        r = results_print_json(&b->results);
                else
                        results_print(&b->results);
        }
        bench_close(b);
        free(b);
        return r < 0;
}
