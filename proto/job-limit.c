/* SPDX-License-Identifier: Apache-2.0 */

/* Resource limits of a job specification: their names as systemd.exec(5) has them, and their
 * values. Pure functions, used in forkd and in clients. */

#include "job-field.h"
#include "text.h"

#include <sys/resource.h>

static const char *const limit_names[RLIM_NLIMITS + 1] = {
        [RLIMIT_CPU] = "LimitCPU",           [RLIMIT_FSIZE] = "LimitFSIZE",
        [RLIMIT_DATA] = "LimitDATA",         [RLIMIT_STACK] = "LimitSTACK",
        [RLIMIT_CORE] = "LimitCORE",         [RLIMIT_RSS] = "LimitRSS",
        [RLIMIT_NOFILE] = "LimitNOFILE",     [RLIMIT_AS] = "LimitAS",
        [RLIMIT_NPROC] = "LimitNPROC",       [RLIMIT_MEMLOCK] = "LimitMEMLOCK",
        [RLIMIT_LOCKS] = "LimitLOCKS",       [RLIMIT_SIGPENDING] = "LimitSIGPENDING",
        [RLIMIT_MSGQUEUE] = "LimitMSGQUEUE", [RLIMIT_NICE] = "LimitNICE",
        [RLIMIT_RTPRIO] = "LimitRTPRIO",     [RLIMIT_RTTIME] = "LimitRTTIME",
};

_Static_assert(RLIM_NLIMITS == 16, "every resource limit has a name");
_Static_assert(RLIM_INFINITY == UINT64_MAX, "infinity needs no translation");

/* What bounds a cgroup and not a process: known by name so that the refusal can say why. */
static const char *const controller_names[] = {
        "MemoryMax",
        "MemoryHigh",
        "MemoryMin",
        "MemoryLow",
        "MemorySwapMax",
        "MemoryZSwapMax",
        "TasksMax",
        "CPUQuota",
        "CPUWeight",
        "AllowedCPUs",
        "IOWeight",
        "IOReadBandwidthMax",
        "IOWriteBandwidthMax",
        NULL,
};

int job_limit_from_string(const char *s) {
        for (int i = 0; i < (int)RLIM_NLIMITS; i++)
                if (streq(s, limit_names[i]))
                        return i;
        return -EINVAL;
}

const char *job_limit_to_string(int resource) {
        return resource >= 0 && resource < (int)RLIM_NLIMITS ? limit_names[resource] : NULL;
}

/* "1024" or "infinity", the first n bytes of s. */
static int limit_parse_text(const char *s, size_t n, uint64_t *ret) {
        uint64_t v = 0;

        if (n == strlen("infinity") && strncmp(s, "infinity", n) == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        if (n == 0)
                return -EINVAL;
        for (size_t i = 0; i < n; i++) {
                if (s[i] < '0' || s[i] > '9')
                        return -EINVAL;
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (unsigned)(s[i] - '0'), &v) || v == UINT64_MAX)
                        return -ERANGE;
        }
        *ret = v;
        return 0;
}

static int limit_parse_scalar(const json_t *value, uint64_t *ret) {
        int64_t v;

        if (json_is_string(value))
                return limit_parse_text(json_string_value(value), json_string_length(value), ret);
        if (!field_integer_get(value, &v) || v < 0)
                return -EINVAL;
        *ret = (uint64_t)v;
        return 0;
}

static int limit_parse_value(const json_t *value, uint64_t *ret_soft, uint64_t *ret_hard) {
        const char *s = json_string_value(value), *colon = s ? strchr(s, ':') : NULL;
        uint64_t soft, hard;
        int r;

        if (json_is_object(value)) {
                r = limit_parse_scalar(field_get(value, "soft"), &soft);
                if (r == 0)
                        r = limit_parse_scalar(field_get(value, "hard"), &hard);
        } else if (colon) {
                r = limit_parse_text(s, (size_t)(colon - s), &soft);
                if (r == 0)
                        r = limit_parse_text(colon + 1,
                                             json_string_length(value) - (size_t)(colon + 1 - s),
                                             &hard);
        } else {
                r = limit_parse_scalar(value, &soft);
                hard = soft;
        }
        if (r < 0)
                return r;
        *ret_soft = soft;
        *ret_hard = hard;
        return 0;
}

