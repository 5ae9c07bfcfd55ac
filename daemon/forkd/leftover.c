/* SPDX-License-Identifier: Apache-2.0 */

/* After a crash of forkd its workers run on under the keeper. This forkd did not order them and
 * ends them, by the running table that the keeper kept; cgroups (daemon.c) catch the rest. In
 * forkd, at start. */

#include "leftover.h"

#include "daemon.h"
#include "left-behind.h"
#include "log.h"
#include "process-id.h"

#include <inttypes.h>
#include <signal.h>

void leftover_end_all(Daemon *d) {
        RunningTable *table;
        RunningSlot slot;
        bool valid;
        unsigned n = 0;
        int fd, r;

        if (!d->keeper)
                return;
        fd = keeper_link_take(d->keeper, "running-table");
        if (fd < 0)
                return;
        r = running_table_open(&table, fd);
        if (r < 0) {
                close_fd(fd);
                log_warning_errno(r, "the last forkd left a running table that cannot be read");
                return;
        }

        for (size_t i = 0; running_table_get(table, i, &slot, &valid); i++) {
                _cleanup_(close_fdp) int pidfd = -1;

                if (!valid)
                        continue;
                pidfd = process_open(slot.pid, slot.start_time);
                if (pidfd < 0)
                        continue;
                log_about(LOG_WARNING, 0,
                          (LogAbout){ .job = slot.job, .event = LOG_EVENT_JOB_LEFT_RUNNING },
                          "job %" PRIu64 " (pid %d) was left running by the last forkd: ended",
                          slot.job, slot.pid);
                (void)process_signal(pidfd, SIGKILL);
                (void)left_behind_kill_session(slot.pid, SIGKILL);
                n++;
        }
        if (n > 0)
                log_warning(
                        "ended %u job%s of the last forkd: their clients are told nothing, they are lost",
                        n, n == 1 ? "" : "s");
        running_table_free(table);
}
