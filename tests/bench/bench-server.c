/* SPDX-License-Identifier: Apache-2.0 */
/* bench-server: what it costs to get an answer from a new worker of a program that is warm, request
 * → answer, beside floors of the same hops and of the same size and beside Python's ways, all
 * interleaved in rounds of one run. It reports and never judges a build: only ratios within one run
 * mean anything. Owns the floors' processes, the helpers, and a private daemon. */

#include "floor.h"
#include "helper-lane.h"
#include "private-daemon.h"
#include "server-lane.h"
#include "server-results.h"

#include <getopt.h>
#include <signal.h>

#define PYTHON           "/usr/bin/python3"
#define LANES_MAX        (_TINY_MAX + _SIZE_MAX * _SIZE_LANE_MAX)
#define LARGE_NEEDED_MIB 7168 /* five processes hold 1 GiB each */
/* long enough for a spare to be forked and to settle */
#define GAP_USEC       10000
#define GAP_LARGE_USEC 50000

typedef struct Options {
        Programs programs;
        unsigned seconds;
        bool json, large;
} Options;

/* One way to an answer: by exactly one of floor, job and helper. */
typedef struct ServerLane {
        const char *title;
        LaneSamples *samples;
        unsigned n, gap_usec; /* requests a round, the time before each */
        Floor *floor;
        json_t *job;
        const char *spare_of; /* this forkserver has its spare before the round begins */
        Helper *helper;
        const char *method;
} ServerLane;

typedef struct Bench {
        const Options *options;
        Floor *floors[_FLOOR_KIND_MAX]; /* NULL: not here */
        PrivateDaemon *daemon;
        Forkd *f;
        Helper *fork, *python, *sized[_SIZE_MAX][2]; /* the second on huge pages */
        ServerLane lanes[LANES_MAX];
        size_t n_lanes;
        ServerResults results;
} Bench;

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

