/* SPDX-License-Identifier: Apache-2.0 */

/* The parameters of what goes to forkd, in the forms of forkd-server(7). Lives in forkservers; owns
 * nothing. */

#include "report.h"

#include "process-id.h"
#include "safety.h"

static json_t *entry_to_json(const char *name, const char *help, const char *arguments) {
        return json_pack("{ss,ss,ss}", "name", name, "help", help ?: "", "arguments",
                         arguments ?: "");
}

static json_t *entries_to_json(const ServeOptions *options) {
        const ModuleSet *modules = options->modules;
        json_t *array = json_array();

        if (options->program) {
                json_array_append_new(array, entry_to_json(WORKER_PROGRAM_ENTRY,
                                                           "the program itself", "argv=LIST"));
                return array;
        }
        for (size_t i = 0; modules && i < modules_count(modules); i++)
                for (const ForkdEntry *e = modules_get(modules, i)->entries; e->name; e++)
                        json_array_append_new(array, entry_to_json(e->name, e->help, e->arguments));
        return array;
}

int report_ready(const ServeOptions *o, json_t **ret) {
        json_t *safety = NULL;
        size_t n = 0;
        const int *kept = o->modules ? modules_kept_fds(o->modules, &n) : NULL;
        int *declared, r;

        declared = calloc(n + 2, sizeof(int));
        if (!declared)
                return -ENOMEM;
        declared[0] = o->channel;
        declared[1] = o->log_fd;
        for (size_t i = 0; i < n; i++)
                declared[i + 2] = kept[i];
        r = safety_look(declared, n + 2, &safety, NULL);
        free(declared);
        if (r < 0)
                return r;

        *ret = json_pack("{ss,sI,so,so}", "name", o->name, "preloadUSec",
                         (json_int_t)o->preload_usec, "entries", entries_to_json(o), "safety",
                         safety);
        return *ret ? 0 : -ENOMEM;
}

static uint64_t start_time_of(const Forked *a) {
        uint64_t start_time = 0;

        /* cannot fail: a child that nobody has reaped is in /proc */
        process_start_time(a->child.pid, &start_time);
        return start_time;
}

json_t *report_running(json_t *epoch, Forked *attempts) {
        json_t *array = json_array();
        Forked *a, *next;

        HASH_ITER (hh, attempts, a, next) {
                json_array_append_new(array, json_pack("{sI,sI,si,sI}", "id", (json_int_t)a->key.id,
                                                       "attempt", (json_int_t)a->key.attempt, "pid",
                                                       (int)a->child.pid, "startTime",
                                                       (json_int_t)start_time_of(a)));
        }
        return json_pack("{sO?,so}", "epoch", epoch, "attempts", array);
}

json_t *report_started(const Forked *a) {
        return json_pack("{sI,sI,si,sI,si}", "id", (json_int_t)a->key.id, "attempt",
                         (json_int_t)a->key.attempt, "pid", (int)a->child.pid, "startTime",
                         (json_int_t)start_time_of(a), "pidfd", 0);
}

static const char *code_to_string(int code) {
        return code == CLD_EXITED ? "exited" : code == CLD_DUMPED ? "dumped" : "killed";
}

static json_int_t timeval_to_usec(const struct timeval *t) {
        return (json_int_t)t->tv_sec * (json_int_t)USEC_PER_SEC + t->tv_usec;
}

json_t *report_exited(const Forked *a) {
        return json_pack("{sI,sI,si,ss,si,sI,sI}", "id", (json_int_t)a->key.id, "attempt",
                         (json_int_t)a->key.attempt, "pid", (int)a->child.pid, "code",
                         code_to_string(a->code), "status", a->status, "userUSec",
                         timeval_to_usec(&a->usage.ru_utime), "systemUSec",
                         timeval_to_usec(&a->usage.ru_stime));
}

json_t *report_failed(const ForkedKey *key, const ChildReport *failure) {
        return json_pack("{sI,sI,ss,si,ss*}", "id", (json_int_t)key->id, "attempt",
                         (json_int_t)key->attempt, "stage", child_stage_to_string(failure->stage),
                         "errno", failure->error, "text",
                         *failure->object ? failure->object : NULL);
}
