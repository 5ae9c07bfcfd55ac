/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by attempt.c, attempt-text.c, start.c, spare.c, orphan.c and left-behind.c only. */

#include "attempt.h"
#include "log.h"

/* With what its order needs: token (not a spare's, which comes with its job), cgroup, a key. number
 * is that of the job's attempt, or one of the forkserver's own. */
int attempt_new(Attempt **ret, Daemon *daemon, AttemptKind kind, Job *job, unsigned number);
int attempt_make_token(Attempt *a);
/* True when the token was still there: the attempt will never run. */
bool attempt_take_token(Attempt *a);
/* A former spare: true when it has taken its token, and so will not be replaced by a fresh worker;
 * what was kept for that is closed. */
bool attempt_look_taken(Attempt *a);
/* The job and its attempt know each other … */
void attempt_attach(Attempt *a, Job *job);
/* … no more: the job goes its way, the attempt stays until all of it is gone. */
void attempt_detach(Attempt *a);
/* In the running table, from now on. */
void attempt_record(Attempt *a);
/* After this many µs from now, or never (USEC_INFINITY). */
int attempt_set_timer(Attempt *a, uint64_t usec, sd_event_time_handler_t handler);
int on_attempt_timeout(sd_event_source *source, uint64_t usec, void *userdata);
/* Nothing of it is left but the zombie: lets it be reaped, unless what it left behind is still
 * being ended. */
void attempt_conclude(Attempt *a);
/* It will never run, and nobody will report it: its job is queued again. Frees it. */
void attempt_never_ran(Attempt *a);
/* It has ended, and nobody will say how: what is left of it is killed. */
void attempt_lost(Attempt *a, const char *note);
/* "job 17", "forkserver spell#2", for log lines. */
const char *attempt_text(const Attempt *a, char buffer[static 96]);
/* What such a line is about; event may be NULL. */
LogAbout attempt_about(const Attempt *a, const char *event);
