/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The method tables of forkd's interfaces, and what their functions share. A function reads its
 * parameters, asks one noun, and answers. */

#include "daemon.h"
#include "wire-error.h"

#include <jansson.h>

extern const Interface interface_jobs;
extern const Interface interface_manager;
extern const Interface interface_servers;

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

/* true or false; absent: *ret stays. */
bool bool_read_refused(Call *call, json_t *parameters, const char *name, bool *ret);

/* Is there such a forkserver and such an entry, and may this peer run it? True when the call has
 * been answered with an error. */
bool refuse_entry(Daemon *d, Call *call, const JobSpec *spec);

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

int method_servers_list(Call *call, json_t *parameters, void *userdata);
int method_servers_show(Call *call, json_t *parameters, void *userdata);
/* parameters["name"]; NULL when the call has been answered with an error. */
const char *server_name_for_call(Call *call, json_t *parameters);
/* A sentence and the error for a name that nobody has. */
int wire_no_such_server(Daemon *d, Call *call, WireError error, const char *name);
/* The name of a forkserver that forkd has without being told. */
bool server_name_built_in(const char *name);
/* Reads all parameters of Start but its name; exactly one of modules and command, or neither, is in
 * *s then. True when the call has been answered with an error. */
bool server_settings_read_refused(Call *call, json_t *parameters, ServerSettings *s);
/* Replies {"server": …}. */
int reply_server(Call *call, const NamedServer *n);
