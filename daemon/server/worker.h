/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker that runs one entry and ends. */

#include "basic.h"
#include "child.h"
#include "module.h"
#include "title.h"
#include "worker-program.h"

#include <stdnoreturn.h>

/* What a worker has from its forkserver, or a one-shot host from itself. */
typedef struct WorkerOptions {
        const ModuleSet *modules;
        bool program;              /* the program goes on: entry "main" */
        const TitleArea *title;    /* may be NULL */
        struct rlimit descriptors; /* RLIMIT_NOFILE where the plan has none */
        bool reset_oom_score;
} WorkerOptions;

enum {
        WORKER_E_PROGRAM = 1,
};

/* A newborn, whose channel is at CHILD_CHANNEL_FD: waits for Adopt and for Call. With a program it
 * returns WORKER_E_PROGRAM, with modules never. */
int worker_run(const WorkerOptions *options, WorkerProgram *ret_program);
/* The same in a one-shot host: most of the plan was done before its preload, and the token is
 * taken. */
int worker_run_one_shot(const WorkerOptions *options, int channel, WorkerProgram *ret_program);
/* Tells the caller what has failed, if somebody still listens. */
void worker_send_failed(int channel, const ChildReport *failure);
/* The same, and ends. */
noreturn void worker_fail(int channel, const ChildReport *failure);
