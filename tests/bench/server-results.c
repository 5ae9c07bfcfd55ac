/* SPDX-License-Identifier: Apache-2.0 */
/* Results are the samples of one run of bench-server by lane, shown as tables or as one JSON
 * object. Owned by the benchmark, in which they live. */

#include "server-results.h"

static const char *const tiny_titles[_TINY_MAX] = {
        [TINY_FORK] = "floor: fork, answer, wait; one process",
        [TINY_FLOOR] = "floor: client, daemon, forkserver",
        [TINY_FLOOR_CGROUP] = "floor: the same, with cgroups",
        [TINY_FORKSERVER] = "forkd, forkserver without spares",
        [TINY_TWIN] = "forkd, fork (of the twin)",
        [TINY_SPARE] = "forkd, forkserver with a spare",
        [TINY_SPAWN] = "forkd, spawn of the entry",
        [TINY_PYTHON_FORK] = "Python os.fork",
        [TINY_MP_FORK] = "multiprocessing fork",
        [TINY_MP_FORKSERVER] = "multiprocessing forkserver, preloaded",
        [TINY_MP_SPAWN] = "multiprocessing spawn",
        [SPACED_FLOOR] = "floor: client, daemon, forkserver",
        [SPACED_FLOOR_SPARE] = "floor: the same, from a spare",
        [SPACED_FORKSERVER] = "forkd, forkserver without spares",
        [SPACED_SPARE] = "forkd, forkserver, the spare is ready",
        [SPACED_MP_FORKSERVER] = "multiprocessing forkserver, preloaded",
};

static const char *const size_titles[_SIZE_LANE_MAX] = {
        [SIZE_FORK] = "floor: fork, answer, wait",
        [SIZE_HOPS] = "floor: client, daemon, forkserver",
        [SIZE_FORKSERVER] = "forkd, forkserver without spares",
        [SIZE_FORK_SPACED] = "floor, with time between requests",
        [SIZE_SPARE] = "forkd, the same, the spare is ready",
        [SIZE_FORK_HUGE] = "floor: fork, answer, wait; on huge pages",
        [SIZE_HOPS_HUGE] = "floor: client, daemon, forkserver; same",
        [SIZE_FORKSERVER_HUGE] = "forkd, HugePages=yes",
};

static const struct {
        const char *name;
        uint64_t bytes;
} sizes[_SIZE_MAX] = {
        [SIZE_10M] = { "10 MB", 10 * 1000 * 1000 },
        [SIZE_100M] = { "100 MB", 100 * 1000 * 1000 },
        [SIZE_1G] = { "1 GiB", 1024 * 1024 * 1024 },
};

static const char *const idle_titles[_IDLE_MAX] = {
        [IDLE_FLOOR] = "floor: a forked process that waits",
        [IDLE_FORKD] = "forkd, spares of a forkserver",
        [IDLE_MP_FORK] = "multiprocessing fork",
        [IDLE_MP_FORKSERVER] = "multiprocessing forkserver, preloaded",
};

const char *tiny_title(ServerLaneName lane) {
        return tiny_titles[lane];
}

const char *size_title(SizeLaneName lane) {
        return size_titles[lane];
}

const char *size_name(SizeName size) {
        return sizes[size].name;
}

uint64_t size_bytes(SizeName size) {
        return sizes[size].bytes;
}

/* The lane that another is compared with: the same hops, with cgroups where there are any. */
static ServerLaneName tiny_base(const ServerResults *results, ServerLaneName lane) {
        if (lane == SPACED_SPARE || lane == SPACED_FLOOR_SPARE)
                return SPACED_FLOOR_SPARE;
        if (lane >= SPACED_FLOOR)
                return SPACED_FLOOR;
        return results->tiny[TINY_FLOOR_CGROUP].all.n > 0 ? TINY_FLOOR_CGROUP : TINY_FLOOR;
}

static SizeLaneName size_base(SizeLaneName lane) {
        if (lane >= SIZE_FORK_HUGE)
                return SIZE_FORK_HUGE;
        return lane >= SIZE_FORK_SPACED ? SIZE_FORK_SPACED : SIZE_FORK;
}

/* ---- goals */

typedef struct Goal {
        const char *text, *unit;
        double measured, limit; /* measured 0: not measured */
} Goal;

#define GOALS 5

static void goals_compute(const ServerResults *results, Goal ret[static GOALS]) {
        const LaneSamples *tiny = results->tiny, *large = results->sizes[SIZE_1G];
        ServerLaneName base = tiny_base(results, TINY_FORKSERVER);

        ret[0] = (Goal){ "a tiny forkserver without spares / its floor", "×",
                         samples_ratio(&tiny[TINY_FORKSERVER].rounds, &tiny[base].rounds), 1.5 };
        ret[1] =
                (Goal){ "a tiny forkserver, its spare ready / its floor", "×",
                        samples_ratio(&tiny[SPACED_SPARE].rounds, &tiny[SPACED_FLOOR_SPARE].rounds),
                        1.5 };
        ret[2] = (Goal){ "1 GiB, HugePages=yes / fork on huge pages", "×",
                         samples_ratio(&large[SIZE_FORKSERVER_HUGE].rounds,
                                       &large[SIZE_FORK_HUGE].rounds),
                         1.2 };
        ret[3] = (Goal){ "the same / a floor of that size and with its hops", "×",
                         samples_ratio(&large[SIZE_FORKSERVER_HUGE].rounds,
                                       &large[SIZE_HOPS_HUGE].rounds),
                         1.2 };
        ret[4] = (Goal){ "private memory of an idle worker", " KiB",
                         samples_median(&results->idle_private[IDLE_FORKD]), 64 };
}

