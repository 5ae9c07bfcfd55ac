/* SPDX-License-Identifier: Apache-2.0 */
/* bench-answer: what preloading is worth, for ./quickstart: the time to the first answer and the
 * memory of a worker forked from the preloaded dictionary, beside a fresh process that loads the
 * dictionary itself. Owns a private daemon with the modules spell and rest, and a FIFO by which it
 * sees both asleep. */

#include "bench.h"
#include "private-daemon.h"

#include "forkd.h"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define CHECK_ARGUMENTS "{\"text\": \"a word\"}"

typedef struct Options {
        Programs programs;
        unsigned runs;
        char module[4096], fifo[128]; /* spell.so */
} Options;

typedef struct Side {
        Samples answer;
        uint64_t private, shared; /* bytes */
        json_int_t preloads, jobs;
} Side;

static int memory_read(pid_t pid, Side *side) {
        char path[64], line[256];
        unsigned long long kib;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
        f = fopen(path, "re");
        if (!f)
                return -errno;
        side->private = side->shared = 0;
        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "Private_Clean: %llu kB", &kib) == 1 ||
                    sscanf(line, "Private_Dirty: %llu kB", &kib) == 1)
                        side->private += kib * 1024;
                if (sscanf(line, "Shared_Clean: %llu kB", &kib) == 1 ||
                    sscanf(line, "Shared_Dirty: %llu kB", &kib) == 1)
                        side->shared += kib * 1024;
        }
        fclose(f);
        return 0;
}

