/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happens between fork and exec or entry: async-signal-safe calls only, all that is needed
 * stands in the plan. Commands do all of it at once, on memory that they share with the forkserver
 * (CLONE_VM). Workers of entries are born first, and do the job's part when they have a job. */

#include "plan.h"

#include <stdnoreturn.h>

/* The stages of forkd-server(7). */
typedef enum ChildStage {
        CHILD_STAGE_NONE, /* nothing has failed */
        CHILD_STAGE_PRELOAD,
        CHILD_STAGE_FORK,
        CHILD_STAGE_SIGNALS,
        CHILD_STAGE_SESSION,
        CHILD_STAGE_CGROUP,
        CHILD_STAGE_LIMITS,
        CHILD_STAGE_USER,
        CHILD_STAGE_DIRECTORY,
        CHILD_STAGE_STDIN,
        CHILD_STAGE_STDOUT,
        CHILD_STAGE_STDERR,
        CHILD_STAGE_DESCRIPTORS,
        CHILD_STAGE_PRIVILEGES,
        CHILD_STAGE_TOKEN,
        CHILD_STAGE_EXEC,
        CHILD_STAGE_ENTRY,
        CHILD_STAGE_PLAN,
        _CHILD_STAGE_MAX,
} ChildStage;

const char *child_stage_to_string(ChildStage stage);

/* How far the child has come. */
typedef struct ChildReport {
        ChildStage stage; /* where it failed, and why */
        int error;
        char object[1024]; /* what was concerned, cut short when it is long; or empty */
} ChildReport;

/* object may be NULL. Async-signal-safe. */
void child_report_fill(ChildReport *report, ChildStage stage, int error, const char *object);

/* A worker's channel, or what a command gets besides its streams. Hosts keep it and the next one
 * free of declared descriptors. */
#define CHILD_CHANNEL_FD 3
#define CHILD_TOKEN_FD   4

#define CHILD_EXIT_STATUS 127 /* nobody gets to see it: the report is what counts */

/* What a worker of entries needs before it has a job. */
typedef struct ChildBirth {
        int channel;     /* CHILD_CHANNEL_FD once it is there */
        int cgroup;      /* -1: none */
        const int *keep; /* descriptors that were declared, ascending; borrowed */
        size_t n_keep;
} ChildBirth;

/* The first steps of a worker of entries: its own session, cgroup and descriptors, streams to
 * /dev/null, signals unblocked. 0, or -1 with the report filled. */
int child_be_born(ChildBirth *birth, ChildReport *report);
/* The job's part, up to the token. Of an entry's plan neither descriptors nor the token are closed.
 * 0, or -1 with the report filled. */
int child_prepare(const Plan *plan, ChildReport *report);
/* What of it a one-shot host does only after its preload: directory, umask. */
int child_prepare_one_shot(const Plan *plan, ChildReport *report);
/* Dispositions to default, no signal blocked. 0, or -1 with errno. */
int child_reset_signals(void);

typedef struct ChildStart {
        const Plan *plan;
        ChildReport *report;
} ChildStart;

/* Where a newborn begins: prepares and executes the command, or fills the report and leaves. */
noreturn void child_exec(const ChildStart *start);
