/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes of other people's tools (xargs, a shell loop, task-spooler) and of forkctl, each as it
 * is used from a shell. Keep nothing but task-spooler's server, which tsp_end() ends. Live in the
 * benchmark; the tools are its children. */

#include "lane.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>

bool tool_found(const char *name) {
        static const char *const directories[] = { "/usr/local/bin", "/usr/bin", "/bin" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                snprintf(path, sizeof(path), "%s/%s", directories[i], name);
                if (access(path, X_OK) == 0)
                        return true;
        }
        return false;
}

/* input becomes descriptor 0 unless -1; output goes nowhere. */
static int tool_run(char *const *argv, const char *variable, int input) {
        char *const environment[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", (char *)variable,
                                      NULL };
        posix_spawn_file_actions_t actions;
        siginfo_t info;
        pid_t pid;
        int r;

        posix_spawn_file_actions_init(&actions);
        if (input >= 0)
                posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environment);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        if (waitid(P_PID, (id_t)pid, &info, WEXITED) < 0)
                return -errno;
        return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : -EREMOTEIO;
}

int forkctl_batch(void *userdata, const Batch *batch) {
        const Tools *tools = userdata;
        char variable[256];
        char *const argv[] = { (char *)tools->forkctl, (char *)"run", (char *)"--",
                               (char *)batch->program, NULL };
        int r = 0;

        if (batch->in_flight != 1)
                return -EINVAL;
        snprintf(variable, sizeof(variable), "FORKD_ADDRESS=%s", tools->address);
        for (unsigned i = 0; i < batch->n && r == 0; i++)
                r = tool_run(argv, variable, -1);
        return r;
}

int xargs_batch(void *userdata _unused_, const Batch *batch) {
        _cleanup_(close_fdp) int input = memfd_create("forkd-bench", MFD_CLOEXEC);
        char jobs[16];
        char *const argv[] = { (char *)"xargs", (char *)"-P",           jobs, (char *)"-n",
                               (char *)"1",     (char *)batch->program, NULL };

        if (input < 0)
                return -errno;
        snprintf(jobs, sizeof(jobs), "%u", batch->in_flight);
        for (unsigned i = 0; i < batch->n; i++)
                if (write(input, "x\n", 2) != 2)
                        return -EIO;
        if (lseek(input, 0, SEEK_SET) < 0)
                return -errno;
        return tool_run(argv, NULL, input);
}

int shell_batch(void *userdata _unused_, const Batch *batch) {
        char script[512];
        char *const argv[] = { (char *)"dash", (char *)"-c", script, NULL };

        if (batch->in_flight != 1)
                return -EINVAL;
        snprintf(script, sizeof(script),
                 "i=0; while [ $i -lt %u ]; do %s || exit 1; i=$((i + 1)); done", batch->n,
                 batch->program);
        return tool_run(argv, NULL, -1);
}

int tsp_batch(void *userdata, const Batch *batch) {
        const Tools *tools = userdata;
        char slots[16];
        char *const set[] = { (char *)"tsp", (char *)"-S", slots, NULL };
        char *const submit[] = { (char *)"tsp", (char *)"-n", (char *)batch->program, NULL };
        char *const wait[] = { (char *)"tsp", (char *)"-w", NULL };
        char *const clear[] = { (char *)"tsp", (char *)"-C", NULL };
        int r;

        snprintf(slots, sizeof(slots), "%u", batch->in_flight);
        r = tool_run(set, tools->tsp_socket, -1);
        for (unsigned i = 0; i < batch->n && r == 0; i++)
                r = tool_run(submit, tools->tsp_socket, -1);
        if (r == 0)
                r = tool_run(wait, tools->tsp_socket, -1);
        if (r == 0)
                r = tool_run(clear, tools->tsp_socket, -1);
        return r;
}

void tsp_end(const Tools *tools) {
        char *const argv[] = { (char *)"tsp", (char *)"-K", NULL };

        (void)tool_run(argv, tools->tsp_socket, -1);
}