static int limit_unknown(FieldParse *p, const char *path, const char *key) {
        const char *near;

        if (text_in_list(key, controller_names))
                return field_invalid(p, path,
                                     "%s needs cgroup controllers, which forkd does not use yet; "
                                     "resource limits such as LimitAS and LimitCPU work",
                                     key);
        near = text_nearest(key, limit_names);
        if (near)
                return field_invalid(p, path, "there is no limit '%s'; did you mean '%s'?", key,
                                     near);
        return field_invalid(p, path, "there is no limit '%s'; LimitNOFILE and its kin work", key);
}

int field_parse_limits(FieldParse *p, const Field *field, const json_t *value) {
        static const char *const members[] = { "soft", "hard", NULL };
        const char *key;
        json_t *element;
        int r;

        if (!json_is_object(value))
                return field_invalid(p, field->name,
                                     "limits must be an object, {\"LimitNOFILE\": 1024}");

        p->spec->limits = calloc(json_object_size(value) + 1, sizeof(JobLimit));
        if (!p->spec->limits)
                return -ENOMEM;
        json_object_foreach ((json_t *)value, key, element) {
                JobLimit *limit = &p->spec->limits[p->spec->n_limits];
                char path[256];

                if (json_is_null(element))
                        continue;
                text_format(path, sizeof(path), "limits.%s", key);
                limit->resource = job_limit_from_string(key);
                if (limit->resource < 0)
                        return limit_unknown(p, path, key);

                if (json_is_object(element)) {
                        r = field_check_members(p, path, element, members);
                        if (r != 0)
                                return r;
                }
                r = limit_parse_value(element, &limit->soft, &limit->hard);
                if (r == -ERANGE)
                        return field_invalid(p, path, "%s is beyond 64 bits; 'infinity' works",
                                             key);
                if (r < 0)
                        return field_invalid(p, path,
                                             "%s must be a number, 'infinity', 'SOFT:HARD' or "
                                             "{\"soft\", \"hard\"}",
                                             key);
                if (limit->soft > limit->hard)
                        return field_invalid(p, path, "%s has a soft limit above the hard one",
                                             key);
                p->spec->n_limits++;
        }
        return 0;
}

static void limit_format(char *s, size_t size, uint64_t v) {
        if (v == UINT64_MAX)
                snprintf(s, size, "infinity");
        else
                snprintf(s, size, "%llu", (unsigned long long)v);
}

/* As short as it was: one value for both, or "SOFT:HARD". */
static json_t *limit_dump_value(const JobLimit *limit) {
        char soft[24], hard[24], both[50];

        if (limit->soft == limit->hard && limit->soft <= INT64_MAX)
                return json_integer((json_int_t)limit->soft);

        limit_format(soft, sizeof(soft), limit->soft);
        limit_format(hard, sizeof(hard), limit->hard);
        if (limit->soft == limit->hard)
                return json_string(soft);
        snprintf(both, sizeof(both), "%s:%s", soft, hard);
        return json_string(both);
}

int field_dump_limits(const JobSpec *spec, const Field *field, json_t *object) {
        json_t *limits;

        if (spec->n_limits == 0)
                return 0;
        limits = json_object();
        for (size_t i = 0; i < spec->n_limits; i++)
                if (field_set_new(limits, job_limit_to_string(spec->limits[i].resource),
                                  limit_dump_value(&spec->limits[i])) < 0) {
                        json_decref(limits);
                        return -ENOMEM;
                }
        return field_set_new(object, field->name, limits);
}
