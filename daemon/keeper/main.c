/* SPDX-License-Identifier: Apache-2.0 */

/* forkd-keeper: parent of last resort. Options, descriptors of the service manager, then
 * keeper_run(). It links no JSON, serves no client and runs no user code. */

#include "arguments.h"
#include "keeper.h"
#include "log.h"
#include "paths.h"

#include <systemd/sd-daemon.h>

/* Which forkd. */
static int arguments_find_forkd(Arguments *a) {
        int r;

        if (a->argv[0])
                return 0;
        a->forkd_found = a->forkd ? strdup(a->forkd) : NULL;
        if (!a->forkd) {
                r = paths_find_helper("forkd", &a->forkd_found);
                if (r < 0)
                        return log_error_errno(r,
                                               "cannot find forkd; --forkd=PATH says where it is");
        }
        a->argv[0] = a->forkd_found;
        return a->argv[0] ? 0 : -ENOMEM;
}

/* Sockets of the service manager, as "listen", "listen-2", … */
static int store_listening(Store *store) {
        int n = sd_listen_fds(1), r;

        for (int i = 0; i < n; i++) {
                char name[32];

                if (i == 0)
                        snprintf(name, sizeof(name), "listen");
                else
                        snprintf(name, sizeof(name), "listen-%d", i + 1);
                r = store_put(store, name, SD_LISTEN_FDS_START + i);
                if (r < 0)
                        return r;
        }
        return n < 0 ? n : 0;
}

static int run(const Arguments *a) {
        _cleanup_(notify_freep) Notify *notify = NULL;
        _cleanup_(store_freep) Store *store = NULL;
        KeeperOptions options = KEEPER_OPTIONS_DEFAULT;
        int r;

        options.argv = a->argv;
        sd_watchdog_enabled(1, &options.manager_watchdog_usec);
        /* half of it, so that forkd is ended and started again before the manager loses patience */
        if (options.manager_watchdog_usec > 0)
                options.watchdog_usec = options.manager_watchdog_usec / 2;
        if (a->watchdog_given)
                options.watchdog_usec = a->watchdog_usec;

        r = keeper_prepare();
        if (r < 0)
                return log_error_errno(r, "cannot become the parent of orphans");
        r = store_new(&store);
        if (r >= 0)
                r = store_listening(store);
        if (r < 0)
                return log_error_errno(r, "cannot keep the sockets of the service manager");
        r = notify_new(&notify);
        if (r < 0)
                return log_error_errno(r, "cannot use NOTIFY_SOCKET");

        r = keeper_run(&options, notify, store);
        if (r < 0)
                return log_error_errno(r, "cannot go on");
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(arguments_done) Arguments a = { 0 };
        int r;

        log_open("forkd-keeper", LOG_INFO);
        r = arguments_parse(argc, argv, &a);
        if (r == ARGUMENTS_E_DONE)
                return fflush(stdout) == 0 ? 0 : 1;
        if (r == ARGUMENTS_E_WRONG)
                return FORKD_EXIT_USAGE;
        if (r == 0)
                r = arguments_find_forkd(&a);
        if (r == 0)
                r = run(&a);
        log_close();
        return r < 0 ? 125 : r;
}
