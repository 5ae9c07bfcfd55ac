/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happens between fork and exec or entry: async-signal-safe calls only, all that is needed
 * stands in the plan. A child of CLONE_VM runs this on memory that it shares with the forkserver.
 */

#include "plan.h"

#include <stdnoreturn.h>

/* The stages of forkd-server(7). */
typedef enum ChildStage {
        CHILD_STAGE_NONE, /* nothing has failed */
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

/* How far the child has come; in memory that parent and child share. */
typedef struct ChildReport {
        ChildStage stage; /* where it failed, and why */
        int error;
        volatile int running; /* the entry is about to be called */
        char object[1024];    /* what was concerned, cut short when it is long; or empty */
} ChildReport;

/* object may be NULL. Async-signal-safe. */
void child_report_fill(ChildReport *report, ChildStage stage, int error, const char *object);

/* A worker's channel. */
#define CHILD_CHANNEL_FD 3
/* Hosts of modules keep this and the channel's number free of declared descriptors. */
#define CHILD_TOKEN_FD 4

#define CHILD_EXIT_STATUS 127 /* nobody gets to see it: the report is what counts */

/* All steps up to the token, signals unblocked. 0, or -1 with the report filled. */
int child_prepare(const Plan *plan, ChildReport *report);
typedef struct ChildStart {
        const Plan *plan;
        ChildReport *report;
} ChildStart;

/* Where a newborn begins: prepares and executes the command, or fills the report and leaves. */
noreturn void child_exec(const ChildStart *start);
