/* SPDX-License-Identifier: Apache-2.0 */

/* The words of the flow suite: everything that a job can do to itself, told from outside. Lives in
 * jobs only (work.c, flow.c). What a test has to wait for is said through a FIFO whose reading end
 * the test holds: a line when something is ready, end-of-file when the last process that had it
 * open is gone. */

#include "behave.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum {
        STATUS_UNKNOWN = 2,
        STATUS_FAULT = 3,
        STATUS_SURVIVED = 99,
};

/* Opens the FIFO and says "TEXT PID"; the descriptor stays open for life. */
static int beacon_light(const char *path, const char *text) {
        int fd = open(path, O_WRONLY);

        if (fd < 0) {
                fprintf(stderr, "work: cannot open '%s': %s\n", path, strerror(errno));
                exit(STATUS_FAULT);
        }
        dprintf(fd, "%s %d\n", text, (int)getpid());
        return fd;
}

static void wait_forever(void) {
        for (;;)
                pause();
}

static int do_exit(int argc, char **argv) {
        exit(argc > 1 ? atoi(argv[1]) : 0);
}

static int do_signal(int argc, char **argv) {
        kill(getpid(), argc > 1 ? atoi(argv[1]) : SIGKILL);
        return STATUS_SURVIVED;
}

/* core: as large a core as the hard limit allows. */
static int do_core(int argc, char **argv) {
        struct rlimit limit;

        (void)argc;
        (void)argv;
        if (getrlimit(RLIMIT_CORE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                setrlimit(RLIMIT_CORE, &limit);
        }
        abort();
}

/* forever FIFO: says "ready", then waits. Without a FIFO just waits. */
static int do_forever(int argc, char **argv) {
        if (argc > 1)
                beacon_light(argv[1], "ready");
        wait_forever();
        return STATUS_SURVIVED;
}

/* mute: closes its standard output, then waits. */
static int do_mute(int argc, char **argv) {
        (void)argc;
        (void)argv;
        close(STDOUT_FILENO);
        wait_forever();
        return STATUS_SURVIVED;
}

/* stubborn FIFO: the same as forever, deaf to TERM, INT and HUP. */
static int do_stubborn(int argc, char **argv) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        return do_forever(argc, argv);
}

static volatile sig_atomic_t got_signal;

static void on_signal(int number) {
        got_signal = number;
}

/* handle FIFO SIGNAL…: says "ready", then "signal-N" for each one of them that comes. */
static int do_handle(int argc, char **argv) {
        struct sigaction action = { .sa_handler = on_signal };
        sigset_t all, open_mask;
        int fd;

        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, &open_mask);
        for (int i = 2; i < argc; i++)
                sigaction(atoi(argv[i]), &action, NULL);
        fd = beacon_light(argv[1], "ready");
        for (;;) {
                sigsuspend(&open_mask);
                dprintf(fd, "signal-%d %d\n", (int)got_signal, (int)getpid());
        }
        return STATUS_SURVIVED;
}

/* polite FIFO STATUS: says "ready", and answers TERM by exiting with STATUS. */
static int do_polite(int argc, char **argv) {
        sigset_t set;
        int number;

        (void)argc;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        beacon_light(argv[1], "ready");
        sigwait(&set, &number);
        _exit(atoi(argv[2]));
}

/* muster FIFO GATE STATUS: opens the gate, says "ready", then blocks until every writer of it has
 * gone. */
static int do_muster(int argc, char **argv) {
        int fd = open(argv[2], O_RDONLY);
        char c;

        (void)argc;
        if (fd < 0)
                return STATUS_FAULT;
        beacon_light(argv[1], "ready");
        while (read(fd, &c, 1) > 0)
                ;
        _exit(atoi(argv[3]));
}

/* linger USEC: sleeps for so long. */
static int do_linger(int argc, char **argv) {
        (void)argc;
        usleep((useconds_t)atol(argv[1]));
        return 0;
}

/* answer IN OUT: for each byte from IN one line "byte" to OUT. */
static int do_answer(int argc, char **argv) {
        int in, out;
        char c;

        (void)argc;
        in = open(argv[1], O_RDONLY); /* first: who has heard "ready" may close its end */
        out = beacon_light(argv[2], "ready");
        while (in >= 0 && read(in, &c, 1) == 1)
                dprintf(out, "byte %d\n", (int)getpid());
        return 0;
}

