/* SPDX-License-Identifier: Apache-2.0 */

/* Attempts whose forkserver is gone, in forkd: their workers run on, but spares, and the keeper,
 * which inherits them, tells of their ends; without a keeper their pidfds tell that they ended, and
 * nobody how. */

#include "attempt-private.h"

#include "daemon.h"
#include "host.h"
#include "process-id.h"
#include "spare.h"

#define DEATHS_MAX 3 /* of forkservers, with the same order to start an entry unanswered */

void attempt_lost(Attempt *a, const char *note) {
        AttemptEnd end = { .pid = a->pid, .note = note };

        if (a->cgroup)
                (void)cgroup_kill(a->cgroup);
        attempt_exited(a, &end);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void)source;
        (void)fd;
        (void)events;
        attempt_lost(userdata,
                     "its forkserver had died, and there is no keeper to say how it ended");
        return 0;
}

/* Nobody will report it any more: without a keeper only its pidfd tells that it has ended. */
static void attempt_watch_alone(Attempt *a) {
        if (a->pidfd < 0 ||
            sd_event_add_io(a->daemon->event, &a->pidfd_source, a->pidfd, EPOLLIN, on_pidfd, a) < 0)
                attempt_lost(a, "its forkserver died while starting it");
        else
                (void)sd_event_source_set_priority(a->pidfd_source, PRIORITY_WORKER);
}

void attempt_keeper_gone(Attempt *a) {
        if (a->phase == ATTEMPT_ENDED)
                attempt_conclude(a);
        else if (a->phase == ATTEMPT_ORDERED)
                attempt_lost(a, "its forkserver and the keeper have died while it was starting");
        else
                attempt_watch_alone(a);
}

/* Its forkserver died before it could tell the pid. The leader is the one that made its session,
 * which it did before it took the token; if it is no more, the keeper has the zombie and tells. */
static void attempt_find_leader(Attempt *a) {
        pid_t pids[64], session;
        uint64_t start_time;
        int n = cgroup_pids(a->cgroup, pids, ELEMENTSOF(pids));

        for (int i = 0; i < n && i < (int)ELEMENTSOF(pids); i++)
                if (process_stat(pids[i], NULL, NULL, &session, NULL, &start_time) >= 0 &&
                    session == pids[i]) {
                        int pidfd = process_open(pids[i], start_time);

                        if (pidfd >= 0)
                                attempt_started(a, pids[i], start_time, pidfd);
                        return;
                }
}

void attempt_never_ran(Attempt *a) {
        Job *job = a->job;

        if (a->host)
                host_failed(steal(a->host), "fork", EAGAIN, "its spawner died while starting it");
        if (job) {
                attempt_detach(a);
                job->attempt--;
        }
        attempt_free(a);
        if (!job)
                return;
        /* what kills its forkserver must not do so for ever */
        if (job->spec->entry && ++job->start_refusals > DEATHS_MAX)
                job_finish_unstarted(job, RESULT_SERVER_FAILED,
                                     "its forkserver died each time it was to start this job");
        else
                queue_return(job->daemon->queue, job, 0);
}

/* No job comes to it any more. */
static void orphan_spare(Attempt *a) {
        spare_end(a);
        if (a->phase == ATTEMPT_ORDERED)
                attempt_free(a);
        else if (!a->daemon->keeper)
                attempt_watch_alone(a);
}

void attempt_orphaned(Attempt *a) {
        a->orphan = true;
        if (a->phase == ATTEMPT_ENDED) {
                if (!a->daemon->keeper)
                        attempt_conclude(a);
                return; /* else the keeper reports the zombie, and conclude follows */
        }

        if (a->kind == ATTEMPT_SPARE) {
                orphan_spare(a);
                return;
        }
        if (a->phase == ATTEMPT_ORDERED) {
                if ((!a->job && !a->host) || attempt_take_token(a)) {
                        attempt_never_ran(a); /* a new forkserver gets the order */
                        return;
                }
                /* nobody is left to vouch for an untrusted one, and its forkserver may have reaped
                 * it */
                if (a->cgroup && !a->untrusted)
                        attempt_find_leader(a);
                if (a->phase == ATTEMPT_ORDERED &&
                    (!a->daemon->keeper || !a->cgroup || a->untrusted)) {
                        attempt_lost(a, "its forkserver died while starting it");
                        return;
                }
        }

        if (!a->daemon->keeper)
                attempt_watch_alone(a);
        else if (a->pidfd >= 0 &&
                 process_signal(a->pidfd, 0) == -ESRCH) /* the keeper never gets it */
                attempt_lost(a, "its forkserver reaped it, and died without saying how it ended");
}