/* ---- tables */

static void print_lane(const char *title, const LaneSamples *lane, const LaneSamples *base) {
        if (lane->all.n == 0)
                return;
        printf("  %-42s%10.0f%12.0f", title, samples_median(&lane->all),
               samples_quantile(&lane->all, 0.99));
        printf("%10.2f ×\n", samples_ratio(&lane->rounds, &base->rounds));
}

static void print_heading(const char *heading) {
        printf("\n%-44s%10s%12s%11s\n", heading, "median", "99 %", "floor");
}

static void print_tiny(const ServerResults *results, ServerLaneName from, ServerLaneName to) {
        for (unsigned l = from; l < to; l++)
                print_lane(tiny_titles[l], &results->tiny[l],
                           &results->tiny[tiny_base(results, l)]);
}

void server_results_print(const ServerResults *results) {
        Goal goals[GOALS];

        printf("µs from request to answer of a new worker; medians and 99 %% of %u rounds; × is the ratio to the "
               "floor\n",
               results->rounds);
        print_heading("a tiny forkserver, back to back");
        print_tiny(results, TINY_FORK, SPACED_FLOOR);
        print_heading("the same, with time between requests");
        print_tiny(results, SPACED_FLOOR, _TINY_MAX);
        for (size_t s = 0; s < _SIZE_MAX; s++) {
                if (results->sizes[s][SIZE_FORK].all.n == 0)
                        continue;
                print_heading(sizes[s].name);
                for (size_t l = 0; l < _SIZE_LANE_MAX; l++)
                        print_lane(size_titles[l], &results->sizes[s][l],
                                   &results->sizes[s][size_base(l)]);
        }

        printf("\n%-44s%10s%12s\n", "16 idle workers, KiB of each", "private", "shared");
        for (size_t i = 0; i < _IDLE_MAX; i++)
                printf("  %-42s%10.0f%12.0f\n", idle_titles[i],
                       samples_median(&results->idle_private[i]),
                       samples_median(&results->idle_shared[i]));

        printf("\n%-56s%12s%12s\n", "goals", "measured", "goal");
        goals_compute(results, goals);
        for (size_t i = 0; i < GOALS; i++)
                if (goals[i].measured > 0)
                        printf("  %-54s%8.2f%-4s%6s %.2f  %s\n", goals[i].text, goals[i].measured,
                               goals[i].unit, "≤", goals[i].limit,
                               goals[i].measured <= goals[i].limit ? "met" : "missed");
}

/* ---- JSON */

static void append_lane(json_t *lanes, const char *group, const char *title,
                        const LaneSamples *lane, const LaneSamples *base) {
        if (lane->all.n > 0)
                json_array_append_new(lanes,
                                      json_pack("{s:s,s:s,s:i,s:f,s:f,s:f}", "group", group, "lane",
                                                title, "requests", (int)lane->all.n, "medianUSec",
                                                samples_median(&lane->all), "p99USec",
                                                samples_quantile(&lane->all, 0.99), "ratio",
                                                samples_ratio(&lane->rounds, &base->rounds)));
}

int server_results_print_json(const ServerResults *results) {
        json_t *lanes = json_array(), *idle = json_array(), *targets = json_array(), *report;
        Goal goals[GOALS];
        int r;

        for (unsigned l = 0; l < _TINY_MAX; l++)
                append_lane(lanes, l < SPACED_FLOOR ? "tiny" : "tiny, spaced", tiny_titles[l],
                            &results->tiny[l], &results->tiny[tiny_base(results, l)]);
        for (size_t s = 0; s < _SIZE_MAX; s++)
                for (size_t l = 0; l < _SIZE_LANE_MAX; l++)
                        append_lane(lanes, sizes[s].name, size_titles[l], &results->sizes[s][l],
                                    &results->sizes[s][size_base(l)]);
        for (size_t i = 0; i < _IDLE_MAX; i++)
                json_array_append_new(
                        idle, json_pack("{s:s,s:f,s:f}", "worker", idle_titles[i], "privateKiB",
                                        samples_median(&results->idle_private[i]), "sharedKiB",
                                        samples_median(&results->idle_shared[i])));
        goals_compute(results, goals);
        for (size_t i = 0; i < GOALS; i++)
                if (goals[i].measured > 0)
                        json_array_append_new(targets,
                                              json_pack("{s:s,s:f,s:f}", "goal", goals[i].text,
                                                        "measured", goals[i].measured, "limit",
                                                        goals[i].limit));
        report = json_pack("{s:i,s:o,s:o,s:o}", "rounds", (int)results->rounds, "lanes", lanes,
                           "idle", idle, "goals", targets);
        r = report && json_dumpf(report, stdout, JSON_INDENT(2)) == 0 ? 0 : -EIO;
        putchar('\n');
        json_decref(report);
        return r;
}
