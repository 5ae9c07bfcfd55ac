/* SPDX-License-Identifier: Apache-2.0 */
/* bench-answer: what preloading is worth, for ./quickstart: the time to the first answer, the
 * memory of a worker and how often the dictionary was read, by each start method. Owns a private
 * daemon with the modules spell and rest, preloaded by forkd and by a forkserver, and a FIFO by
 * which it sees a worker asleep. */

#include "bench.h"
#include "private-daemon.h"

#include "forkd.h"

#include <sys/stat.h>

#define SERVER "spell"

typedef enum Method { FORKSERVER, FORK, SPAWN, _METHOD_MAX } Method;

static const char *const method_names[_METHOD_MAX] = { "forkserver", "fork", "spawn" };

typedef struct Options {
        Programs programs;
        unsigned runs;
        char fifo[128];
} Options;

typedef struct Side {
        Samples answer;
        uint64_t private, shared; /* bytes */
        json_int_t preloads;      /* counted by the module, in each worker's process */
        unsigned jobs;
} Side;

/* The fork of the twin has no server; the other two preload what the forkserver does. */
static json_t *job_new(Method method, const char *entry, const char *argument, const char *value) {
        json_t *job = json_pack("{s:s,s:s,s:{s:s}}", "startMethod", method_names[method], "entry",
                                entry, "arguments", argument, value);

        if (job && method != FORK)
                json_object_set_new(job, "server", json_string(SERVER));
        return job;
}

static int answer(Forkd *f, Method method, Side *side) {
        ForkdRun run = { .job = job_new(method, "check", "text", "a word") };
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        json_t *certificate = NULL;
        json_int_t preloads;
        int r;

        r = forkd_run(f, &run, &certificate);
        if (r == 0) {
                samples_add(&side->answer, (double)(now_usec(CLOCK_MONOTONIC) - start));
                preloads = json_integer_value(
                        json_object_get(json_object_get(certificate, "value"), "preloads"));
                /* fresh processes each have their own; forks all have the one */
                side->preloads = method == SPAWN ? side->preloads + preloads : preloads;
                side->jobs++;
        }
        json_decref(certificate);
        json_decref(run.job);
        return r;
}

/* ---- a worker at rest */

typedef struct Asleep {
        const Options *options;
        Side *side;
        int result;
} Asleep;

/* Opening the FIFO returns once the worker is in its entry; closing it lets the worker go on. */
static void on_state(Forkd *f _unused_, uint64_t id _unused_, const char *state, int64_t pid,
                     void *userdata) {
        Asleep *asleep = userdata;
        int fd;

        if (!streq(state, "running") || pid <= 0 || asleep->result != -ENODATA)
                return;
        fd = open(asleep->options->fifo, O_WRONLY | O_CLOEXEC);
        asleep->result =
                fd < 0 ? -errno
                       : process_memory((pid_t)pid, &asleep->side->private, &asleep->side->shared);
        close_fd(fd);
}

static int memory(const Options *options, Forkd *f, Method method, Side *side) {
        Asleep asleep = { .options = options, .side = side, .result = -ENODATA };
        ForkdRun run = {
                .job = job_new(method, "rest", "path", options->fifo),
                .on_state = on_state,
                .userdata = &asleep,
        };
        int r;

        r = forkd_run(f, &run, NULL);
        json_decref(run.job);
        return r != 0 ? r : asleep.result;
}

/* ---- the comparison */

static int server_start(Forkd *f) {
        json_t *parameters = json_pack("{s:s,s:[s,s]}", "name", SERVER, "modules", "spell", "rest");
        int r;

        if (!parameters)
                return -ENOMEM;
        r = forkd_servers_start(f, parameters, NULL);
        json_decref(parameters);
        return r;
}

static int measure(const Options *options, Forkd *f, Side sides[static _METHOD_MAX]) {
        int r = server_start(f);

        /* one each by turns, so that noise falls on all */
        for (unsigned i = 0; i < options->runs && r == 0; i++)
                for (unsigned m = 0; m < _METHOD_MAX && r == 0; m++)
                        r = answer(f, m, &sides[m]);
        for (unsigned m = 0; m < _METHOD_MAX && r == 0; m++)
                r = memory(options, f, m, &sides[m]);
        return r;
}

static void report(const Options *options, const Side sides[static _METHOD_MAX]) {
        char text[64];

        printf("%-32s", "");
        for (unsigned m = 0; m < _METHOD_MAX; m++)
                printf("%16s", method_names[m]);
        printf("\n%-32s", "time to the first answer");
        for (unsigned m = 0; m < _METHOD_MAX; m++)
                printf("%13.2f ms", samples_median(&sides[m].answer) / 1000);
        printf("\n%-32s", "private memory of a worker");
        for (unsigned m = 0; m < _METHOD_MAX; m++)
                printf("%12.0f KiB", (double)sides[m].private / 1024);
        printf("\n%-32s", "memory that it shares");
        for (unsigned m = 0; m < _METHOD_MAX; m++)
                printf("%12.0f KiB", (double)sides[m].shared / 1024);
        printf("\n%-32s", "dictionaries read");
        for (unsigned m = 0; m < _METHOD_MAX; m++) {
                snprintf(text, sizeof(text), "%lld for %u jobs", (long long)sides[m].preloads,
                         sides[m].jobs);
                printf("%16s", text);
        }
        printf("\n\nTimes are medians of %u jobs each, by turns, over one connection.\n",
               options->runs);
}

/* A comparison that contradicts what forkd promises is not shown as if it were fine. */
static int judge(const Side sides[static _METHOD_MAX]) {
        if (sides[FORKSERVER].preloads == 1 && sides[FORK].preloads == 1 &&
            sides[SPAWN].preloads == (json_int_t)sides[SPAWN].jobs)
                return 0;
        fputs("bench-answer: forks read the dictionary again, or fresh processes did not\n",
              stderr);
        return -EREMOTEIO;
}

static int run(Options *options) {
        _cleanup_(private_daemon_freep) PrivateDaemon *daemon = NULL;
        _cleanup_(forkd_freep) Forkd *f = NULL;
        _cleanup_(freep) Side *sides = calloc(_METHOD_MAX, sizeof(*sides));
        int r;

        if (!sides)
                return -ENOMEM;
        r = private_daemon_new(&daemon, &options->programs, "spell rest");
        if (r < 0)
                return r;
        snprintf(options->fifo, sizeof(options->fifo), "%s/fifo", private_daemon_directory(daemon));
        if (mkfifo(options->fifo, 0600) < 0)
                return -errno;
        r = forkd_connect(&f, private_daemon_address(daemon));
        if (r == 0)
                r = measure(options, f, sides);
        if (r > 0)
                fprintf(stderr, "bench-answer: %s\n", forkd_error_sentence(f));
        if (r == 0)
                report(options, sides);
        if (r == 0)
                r = judge(sides);
        return r > 0 ? -EREMOTEIO : r;
}

int main(int argc, char **argv) {
        static Options options;
        int r;

        if (argc != 3 || strtoul(argv[2], NULL, 10) == 0) {
                fputs("usage: bench-answer BUILD-FOLDER RUNS\n", stderr);
                return 2;
        }
        r = programs_find(&options.programs, argv[1]);
        if (r == 0) {
                options.runs = (unsigned)strtoul(argv[2], NULL, 10);
                r = run(&options);
        }
        if (r < 0)
                fprintf(stderr, "bench-answer: %s\n", strerror(-r));
        return r < 0;
}
