/* SPDX-License-Identifier: Apache-2.0 */

/* forkd_serve(): somebody else's program as a forkserver. Lives in libforkd, in that program; from
 * here on it has the process, until a worker gives it back. */

#include "forkd-serve.h"

#include "host-main.h"
#include "process-id.h"

/* The program's initialisation is its preload: since when it runs. */
static uint64_t process_began(uint64_t otherwise) {
        uint64_t ticks, now = now_usec(CLOCK_BOOTTIME), began;

        if (process_start_time(getpid(), &ticks) < 0)
                return otherwise;
        began = ticks * (USEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK));
        return began < now ? began : now;
}

int forkd_serve(const ForkdModule *module, int *argc, char ***argv) {
        _cleanup_(freep) char *reason = NULL;
        WorkerProgram program = { 0 };
        ModuleSet *set = NULL;
        HostMain host;
        int r;

        r = host_main_read(&host, &reason);
        if (r == HOST_MAIN_E_ALONE)
                return FORKD_SERVE_ALONE;
        if (r != 0) {
                fprintf(stderr, "%s: %s\n", program_invocation_short_name, reason ?: strerror(-r));
                _exit(EXIT_FAILURE);
        }
        host.began = process_began(host.began);
        host.keep_arguments = true;

        r = modules_of_program(&set, module, &reason);
        if (r != 0)
                host_main_refuse(&host, r < 0 ? -r : EINVAL, reason ?: strerror(-r));
        r = host_main_serve(&host, set, &program);
        if (r != SERVE_E_PROGRAM)
                _exit(r);
        modules_free(set);
        if (argc)
                *argc = program.argc;
        if (argv)
                *argv = program.argv;
        return FORKD_SERVE_WORKER;
}
