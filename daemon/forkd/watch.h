/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Changes of state, numbered by a cursor, kept in a ring for those who come back; and the clients
 * that watch jobs or subscribe to the daemon's events. */

#include "basic.h"
#include "job.h"

typedef struct Watch Watch;

#define WATCH_RING 65536 /* changes that can be resumed */

int watch_new(Watch **ret, Daemon *daemon);
Watch *watch_free(Watch *w);

/* Whether no change since this cursor is missing from the ring. */
bool watch_remembers(const Watch *w, uint64_t cursor);
/* A call of Watch: keeps it until all ids (NULL: every job) are finished. has_cursor: resume from
 * one that is remembered. ids is taken over. */
int watch_add(Watch *w, Call *call, uint64_t *ids, size_t n_ids, bool has_cursor, uint64_t cursor);
int watch_subscribe(Watch *w, Call *call);
size_t watch_count(const Watch *w);

/* Told by job_set_state(), after the state and, if finished, the certificate are in place. */
void watch_job_changed(Watch *w, const Job *job);
/* An event for subscribers; server is a finished JSON object or NULL. */
void watch_event(Watch *w, const char *event, const char *server, const char *sentence, ...)
        __attribute__((format(printf, 4, 5)));
