/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The daemon: everything that forkd is, in one struct that main() builds, runs and frees. */

#include "basic.h"
#include "cgroup.h"
#include "config.h"
#include "environment.h"
#include "job.h"
#include "keeper-link.h"
#include "named.h"
#include "notify-link.h"
#include "paths.h"
#include "priorities.h"
#include "queue.h"
#include "running-table.h"
#include "server.h"
#include "service.h"
#include "state-dir.h"
#include "watch.h"

#include <sys/resource.h>
#include <systemd/sd-event.h>

struct Daemon {
        sd_event *event; /* owned, as all that follows */
        Paths *paths;
        Config *config;
        StateDir *state;
        Service *service;
        KeeperLink *keeper;  /* NULL: nobody restarts us */
        NotifyLink *notify;  /* NULL: the keeper speaks to the service manager */
        CgroupBase *cgroups; /* NULL: none, see cgroup_error */
        int cgroup_error;
        RunningTable *table;
        ServerSet *servers;
        NamedSet *named;
        Queue *queue;
        Watch *watch;

        int descriptors_max; /* of our own, as it is now */
        EnvironmentCache environment;
        struct rlimit descriptors; /* RLIMIT_NOFILE as we were started with: that of forkservers and
                                      jobs */

        Job *jobs;        /* all, by id */
        void *jobs_keyed; /* those with a key, by uid and key: a tree of tsearch(3), as keys are the
                           * clients' choice and a hash would let them collide */
        void *shares;     /* of users who have jobs: a tree of tsearch(3), by uid */
        Job *finished;    /* durable ones, oldest first */
        size_t n_states[_JOB_STATE_MAX];
        size_t n_attached;
        size_t n_attempts;         /* all, also those whose job has ended before */
        size_t n_durable_attempts; /* of durable jobs that have not ended: slots of MaxRunning= in
                                      use */
        uint64_t total_started, total_finished;
        uint64_t started_at; /* CLOCK_REALTIME */

        bool listening;  /* on some socket */
        bool own_socket; /* the socket's file is ours to remove */
        bool draining;
        bool stopping; /* told to end: at the deadline, all that runs is ended */
        bool stop_now; /* told twice */
        int exit_status;
        sd_event_source *drain_timer, *second_timer, *tidy;
        Call **drain_calls; /* unanswered Drain calls */
        size_t n_drain_calls;
};

typedef struct DaemonOptions {
        Paths *paths;    /* taken over */
        Config *config;  /* taken over */
        StateDir *state; /* taken over */
        Server *twin;    /* taken over; NULL: no modules */
        int keeper_fd;   /* -1: no keeper */
        struct rlimit
                descriptors; /* RLIMIT_NOFILE as forkd was started with; all 0: it was not raised */
} DaemonOptions;

/* Builds everything and listens. What is taken over is so in any case. */
int daemon_new(Daemon **ret, DaemonOptions *options);
int daemon_run(Daemon *d);
Daemon *daemon_free(Daemon *d);
static inline void daemon_freep(Daemon **d) {
        daemon_free(*d);
}

/* Takes no new work from now on. */
void daemon_drain(Daemon *d);
/* Drains and ends: at once when told a second time. */
void daemon_stop(Daemon *d);
/* 0, -ESHUTDOWN while stopping, or another negative errno: the configuration stays as it was. */
int daemon_reload(Daemon *d);
/* An attempt or a job has ended: is a drain complete, may the loop end? */
void daemon_check_drained(Daemon *d);
/* {"running", "queued"} as Drain replies it; its length. */
int daemon_drain_text(const Daemon *d, char *ret, size_t size);
/* There are cgroups to tidy up. */
void daemon_want_tidy(Daemon *d);
/* There are output files whose sizes want watching. */
void daemon_watch_output(Daemon *d);
/* Forgets finished jobs beyond KeepFinished=; the queue calls it once a turn. */
void daemon_trim_finished(Daemon *d);
/* Removes the job and its output. */
void daemon_forget(Daemon *d, Job *job);