/* Returns once somebody has opened the FIFO for reading: the worker is in its entry, and waits. */
static int fifo_open(const Options *options) {
        int fd = open(options->fifo, O_WRONLY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

/* ---- a fresh process */

/* fifo: where it rests after its answer; NULL: nowhere */
static int fresh_start(const Options *options, const char *fifo, pid_t *ret) {
        char *const argv[] = { (char *)"fresh-module", (char *)options->module,
                               (char *)"check",        (char *)CHECK_ARGUMENTS,
                               (char *)fifo,           NULL };
        posix_spawn_file_actions_t actions;
        int r;

        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawn(ret, options->programs.fresh_module, &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static int fresh_end(pid_t pid) {
        int status;

        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EREMOTEIO;
}

static int fresh_answer(const Options *options, Side *side) {
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        pid_t pid;
        int r;

        r = fresh_start(options, NULL, &pid);
        if (r == 0)
                r = fresh_end(pid);
        if (r == 0)
                samples_add(&side->answer, (double)(now_usec(CLOCK_MONOTONIC) - start));
        return r;
}

static int fresh_memory(const Options *options, Side *side) {
        pid_t pid;
        int fd, r;

        r = fresh_start(options, options->fifo, &pid);
        if (r < 0)
                return r;
        fd = fifo_open(options);
        r = fd < 0 ? fd : memory_read(pid, side);
        close_fd(fd);
        return fresh_end(pid) < 0 ? -EREMOTEIO : r;
}

/* ---- a forked worker */

static int fork_answer(Forkd *f, Side *side) {
        ForkdRun run = { .job = json_pack("{s:s,s:{s:s}}", "entry", "check", "arguments", "text",
                                          "a word") };
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        int r;

        r = forkd_run(f, &run, NULL);
        if (r == 0)
                samples_add(&side->answer, (double)(now_usec(CLOCK_MONOTONIC) - start));
        json_decref(run.job);
        return r;
}

typedef struct Asleep {
        const Options *options;
        Side *side;
        pid_t pid;
        int fd, result;
} Asleep;

static void on_state(Forkd *f _unused_, uint64_t id _unused_, const char *state, int64_t pid,
                     void *userdata) {
        Asleep *asleep = userdata;

        if (!streq(state, "running") || pid <= 0 || asleep->fd >= 0)
                return;
        asleep->fd = fifo_open(asleep->options);
        asleep->result = asleep->fd < 0 ? asleep->fd : memory_read((pid_t)pid, asleep->side);
        asleep->fd = close_fd(asleep->fd);
}

static int fork_memory(const Options *options, Forkd *f, Side *side) {
        Asleep asleep = { .options = options, .side = side, .fd = -1, .result = -ENODATA };
        ForkdRun run = {
                .job = json_pack("{s:s,s:{s:s}}", "entry", "rest", "arguments", "path",
                                 options->fifo),
                .on_state = on_state,
                .userdata = &asleep,
        };
        int r;

        r = forkd_run(f, &run, NULL);
        json_decref(run.job);
        return r != 0 ? r : asleep.result;
}

/* Counted by the module itself. */
static int fork_preloads(Forkd *f, Side *side) {
        ForkdRun run = { .job = json_pack("{s:s}", "entry", "statistics") };
        json_t *certificate = NULL;
        int r;

        r = forkd_run(f, &run, &certificate);
        if (r == 0)
                side->preloads = json_integer_value(
                        json_object_get(json_object_get(certificate, "value"), "preloads"));
        json_decref(certificate);
        json_decref(run.job);
        return r;
}

static int measure(const Options *options, Forkd *f, Side *forked, Side *fresh) {
        json_t *status = NULL;
        int r = 0;

        /* one each by turns, so that noise falls on both */
        for (unsigned i = 0; i < options->runs && r == 0; i++) {
                r = fork_answer(f, forked);
                if (r == 0)
                        r = fresh_answer(options, fresh);
        }
        if (r == 0)
                r = fork_memory(options, f, forked);
        if (r == 0)
                r = fresh_memory(options, fresh);
        if (r == 0)
                r = fork_preloads(f, forked);
        if (r == 0)
                r = forkd_status(f, &status);
        if (r == 0)
                forked->jobs = json_integer_value(json_object_get(status, "totalFinished"));
        json_decref(status);
        fresh->preloads = fresh->jobs = (json_int_t)options->runs + 1;
        return r;
}

static void print_preloads(const Side *side, char *ret, size_t size) {
        snprintf(ret, size, "%lld for %lld jobs", (long long)side->preloads, (long long)side->jobs);
}

static void report(const Options *options, const Side *forked, const Side *fresh) {
        char text[64];

        printf("%-38s%22s%22s\n", "", "fork of the preloaded", "a fresh process");
        printf("%-38s%19.2f ms%19.2f ms\n", "time to the first answer",
               samples_median(&forked->answer) / 1000, samples_median(&fresh->answer) / 1000);
        printf("%-38s%18.0f KiB%18.0f KiB\n", "private memory of a worker",
               (double)forked->private / 1024, (double)fresh->private / 1024);
        printf("%-38s%18.0f KiB%18.0f KiB\n", "memory that it shares",
               (double)forked->shared / 1024, (double)fresh->shared / 1024);
        print_preloads(forked, text, sizeof(text));
        printf("%-38s%22s", "dictionaries loaded", text);
        print_preloads(fresh, text, sizeof(text));
        printf("%22s\n", text);
        printf("\nTimes are medians of %u jobs each, by turns: `Run`s over one connection, and processes.\n",
               options->runs);
}

static int run(Options *options) {
        _cleanup_(private_daemon_freep) PrivateDaemon *daemon = NULL;
        _cleanup_(forkd_freep) Forkd *f = NULL;
        _cleanup_(freep) Side *sides = calloc(2, sizeof(*sides));
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
                r = measure(options, f, &sides[0], &sides[1]);
        if (r > 0)
                fprintf(stderr, "bench-answer: %s\n", forkd_error_sentence(f));
        if (r == 0)
                report(options, &sides[0], &sides[1]);
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
                snprintf(options.module, sizeof(options.module), "%.*s/spell.so",
                         (int)strcspn(options.programs.modules, ":"), options.programs.modules);
                r = run(&options);
        }
        if (r < 0)
                fprintf(stderr, "bench-answer: %s\n", strerror(-r));
        return r < 0;
}
