/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl submit`: one job from the command line, or many from a file. A file is read whole before
 * anything is submitted, so that a bad line submits nothing. Lives in forkctl. */

#include "verb.h"

#include <inttypes.h>

/* What one message may well hold: bytes, and values (the daemon's bound is 16384). */
#define BATCH_BYTES  ((size_t)256 * 1024)
#define BATCH_VALUES 8192
#define BATCH_JOBS   1000

static void print_ids(const Ctl *ctl, const uint64_t *ids, size_t n, json_t *all) {
        for (size_t i = 0; i < n; i++) {
                if (ctl->json)
                        json_array_append_new(all, json_integer((json_int_t)ids[i]));
                else
                        printf("%" PRIu64 "\n", ids[i]);
        }
        /* whoever reads them may start to wait for these while the rest is submitted */
        fflush(stdout);
}

static int submit(const Ctl *ctl, json_t *jobs, json_t *all) {
        size_t n = json_array_size(jobs);
        _cleanup_(freep) uint64_t *ids = NULL;
        int r;

        ids = calloc(n + 1, sizeof(*ids));
        if (!ids)
                return ctl_errno(-ENOMEM, "cannot submit");
        r = forkd_submit(ctl->forkd, jobs, ids);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        print_ids(ctl, ids, n, all);
        return 0;
}

static size_t count_values(const json_t *json) {
        size_t n = 1, i;
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)json, key, value)
                n += count_values(value);
        json_array_foreach (json, i, value)
                n += count_values(value);
        return n;
}

static int submit_batches(const Ctl *ctl, json_t *jobs, json_t *all) {
        json_t *batch = json_array(), *job;
        size_t i, bytes = 0, values = 0;
        int r = 0;

        json_array_foreach (jobs, i, job) {
                size_t b = json_dumpb(job, NULL, 0, JSON_COMPACT), v = count_values(job);

                if (json_array_size(batch) > 0 &&
                    (bytes + b > BATCH_BYTES || values + v > BATCH_VALUES ||
                     json_array_size(batch) >= BATCH_JOBS)) {
                        r = submit(ctl, batch, all);
                        json_array_clear(batch);
                        bytes = values = 0;
                }
                if (r != 0)
                        break;
                json_array_append(batch, job);
                bytes += b;
                values += v;
        }
        if (r == 0 && json_array_size(batch) > 0)
                r = submit(ctl, batch, all);
        json_decref(batch);
        return r;
}

static int read_line(const Ctl *ctl, const char *name, size_t number, const char *line,
                     size_t length, json_t *jobs) {
        json_error_t error;
        json_t *job;

        if (strspn(line, " \t\r\n") == length)
                return 0;
        job = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(job)) {
                const char *why = job ? "it is no JSON object" : error.text;

                json_decref(job);
                return ctl_error("%s:%zu: no job: %s", name, number, why);
        }
        if (job_complete_from_options(ctl, job) != 0) {
                json_decref(job);
                return STATUS_FORKD;
        }
        if (json_array_append_new(jobs, job) < 0)
                return ctl_errno(-ENOMEM, "cannot read the jobs");
        return 0;
}

static int read_jobs(const Ctl *ctl, const char *path, json_t *jobs) {
        const bool standard = streq(path, "-");
        const char *name = standard ? "standard input" : path;
        FILE *f = standard ? stdin : fopen(path, "re");
        _cleanup_(freep) char *line = NULL;
        size_t room = 0, number = 0;
        ssize_t length;
        int r = 0;

        if (!f)
                return ctl_error("cannot open %s: %s", path, strerror(errno));
        while (r == 0 && (length = getline(&line, &room, f)) >= 0)
                r = read_line(ctl, name, ++number, line, (size_t)length, jobs);
        if (r == 0 && ferror(f))
                r = ctl_error("cannot read %s: %s", name, strerror(errno));
        if (!standard)
                fclose(f);
        return r;
}

static int submit_file(const Ctl *ctl, const char *path) {
        json_t *jobs = json_array(), *all = json_array();
        int r;

        if (ctl->options.n_arguments > 0)
                r = ctl_usage(ctl, "with --file there is no room for '%s'",
                              ctl->options.arguments[0]);
        else
                r = read_jobs(ctl, path, jobs);
        if (r == 0)
                r = submit_batches(ctl, jobs, all);
        if (ctl->json && (r == 0 || json_array_size(all) > 0)) {
                json_t *out = json_pack("{s:O}", "ids", all);

                ctl_print_json(ctl, out);
                json_decref(out);
        }
        json_decref(all);
        json_decref(jobs);
        return r;
}

int verb_submit(Ctl *ctl) {
        const char *file = options_get(&ctl->options, OPTION_FILE);
        json_t *job = NULL, *out;
        uint64_t id;
        int r;

        if (file)
                return submit_file(ctl, file);

        r = job_from_options(ctl, &job);
        if (r != 0)
                return r;
        r = forkd_submit_one(ctl->forkd, job, &id);
        json_decref(job);
        if (r != 0)
                return job_fault(ctl, ctl->forkd, r);

        if (ctl->json) {
                out = json_pack("{s:[I]}", "ids", (json_int_t)id);
                ctl_print_json(ctl, out);
                json_decref(out);
        } else
                printf("%" PRIu64 "\n", id);
        return STATUS_OK;
}
