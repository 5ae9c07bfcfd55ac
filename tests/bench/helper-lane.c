/* SPDX-License-Identifier: Apache-2.0 */
/* A helper with the pipes by which it is driven. Owned by the benchmark, whose child it is. */

#include "helper-lane.h"

#include <spawn.h>
#include <sys/wait.h>

struct Helper {
        pid_t pid;
        FILE *to, *from;
};

Helper *helper_free(Helper *helper) {
        if (!helper)
                return NULL;
        if (helper->to)
                fclose(helper->to);
        if (helper->from)
                fclose(helper->from);
        if (helper->pid > 0)
                waitpid(helper->pid, NULL, 0);
        free(helper);
        return NULL;
}

static int helper_open(Helper *helper, int *ret_stdin, int *ret_stdout) {
        int in[2], out[2];

        if (pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        *ret_stdin = in[0];
        helper->to = fdopen(in[1], "we");
        if (!helper->to)
                close(in[1]);
        if (!helper->to || pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        *ret_stdout = out[1];
        helper->from = fdopen(out[0], "re");
        if (!helper->from)
                close(out[0]);
        return helper->from ? 0 : -errno;
}

int helper_new(Helper **ret, char *const *argv) {
        _cleanup_(helper_freep) Helper *helper = calloc(1, sizeof(*helper));
        _cleanup_(close_fdp) int input = -1, output = -1;
        posix_spawn_file_actions_t actions;
        int r;

        if (!helper)
                return -ENOMEM;
        r = helper_open(helper, &input, &output);
        if (r < 0)
                return r;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
        r = posix_spawn(&helper->pid, argv[0], &actions, NULL, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0) {
                helper->pid = 0;
                return -r;
        }
        *ret = steal(helper);
        return 0;
}

/* ret holds the n numbers of the line that the helper says. */
static int helper_hear(Helper *helper, double *ret, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (fscanf(helper->from, "%lf", &ret[i]) != 1)
                        return -EREMOTEIO;
        return fgetc(helper->from) == '\n' ? 0 : -EREMOTEIO;
}

static int helper_tell(Helper *helper) {
        return fflush(helper->to) == 0 ? 0 : -EREMOTEIO;
}

int helper_time(Helper *helper, const char *method, unsigned n, unsigned gap_usec, Samples *ret) {
        _cleanup_(freep) double *usec = calloc(n, sizeof(*usec));
        int r;

        if (!usec)
                return -ENOMEM;
        fprintf(helper->to, "time %s %u %u\n", method, n, gap_usec);
        r = helper_tell(helper);
        if (r == 0)
                r = helper_hear(helper, usec, n);
        for (unsigned i = 0; i < n && r == 0; i++)
                samples_add(ret, usec[i]);
        return r;
}

int helper_idle_begin(Helper *helper, const char *method, pid_t *ret_pids, size_t n) {
        _cleanup_(freep) double *pids = calloc(n, sizeof(*pids));
        int r;

        if (!pids)
                return -ENOMEM;
        fprintf(helper->to, "idle %s %zu\n", method, n);
        r = helper_tell(helper);
        if (r == 0)
                r = helper_hear(helper, pids, n);
        for (size_t i = 0; i < n && r == 0; i++)
                ret_pids[i] = (pid_t)pids[i];
        return r;
}

int helper_idle_end(Helper *helper) {
        fputc('\n', helper->to);
        return helper_tell(helper);
}