static int lane_round(Bench *b, const ServerLane *lane) {
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

static int round_run(Bench *b) {
        int r = 0;

        for (size_t i = 0; i < b->n_lanes && r == 0; i++)
                r = lane_round(b, &b->lanes[i]);
        return r;
}

static int rounds_run(Bench *b) {
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

static int idle_measure(Bench *b, IdleName idle, const pid_t *pids) {
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

static int idle_by_helper(Bench *b, IdleName idle, Helper *helper, const char *method) {
        pid_t pids[IDLE_WORKERS];
        int r;

        r = helper_idle_begin(helper, method, pids, IDLE_WORKERS);
        if (r == 0)
                r = idle_measure(b, idle, pids);
        return r < 0 ? r : helper_idle_end(helper);
}

static int idle_run(Bench *b) {
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

static ServerLane *lane_add(Bench *b, const char *title, LaneSamples *samples, unsigned n) {
        ServerLane *lane = &b->lanes[b->n_lanes++];

        *lane = (ServerLane){ .title = title, .samples = samples, .n = n };
        return lane;
}

static ServerLane *tiny_add(Bench *b, ServerLaneName name, unsigned n) {
        ServerLane *lane = lane_add(b, tiny_title(name), &b->results.tiny[name], n);

        if (name >= SPACED_FLOOR)
                lane->gap_usec = GAP_USEC;
        return lane;
}

static void tiny_add_floor(Bench *b, ServerLaneName name, unsigned n, FloorKind kind) {
        if (b->floors[kind])
                tiny_add(b, name, n)->floor = b->floors[kind];
}

static void tiny_add_helper(Bench *b, ServerLaneName name, unsigned n, Helper *helper,
                            const char *method) {
        ServerLane *lane;

        if (!helper)
                return;
        lane = tiny_add(b, name, n);
        lane->helper = helper;
        lane->method = method;
}

static void tiny_lanes_open(Bench *b) {
        bool cgroups = b->floors[FLOOR_FORK_CGROUP] && b->floors[FLOOR_SPARE_CGROUP];
        ServerLane *lane;

        tiny_add_helper(b, TINY_FORK, 20, b->fork, "fork");
        tiny_add_floor(b, TINY_FLOOR, 20, FLOOR_FORK);
        tiny_add_floor(b, TINY_FLOOR_CGROUP, 20, FLOOR_FORK_CGROUP);
        tiny_add(b, TINY_FORKSERVER, 20)->job = server_job("forkserver", "tiny");
        tiny_add(b, TINY_TWIN, 20)->job = server_job("fork", NULL);
        tiny_add(b, TINY_SPARE, 20)->job = server_job("forkserver", "tiny-spare");
        tiny_add(b, TINY_SPAWN, 10)->job = server_job("spawn", "tiny");
        tiny_add_helper(b, TINY_PYTHON_FORK, 10, b->python, "os.fork");
        tiny_add_helper(b, TINY_MP_FORK, 10, b->python, "fork");
        tiny_add_helper(b, TINY_MP_FORKSERVER, 5, b->python, "forkserver");
        tiny_add_helper(b, TINY_MP_SPAWN, 2, b->python, "spawn");

        tiny_add_floor(b, SPACED_FLOOR, 5, cgroups ? FLOOR_FORK_CGROUP : FLOOR_FORK);
        tiny_add_floor(b, SPACED_FLOOR_SPARE, 5, cgroups ? FLOOR_SPARE_CGROUP : FLOOR_SPARE);
        tiny_add(b, SPACED_FORKSERVER, 5)->job = server_job("forkserver", "tiny");
        lane = tiny_add(b, SPACED_SPARE, 5);
        lane->job = server_job("forkserver", "tiny-spare");
        lane->spare_of = "tiny-spare";
        tiny_add_helper(b, SPACED_MP_FORKSERVER, 5, b->python, "forkserver");
}

static const char *const sized_servers[_SIZE_MAX][_SIZE_LANE_MAX] = {
        [SIZE_10M] = { [SIZE_FORKSERVER] = "of-10m",
                       [SIZE_SPARE] = "of-10m-spare",
                       [SIZE_FORKSERVER_HUGE] = "of-10m-huge" },
        [SIZE_100M] = { [SIZE_FORKSERVER] = "of-100m",
                        [SIZE_SPARE] = "of-100m-spare",
                        [SIZE_FORKSERVER_HUGE] = "of-100m-huge" },
        [SIZE_1G] = { [SIZE_FORKSERVER] = "of-1g",
                      [SIZE_SPARE] = "of-1g-spare",
                      [SIZE_FORKSERVER_HUGE] = "of-1g-huge" },
};

static int sized_helper(Bench *b, SizeName size, bool huge_pages) {
        char bytes[32];
        char *const argv[] = { (char *)b->options->programs.fork_floor, bytes,
                               huge_pages ? (char *)"--huge-pages" : NULL, NULL };

        snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size_bytes(size));
        return helper_new(&b->sized[size][huge_pages], argv);
}

static int size_open(Bench *b, SizeName size) {
        const unsigned n = size == SIZE_1G ? 4 : 10;
        int r;

        for (unsigned l = 0; l < _SIZE_LANE_MAX; l++) {
                ServerLane *lane = lane_add(b, size_title(l), &b->results.sizes[size][l], n);
                const char *name = sized_servers[size][l];
                const ServerShape shape = { .name = name,
                                            .bytes = size_bytes(size),
                                            .spare = l == SIZE_SPARE,
                                            .huge_pages = l == SIZE_FORKSERVER_HUGE };

                if (!name) {
                        Helper **helper = &b->sized[size][l == SIZE_FORK_HUGE];

                        r = *helper ? 0 : sized_helper(b, size, l == SIZE_FORK_HUGE);
                        lane->helper = *helper;
                        lane->method = "fork";
                } else {
                        r = server_start(b->f, &shape);
                        lane->job = server_job("forkserver", name);
                }
                if (r < 0)
                        return r;
                if (l == SIZE_SPARE || l == SIZE_FORK_SPACED) {
                        lane->n = 4;
                        lane->gap_usec = size == SIZE_1G ? GAP_LARGE_USEC : GAP_USEC;
                        lane->spare_of = name;
                }
        }
        return 0;
}

static uint64_t memory_available_mib(void) {
        unsigned long long kib = 0;
        char line[128];
        FILE *f = fopen("/proc/meminfo", "re");

        while (f && fgets(line, sizeof(line), f) &&
               sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
                ;
        if (f)
                fclose(f);
        return kib / 1024;
}

static int sizes_open(Bench *b) {
        uint64_t available = memory_available_mib();
        int r = 0;

        if (b->options->large && available < LARGE_NEEDED_MIB) {
                fprintf(stderr,
                        "bench-server: --large needs %d MiB of free memory, and there are %llu\n",
                        LARGE_NEEDED_MIB, (unsigned long long)available);
                return -ENOMEM;
        }
        for (int size = 0; size < _SIZE_MAX && r == 0; size++)
                if (size != SIZE_1G || b->options->large)
                        r = size_open(b, size);
        return r;
}

static int helpers_open(Bench *b) {
        char *const fork_argv[] = { (char *)b->options->programs.fork_floor, (char *)"0", NULL };
        char *const python_argv[] = { (char *)PYTHON, (char *)b->options->programs.peers, NULL };
        int r;

        r = helper_new(&b->fork, fork_argv);
        if (r == 0 && access(PYTHON, X_OK) == 0)
                r = helper_new(&b->python, python_argv);
        return r;
}

static int bench_open(Bench *b) {
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
        return sizes_open(b);
}

static void bench_close(Bench *b) {
        for (size_t i = 0; i < b->n_lanes; i++)
                json_decref(b->lanes[i].job);
        forkd_free(b->f);
        private_daemon_free(b->daemon);
        helper_free(b->fork);
        helper_free(b->python);
        for (size_t size = 0; size < _SIZE_MAX; size++)
                for (size_t huge = 0; huge < 2; huge++)
                        helper_free(b->sized[size][huge]);
        for (size_t kind = 0; kind < _FLOOR_KIND_MAX; kind++)
                floor_free(b->floors[kind]);
}

/* ---- main */

static void usage(FILE *f) {
        fputs("bench-server [--seconds=N] [--large] [--json] --build=DIR\n"
              "Measures answers from new workers of forkservers, tiny and large, beside floors and Python.\n\n"
              "  --build=DIR    the build folder with forkd's programs\n"
              "  --seconds=N    start no further round after N seconds (default 30, at least 3 rounds)\n"
              "  --large        also forkservers that hold 1 GiB (needs 7 GiB of free memory)\n"
              "  --json         print one JSON object\n",
              f);
}

static int options_parse(Options *ret, int argc, char **argv) {
        static const struct option options[] = {
                { "build", required_argument, NULL, 'b' },
                { "seconds", required_argument, NULL, 's' },
                { "large", no_argument, NULL, 'l' },
                { "json", no_argument, NULL, 'J' },
                { "help", no_argument, NULL, 'h' },
                { 0 },
        };
        const char *build = NULL;
        Options o = { .seconds = 30 };
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
        Options options;
        Bench *b;
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
