/* SPDX-License-Identifier: Apache-2.0 */
/* Results are the samples of one run by program, number in flight and lane, shown as one table or
 * as one JSON object. Owned by the benchmark, in which they live. */

#include "results.h"

static const char *const lane_titles[_LANE_MAX] = {
        [LANE_DIRECT] = "vfork + exec + wait",
        [LANE_BARE] = "floor: client, daemon",
        [LANE_HOPS] = "floor: client, daemon, spawner",
        [LANE_HOPS_CGROUP] = "floor: the same, with cgroups",
        [LANE_FORKD] = "forkd, through libforkd",
        [LANE_XARGS] = "xargs",
        [LANE_SHELL] = "dash loop",
        [LANE_TSP] = "task-spooler",
        [LANE_FORKCTL] = "forkctl run, a process each",
};

static const char *const program_names[_PROGRAM_MAX] = {
        [PROGRAM_NOLIBC] = "true-nolibc",
        [PROGRAM_TRUE] = "/bin/true",
};

const char *lane_title(LaneName lane) {
        return lane_titles[lane];
}

typedef struct Goal {
        const char *text, *unit;
        double measured, limit;
} Goal;

#define GOALS 5

static void goals_compute(const Results *results, Goal ret[static GOALS]) {
        const Samples(*nolibc)[_LANE_MAX] = results->samples[PROGRAM_NOLIBC];
        const Samples(*program)[_LANE_MAX] = results->samples[PROGRAM_TRUE];
        /* the floor of the same hops is the one that has cgroups when forkd has them */
        LaneName floor = nolibc[0][LANE_HOPS_CGROUP].n > 0 ? LANE_HOPS_CGROUP : LANE_HOPS;

        ret[0] = (Goal){ "/bin/true: forkd / vfork + exec + wait", "×",
                         samples_ratio(&program[0][LANE_FORKD], &program[0][LANE_DIRECT]), 1.25 };
        ret[1] = (Goal){ "true-nolibc: forkd / floor of the same hops", "×",
                         samples_ratio(&nolibc[0][LANE_FORKD], &nolibc[0][floor]), 1.5 };
        ret[2] = (Goal){ "/bin/true, 2 in flight: forkd / vfork + exec + wait", "×",
                         samples_ratio(&program[1][LANE_FORKD], &program[1][LANE_DIRECT]), 1.25 };
        ret[3] = (Goal){ "/bin/true, 2 in flight: forkd / xargs -P 2", "×",
                         samples_ratio(&program[1][LANE_FORKD], &program[1][LANE_XARGS]), 1 };
        ret[4] = (Goal){ "idle daemon, all its processes", " MiB",
                         (double)results->idle_pss / 1048576, 8 };
}

static void print_cell(const Samples *samples, const Samples *base) {
        if (samples->n == 0)
                printf("%22s", "-");
        else
                printf("%12.0f (%5.2f ×)", samples_median(samples), samples_ratio(samples, base));
}

void results_print(const Results *results) {
        Goal goals[GOALS];

        printf("µs a job, request to exit known; medians of %u rounds of %u jobs; × is the ratio to the "
               "first line\n",
               results->rounds, results->jobs);
        for (size_t p = 0; p < _PROGRAM_MAX; p++) {
                printf("\n%-34s%21s%22s\n", program_names[p], "1 in flight", "2 in flight");
                for (size_t l = 0; l < _LANE_MAX; l++) {
                        if (results->samples[p][0][l].n == 0)
                                continue;
                        printf("  %-32s", lane_titles[l]);
                        print_cell(&results->samples[p][0][l],
                                   &results->samples[p][0][LANE_DIRECT]);
                        print_cell(&results->samples[p][1][l],
                                   &results->samples[p][1][LANE_DIRECT]);
                        putchar('\n');
                }
        }
        printf("\n%-34s%21s\n", "an entry by fork", "1 in flight");
        printf("  %-32s", "floor: client, daemon, twin");
        print_cell(&results->forks[FORK_FLOOR], &results->forks[FORK_FLOOR]);
        printf("\n  %-32s", "forkd, through libforkd");
        print_cell(&results->forks[FORK_FORKD], &results->forks[FORK_FLOOR]);
        printf("\n\n%-56s%12s%12s\n", "goals", "measured", "goal");

        goals_compute(results, goals);
        for (size_t i = 0; i < GOALS; i++)
                printf("  %-54s%8.2f%-4s%6s %.2f  %s\n", goals[i].text, goals[i].measured,
                       goals[i].unit, "≤", goals[i].limit,
                       goals[i].measured <= goals[i].limit ? "met" : "missed");
}

int results_print_json(const Results *results) {
        json_t *lanes = json_array(), *targets = json_array(), *report;
        Goal goals[GOALS];
        int r;

        for (size_t p = 0; p < _PROGRAM_MAX; p++)
                for (size_t f = 0; f < 2; f++)
                        for (size_t l = 0; l < _LANE_MAX; l++) {
                                const Samples *s = &results->samples[p][f][l];

                                if (s->n == 0)
                                        continue;
                                json_array_append_new(
                                        lanes,
                                        json_pack(
                                                "{s:s,s:i,s:s,s:f,s:f}", "program",
                                                program_names[p], "inFlight", (int)f + 1, "lane",
                                                lane_titles[l], "medianUSec", samples_median(s),
                                                "ratio",
                                                samples_ratio(
                                                        s, &results->samples[p][f][LANE_DIRECT])));
                        }
        goals_compute(results, goals);
        for (size_t i = 0; i < GOALS; i++)
                json_array_append_new(targets,
                                      json_pack("{s:s,s:f,s:f}", "goal", goals[i].text, "measured",
                                                goals[i].measured, "limit", goals[i].limit));
        report = json_pack("{s:i,s:i,s:o,s:{s:f,s:f},s:o,s:I,s:i}", "rounds", (int)results->rounds,
                           "jobs", (int)results->jobs, "lanes", lanes, "fork", "floorUSec",
                           samples_median(&results->forks[FORK_FLOOR]), "forkdUSec",
                           samples_median(&results->forks[FORK_FORKD]), "goals", targets, "idlePss",
                           (json_int_t)results->idle_pss, "idleProcesses",
                           (int)results->idle_processes);
        r = report && json_dumpf(report, stdout, JSON_INDENT(2)) == 0 ? 0 : -EIO;
        putchar('\n');
        json_decref(report);
        return r;
}
