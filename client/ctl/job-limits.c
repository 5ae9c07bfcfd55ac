/* SPDX-License-Identifier: Apache-2.0 */

/* Resource limits and CPUs, as they are written on the command line. The daemon knows which limits
 * there are; here sizes are worked out. Lives in forkctl. */

#include "job-form.h"

#include "format.h"

#include <ctype.h>

#define CPUS_MAX 8192

/* "64M" → 67108864, "infinity" → "infinity"; appended to text. */
static int limit_part(const char *s, size_t n, char *text, size_t size) {
        static const char suffixes[] = "KMGTPE";
        const char *suffix = NULL;
        uint64_t v = 0;
        size_t digits, used = strlen(text);

        if (n == strlen("infinity") && strncmp(s, "infinity", n) == 0) {
                snprintf(text + used, size - used, "infinity");
                return 0;
        }
        for (digits = 0; digits < n && isdigit((unsigned char)s[digits]); digits++)
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(s[digits] - '0'), &v))
                        return -ERANGE;
        if (digits == 0 || n - digits > 1)
                return -EINVAL;
        if (n > digits) {
                suffix = strchr(suffixes, s[digits]);
                if (!suffix)
                        return -EINVAL;
                if (__builtin_mul_overflow(v, UINT64_C(1) << (10 * (suffix - suffixes + 1)), &v))
                        return -ERANGE;
        }
        snprintf(text + used, size - used, "%llu", (unsigned long long)v);
        return 0;
}

static int set_limit(const Ctl *ctl, json_t *limits, const char *text) {
        const char *equals = strchr(text, '='), *value = equals ? equals + 1 : "";
        const char *colon = strchr(value, ':');
        _cleanup_(freep) char *name = NULL;
        char figures[64] = "";
        int r;

        r = limit_part(value, strcspn(value, ":"), figures, sizeof(figures));
        if (r == 0 && colon) {
                strcat(figures, ":");
                r = limit_part(colon + 1, strlen(colon + 1), figures, sizeof(figures));
        }
        if (!equals || equals == text || r < 0)
                return ctl_usage(
                        ctl,
                        "--limit=%s is not NAME=VALUE or NAME=SOFT:HARD, such as NOFILE=1024 or AS=1G",
                        text);

        /* NOFILE is LimitNOFILE; MemoryMax and its kin have names of their own. */
        r = asprintf(&name, "%s%.*s",
                     strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == (size_t)(equals - text) ? "Limit"
                                                                                           : "",
                     (int)(equals - text), text);
        if (r < 0)
                return ctl_errno(-ENOMEM, "cannot build the job");
        return form_set(limits, name, json_string(figures));
}

int form_set_limits(const Ctl *ctl, json_t *job) {
        const char *text;
        json_t *limits;
        int r = 0;

        if (!options_has(&ctl->options, OPTION_LIMIT))
                return 0;
        limits = json_object();
        for (size_t i = 0; r == 0 && (text = options_get_nth(&ctl->options, OPTION_LIMIT, i)); i++)
                r = set_limit(ctl, limits, text);
        if (r == 0)
                return form_set(job, "limits", limits);
        json_decref(limits);
        return r;
}

/* "2-3" or "5" */
static int add_cpus(json_t *cpus, const char *s, size_t n) {
        _cleanup_(freep) char *first = strndup(s, n);
        int64_t from, to;
        char *dash;

        if (!first)
                return -ENOMEM;
        dash = strchr(first, '-');
        if (dash)
                *dash = '\0';
        if (parse_integer(first, 0, CPUS_MAX - 1, &from) < 0)
                return -EINVAL;
        to = from;
        if (dash && parse_integer(dash + 1, from, CPUS_MAX - 1, &to) < 0)
                return -EINVAL;
        for (; from <= to; from++)
                if (json_array_append_new(cpus, json_integer(from)) < 0)
                        return -ENOMEM;
        return 0;
}

int form_set_affinity(const Ctl *ctl, json_t *job) {
        const char *text = options_get(&ctl->options, OPTION_AFFINITY), *s = text;
        json_t *cpus;
        int r = 0;

        if (!text)
                return 0;
        cpus = json_array();
        do {
                size_t n = strcspn(s, ",");

                r = add_cpus(cpus, s, n);
                s += n;
        } while (r == 0 && *s++ == ',');
        if (r == 0)
                return form_set(job, "affinity", cpus);
        json_decref(cpus);
        return ctl_usage(ctl, "--affinity=%s is no list of CPUs, such as 0,2-3", text);
}
