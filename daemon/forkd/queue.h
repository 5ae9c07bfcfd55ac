/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Durable jobs that wait: by priority, first come first served inside one, for a free slot of
 * MaxRunning=; and the parked ones, which wait for other jobs or for their time. In memory. */

#include "basic.h"
#include "job.h"

typedef struct Queue Queue;

int queue_new(Queue **ret, Daemon *daemon);
Queue *queue_free(Queue *q);

/* Both borrow the job, which must be in the matching state. A job that waits for a slot ends when
 * its queue deadline passes; the deadline counts from the first time that it does, and is met by
 * the first start. */
void queue_add(Queue *q, Job *job);
void queue_remove(Queue *q, Job *job);
size_t queue_length(const Queue *q);

/* Puts a new durable job where it belongs: parked, or queued with its deadline. */
int queue_accept(Queue *q, Job *job);
/* A job has finished: wakes those that waited for it. */
void queue_job_finished(Queue *q, const Job *job);
/* Lets parked jobs look at those that have finished, which must be before these are forgotten. Not
 * while a job is being finished. */
void queue_recheck(Queue *q);
/* Starts what may start, once at the end of this turn of the loop. */
void queue_wake(Queue *q);
/* Attached jobs that wait for a forkserver. */
bool queue_has_attached(const Queue *q);
void queue_end_attached(Queue *q, const char *note); /* note: static text */
/* A start was refused for lack of processes, descriptors or memory: true when the job is queued
 * again, to be tried after a while; false when that has been done often enough. */
bool queue_retry(Queue *q, Job *job);
/* Queued again, first of its kind; not to be started before the delay is over. */
void queue_return(Queue *q, Job *job, uint64_t delay_usec);
