/* SPDX-License-Identifier: Apache-2.0 */
/* fork-floor BYTES [--huge-pages]: a process that holds BYTES and forks itself, with nothing around
 * it: the floor of every forkserver of that size. A helper of bench-server, which it obeys over
 * standard input (see helper-lane.h) until end-of-file. */

#include "hold.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IDLE_MAX 64

static double usec_now(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The child's one line is the answer; its end is part of what is timed. */
static int answer_once(double *ret_usec) {
        double start = usec_now();
        char answer[16] = "";
        int pair[2], status;
        pid_t pid;

        if (pipe(pair) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                _exit(write(pair[1], "3628800", 7) != 7);
        close(pair[1]);
        if (pid > 0 && (read(pair[0], answer, sizeof(answer)) != 7 ||
                        waitpid(pid, &status, 0) < 0 || status != 0))
                pid = -1;
        close(pair[0]);
        *ret_usec = usec_now() - start;
        return pid < 0 ? -EREMOTEIO : 0;
}

static int answer(unsigned n, unsigned gap_usec) {
        const struct timespec gap = { .tv_sec = gap_usec / 1000000,
                                      .tv_nsec = (long)(gap_usec % 1000000) * 1000 };
        double usec = 0;
        int r;

        for (unsigned i = 0; i < n; i++) {
                if (gap_usec > 0)
                        nanosleep(&gap, NULL);
                r = answer_once(&usec);
                if (r < 0)
                        return r;
                printf("%s%.3f", i > 0 ? " " : "", usec);
        }
        return putchar('\n') == '\n' && fflush(stdout) == 0 ? 0 : -EIO;
}

/* n children that wait, until the next line comes. They have run when their pids are said. */
static int idle(unsigned n) {
        pid_t pids[IDLE_MAX];
        char line[64], byte = 0;
        int pair[2];

        if (n > IDLE_MAX)
                return -EINVAL;
        if (pipe(pair) < 0)
                return -errno;
        fflush(stdout);
        for (unsigned i = 0; i < n; i++) {
                pids[i] = fork();
                if (pids[i] < 0)
                        return -errno;
                if (pids[i] == 0) {
                        prctl(PR_SET_PDEATHSIG, SIGKILL);
                        if (write(pair[1], &byte, 1) != 1)
                                _exit(1);
                        for (;;)
                                pause();
                }
        }
        close(pair[1]);
        for (unsigned i = 0; i < n; i++)
                if (read(pair[0], &byte, 1) != 1)
                        return -EREMOTEIO;
        close(pair[0]);
        for (unsigned i = 0; i < n; i++)
                printf("%s%d", i > 0 ? " " : "", (int)pids[i]);
        putchar('\n');
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
                line[0] = 0;
        for (unsigned i = 0; i < n; i++) {
                kill(pids[i], SIGKILL);
                waitpid(pids[i], NULL, 0);
        }
        return 0;
}

int main(int argc, char **argv) {
        unsigned n, gap;
        char line[128];
        int r;

        if (argc < 2 || argc > 3 || (argc == 3 && strcmp(argv[2], "--huge-pages") != 0)) {
                fputs("usage: fork-floor BYTES [--huge-pages]\n", stderr);
                return 2;
        }
        r = hold(strtoull(argv[1], NULL, 10), argc == 3);
        while (r == 0 && fgets(line, sizeof(line), stdin)) {
                if (sscanf(line, "time fork %u %u", &n, &gap) == 2)
                        r = answer(n, gap);
                else if (sscanf(line, "idle fork %u", &n) == 1)
                        r = idle(n);
                else
                        r = -EINVAL;
        }
        if (r < 0)
                fprintf(stderr, "fork-floor: %s\n", strerror(-r));
        return r < 0;
}