/* record FILE TEXT: appends a line in one write: the suite's own oracle of what ran. */
static int do_record(int argc, char **argv) {
        char line[512];
        int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        int n = snprintf(line, sizeof(line), "%s\n", argc > 2 ? argv[2] : "ran");

        if (fd < 0 || write(fd, line, (size_t)n) != n)
                return STATUS_FAULT;
        close(fd);
        return 0;
}

static void record_line(const char *file, const char *token, const char *what) {
        char line[256];
        int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        struct timespec now;
        int n;

        clock_gettime(CLOCK_REALTIME, &now);
        n = snprintf(line, sizeof(line), "%s %s %lld\n", token, what,
                     (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
        if (fd < 0 || write(fd, line, (size_t)n) != n)
                exit(STATUS_FAULT);
        close(fd);
}

/* recorded FILE TOKEN WORD ARGUMENT…: does WORD, with a line "TOKEN begin MICROSECONDS" in FILE
 * before, and "TOKEN last MICROSECONDS" when nothing is left but its end. */
static int do_recorded(int argc, char **argv) {
        static const char *const fatal[] = { "exit", "signal", "core", "orphans" };
        int status;

        record_line(argv[1], argv[2], "begin");
        for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
                if (strcmp(argv[3], fatal[i]) == 0) {
                        record_line(argv[1], argv[2], "last");
                        return behave(argc - 3, argv + 3);
                }
        status = behave(argc - 3, argv + 3);
        record_line(argv[1], argv[2], "last");
        return status;
}

/* print TEXT [TEXT-FOR-STDERR] */
static int do_print(int argc, char **argv) {
        printf("%s", argc > 1 ? argv[1] : "");
        fflush(stdout);
        fprintf(stderr, "%s", argc > 2 ? argv[2] : "");
        return 0;
}

/* flood BYTES [FIFO]: numbered lines to stdout; with a FIFO says "ready" and stays. */
static int do_flood(int argc, char **argv) {
        static char block[65536];
        long left = atol(argv[1]);

        memset(block, 'x', sizeof(block));
        for (size_t i = 63; i < sizeof(block); i += 64)
                block[i] = '\n';
        while (left > 0) {
                ssize_t n = write(STDOUT_FILENO, block,
                                  left > (long)sizeof(block) ? sizeof(block) : (size_t)left);

                if (n <= 0)
                        return STATUS_FAULT;
                left -= n;
        }
        if (argc > 2) {
                beacon_light(argv[2], "ready");
                wait_forever();
        }
        return 0;
}

/* copy: stdin to stdout */
static int do_copy(int argc, char **argv) {
        char block[4096];
        ssize_t n;

        (void)argc;
        (void)argv;
        while ((n = read(STDIN_FILENO, block, sizeof(block))) > 0)
                if (write(STDOUT_FILENO, block, (size_t)n) != n)
                        return STATUS_FAULT;
        return n < 0 ? STATUS_FAULT : 0;
}

static void orphan_run(const char *fifo, bool session, bool stubborn) {
        pid_t middle = fork();

        if (middle < 0)
                exit(STATUS_FAULT);
        if (middle == 0) {
                if (session)
                        setsid();
                if (fork() != 0)
                        _exit(0);
                if (stubborn)
                        signal(SIGTERM, SIG_IGN);
                beacon_light(fifo, "orphan");
                wait_forever();
        }
        waitpid(middle, NULL, 0);
}

/* orphans FIFO N HOW: leaves N double-forked processes behind, in their own sessions when HOW has
 * an s, deaf to TERM when it has a d, and says "leader". Then exits 0, or stays when HOW has a w.
 * The leader opens FIFO only after them, so its line comes last only by chance: readers count
 * lines. */
static int do_orphans(int argc, char **argv) {
        int n = atoi(argv[2]);
        const char *how = argc > 3 ? argv[3] : "";
        int fd = open(argv[1], O_WRONLY);
        char c;
        int go = argc > 4 ? open(argv[4], O_RDONLY) : -1;

        if (fd < 0)
                return STATUS_FAULT;
        for (int i = 0; i < n; i++)
                orphan_run(argv[1], strchr(how, 's') != NULL, strchr(how, 'd') != NULL);
        dprintf(fd, "leader %d\n", (int)getpid());
        if (strchr(how, 'w'))
                wait_forever();
        /* with a gate: leave only when told, so that all orphans are known to stand */
        while (go >= 0 && read(go, &c, 1) > 0)
                ;
        _exit(0);
}

static int copy_file(const char *from, const char *directory, const char *name) {
        char path[4096], block[65536];
        int in = open(from, O_RDONLY | O_CLOEXEC), out;
        ssize_t n;

        snprintf(path, sizeof(path), "%s/%s", directory, name);
        out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (in < 0 || out < 0)
                return -1;
        while ((n = read(in, block, sizeof(block))) > 0)
                if (write(out, block, (size_t)n) != n)
                        return -1;
        close(in);
        close(out);
        return n < 0 ? -1 : 0;
}

/* One line per open descriptor: number, blank, what it is. */
static int list_descriptors(FILE *out) {
        DIR *dir = opendir("/proc/self/fd");
        struct dirent *entry;
        int own;

        if (!dir)
                return -1;
        own = dirfd(dir);
        while ((entry = readdir(dir))) {
                char target[4096];
                ssize_t n;

                if (entry->d_name[0] == '.' || atoi(entry->d_name) == own ||
                    atoi(entry->d_name) == fileno(out))
                        continue;
                n = readlinkat(own, entry->d_name, target, sizeof(target) - 1);
                if (n >= 0)
                        fprintf(out, "%s %.*s\n", entry->d_name, (int)n, target);
        }
        closedir(dir);
        return 0;
}

/* hygiene DIRECTORY: what the job finds itself to be, as files: fd, environ, cwd and copies of
 * /proc/self. */
static int do_hygiene(int argc, char **argv) {
        static const char *const names[] = { "status", "stat",          "limits",
                                             "cgroup", "oom_score_adj", "cmdline" };
        char path[4096], cwd[4096];
        FILE *out;

        (void)argc;
        snprintf(path, sizeof(path), "%s/fd", argv[1]);
        out = fopen(path, "we");
        if (!out || list_descriptors(out) < 0 || fclose(out) != 0)
                return STATUS_FAULT;

        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
                snprintf(path, sizeof(path), "/proc/self/%s", names[i]);
                if (copy_file(path, argv[1], names[i]) < 0)
                        return STATUS_FAULT;
        }

        snprintf(path, sizeof(path), "%s/environ", argv[1]);
        out = fopen(path, "we");
        if (!out)
                return STATUS_FAULT;
        for (char **e = environ; e && *e; e++)
                fprintf(out, "%s%c", *e, '\0');
        fclose(out);

        snprintf(path, sizeof(path), "%s/cwd", argv[1]);
        out = fopen(path, "we");
        if (!out || !getcwd(cwd, sizeof(cwd)))
                return STATUS_FAULT;
        fprintf(out, "%s", cwd);
        return fclose(out) == 0 ? 0 : STATUS_FAULT;
}

static const struct {
        const char *word;
        int least; /* arguments */
        int (*function)(int argc, char **argv);
} words[] = {
        { "exit", 0, do_exit },       { "signal", 1, do_signal },     { "core", 0, do_core },
        { "forever", 0, do_forever }, { "stubborn", 1, do_stubborn }, { "handle", 2, do_handle },
        { "polite", 2, do_polite },   { "muster", 3, do_muster },     { "answer", 2, do_answer },
        { "record", 1, do_record },   { "print", 0, do_print },       { "flood", 1, do_flood },
        { "copy", 0, do_copy },       { "linger", 1, do_linger },     { "orphans", 2, do_orphans },
        { "hygiene", 1, do_hygiene }, { "recorded", 3, do_recorded }, { "mute", 0, do_mute },
};

int behave(int argc, char **argv) {
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strcmp(words[i].word, argv[0]) == 0 && argc > words[i].least)
                        return words[i].function(argc, argv);
        fprintf(stderr, "work: '%s' with %d arguments is no word of behave.c\n", argv[0], argc - 1);
        return STATUS_UNKNOWN;
}
