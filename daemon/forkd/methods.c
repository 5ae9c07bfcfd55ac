/* SPDX-License-Identifier: Apache-2.0 */

/* The table of org.forkd.jobs, and how its methods read their parameters; stateless, in forkd. */

#include "methods.h"

#include "interfaces.h"

#include <inttypes.h>
#include <math.h>

static const char *const submit_captures[] = { "parameters/jobs/*/arguments", NULL };
static const char *const run_captures[] = { "parameters/job/arguments", NULL };

static const Method jobs_methods[] = {
        { "Submit", method_submit, METHOD_DESCRIPTORS, submit_captures },
        { "Run", method_run, METHOD_DESCRIPTORS, run_captures },
        { "Watch", method_watch, METHOD_MORE_REQUIRED, NULL },
        { "List", method_list, 0, NULL },
        { "Show", method_show, 0, NULL },
        { "Kill", method_kill, 0, NULL },
        { "Cancel", method_cancel, 0, NULL },
        { "Pause", method_pause, 0, NULL },
        { "Resume", method_resume, 0, NULL },
        { "OpenOutput", method_open_output, 0, NULL },
        { "Forget", method_forget, 0, NULL },
        { NULL, NULL, 0, NULL },
};

const Interface interface_jobs = {
        .name = "org.forkd.jobs",
        .description = varlink_org_forkd_jobs,
        .methods = jobs_methods,
};

bool refuse_unknown(Call *call, json_t *parameters, const char *const *known) {
        const char *key;
        json_t *value;

        json_object_foreach (parameters, key, value) {
                size_t i = 0;

                while (known[i] && !streq(known[i], key))
                        i++;
                if (!known[i]) {
                        (void)call_invalid_parameter(call, key, "%s takes no parameter '%s'",
                                                     call_method(call), key);
                        return true;
                }
        }
        return false;
}

void ids_done(Ids *ids) {
        free(ids->ids);
        *ids = (Ids){ 0 };
}

/* Integers may arrive as floats. */
static bool integer_of(const json_t *value, int64_t *ret) {
        double d;

        if (json_is_integer(value)) {
                *ret = json_integer_value(value);
                return true;
        }
        if (!json_is_real(value))
                return false;
        d = json_real_value(value);
        if (d != floor(d) || fabs(d) > 9007199254740992.0)
                return false;
        *ret = (int64_t)d;
        return true;
}

bool ids_read_refused(Call *call, json_t *parameters, const char *name, bool required, Ids *ret) {
        json_t *list = json_object_get(parameters, name), *element;
        size_t i;

        *ret = (Ids){ 0 };
        if (!list || json_is_null(list)) {
                if (required)
                        (void)call_invalid_parameter(call, name, "%s needs '%s', a list of job ids",
                                                     call_method(call), name);
                return required;
        }
        if (!json_is_array(list)) {
                (void)call_invalid_parameter(call, name, "'%s' is a list of job ids", name);
                return true;
        }

        ret->given = true;
        ret->n_ids = json_array_size(list);
        ret->ids = calloc(ret->n_ids + 1, sizeof(uint64_t));
        if (!ret->ids) {
                (void)wire_error(call, WIRE_LIMIT_REACHED, json_pack("{s:s}", "limit", "memory"),
                                 "out of memory");
                return true;
        }
        json_array_foreach (list, i, element) {
                int64_t id;

                if (!integer_of(element, &id) || id <= 0) {
                        (void)call_invalid_parameter(
                                call, name,
                                "element %zu of '%s' is no job id: ids are integers from 1", i,
                                name);
                        ids_done(ret);
                        return true;
                }
                ret->ids[i] = (uint64_t)id;
        }
        return false;
}

bool int_read_refused(Call *call, json_t *parameters, const char *name, int64_t min, int64_t max,
                      int64_t *ret) {
        json_t *value = json_object_get(parameters, name);
        int64_t v;

        if (!value || json_is_null(value))
                return false;
        if (!integer_of(value, &v) || v < min || v > max) {
                (void)call_invalid_parameter(call, name,
                                             "'%s' is an integer from %" PRId64 " to %" PRId64,
                                             name, min, max);
                return true;
        }
        *ret = v;
        return false;
}

bool string_read_refused(Call *call, json_t *parameters, const char *name, const char **ret) {
        json_t *value = json_object_get(parameters, name);

        *ret = NULL;
        if (!value || json_is_null(value))
                return false;
        if (!json_is_string(value)) {
                (void)call_invalid_parameter(call, name, "'%s' is a string", name);
                return true;
        }
        *ret = json_string_value(value);
        return false;
}

bool bool_read_refused(Call *call, json_t *parameters, const char *name, bool *ret) {
        json_t *value = json_object_get(parameters, name);

        if (!value || json_is_null(value))
                return false;
        if (!json_is_boolean(value)) {
                (void)call_invalid_parameter(call, name, "'%s' is true or false", name);
                return true;
        }
        *ret = json_is_true(value);
        return false;
}

Job *job_for_call(Daemon *daemon, Call *call, uint64_t id) {
        Job *job = job_find(daemon, id);

        if (job && job_permits(job, connection_peer(call_connection(call))))
                return job;
        (void)wire_no_such_job(call, id);
        return NULL;
}
