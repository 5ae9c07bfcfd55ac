/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The method tables of forkd's interfaces, and what their functions share. A function reads its
 * parameters, asks one noun, and answers. */

#include "daemon.h"
#include "wire-error.h"

#include <jansson.h>

extern const Interface interface_jobs;
extern const Interface interface_manager;

/* The members that a method knows; anything else is InvalidParameter. True when the call has been
 * answered so. */
bool refuse_unknown(Call *call, json_t *parameters, const char *const *known);

typedef struct Ids {
        uint64_t *ids; /* owned */
        size_t n_ids;
        bool given;
} Ids;

void ids_done(Ids *ids);
/* parameters[name], a list of integers (floats with integral value too). True when the call was
 * answered with an error. */
bool ids_read_refused(Call *call, json_t *parameters, const char *name, bool required, Ids *ret);
/* An integer in a range; absent: *ret stays. True when refused. */
bool int_read_refused(Call *call, json_t *parameters, const char *name, int64_t min, int64_t max,
                      int64_t *ret);
/* A string; absent or null: NULL. */
bool string_read_refused(Call *call, json_t *parameters, const char *name, const char **ret);

/* The job, if it is there and the peer may see it; else the call is answered and NULL returned. */
Job *job_for_call(Daemon *daemon, Call *call, uint64_t id);

int method_submit(Call *call, json_t *parameters, void *userdata);
int method_run(Call *call, json_t *parameters, void *userdata);
int method_watch(Call *call, json_t *parameters, void *userdata);
int method_list(Call *call, json_t *parameters, void *userdata);
int method_show(Call *call, json_t *parameters, void *userdata);
int method_open_output(Call *call, json_t *parameters, void *userdata);
int method_forget(Call *call, json_t *parameters, void *userdata);
int method_kill(Call *call, json_t *parameters, void *userdata);
int method_cancel(Call *call, json_t *parameters, void *userdata);
int method_pause(Call *call, json_t *parameters, void *userdata);
int method_resume(Call *call, json_t *parameters, void *userdata);
