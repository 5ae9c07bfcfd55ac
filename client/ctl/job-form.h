/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of job_from_options(). Each returns 0 or an exit status, having complained. */

#include "verb.h"

/* job[field] = value, which is taken over; NULL means that there was no memory for it. */
int form_set(json_t *job, const char *field, json_t *value);
/* "a,b" → ["a", "b"] */
json_t *form_split(const char *list);

/* A path from the present directory; NULL with errno set. */
char *form_path_absolute(const char *path);
/* object[field] = the variables of forkctl (if present) and those of --env. */
int form_set_environment(const Ctl *ctl, json_t *object, bool present);
int form_set_span(const Ctl *ctl, json_t *object, OptionId id, const char *name, const char *field);

/* job-work.c: command, or entry with server and arguments. */
int form_set_work(const Ctl *ctl, json_t *job);
/* job-limits.c */
int form_set_limits(const Ctl *ctl, json_t *job);
int form_set_affinity(const Ctl *ctl, json_t *job);
