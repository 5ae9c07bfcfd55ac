/* SPDX-License-Identifier: Apache-2.0 */

/* Reading plans. A Plan belongs to the spawner that launches it, and is gone when the launch is, or
 * to the worker that carries it out, and stays as long as its environment is used. forkd checks
 * what its clients say; here everything is checked that the child would otherwise stumble over. */

#include "plan.h"

#include <sys/stat.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

#define CPUS_MAX   8192
#define GROUPS_MAX 65536

static const struct {
        const char *name;
        int resource;
} plan_limits[] = {
        { "LimitAS", RLIMIT_AS },
        { "LimitCORE", RLIMIT_CORE },
        { "LimitCPU", RLIMIT_CPU },
        { "LimitDATA", RLIMIT_DATA },
        { "LimitFSIZE", RLIMIT_FSIZE },
        { "LimitLOCKS", RLIMIT_LOCKS },
        { "LimitMEMLOCK", RLIMIT_MEMLOCK },
        { "LimitMSGQUEUE", RLIMIT_MSGQUEUE },
        { "LimitNICE", RLIMIT_NICE },
        { "LimitNOFILE", RLIMIT_NOFILE },
        { "LimitNPROC", RLIMIT_NPROC },
        { "LimitRSS", RLIMIT_RSS },
        { "LimitRTPRIO", RLIMIT_RTPRIO },
        { "LimitRTTIME", RLIMIT_RTTIME },
        { "LimitSIGPENDING", RLIMIT_SIGPENDING },
        { "LimitSTACK", RLIMIT_STACK },
};

const char *plan_limit_name(int resource) {
        for (size_t i = 0; i < ELEMENTSOF(plan_limits); i++)
                if (plan_limits[i].resource == resource)
                        return plan_limits[i].name;
        return NULL;
}

static int plan_invalid(const char **ret_reason, const char *reason) {
        *ret_reason = reason;
        return PLAN_E_INVALID;
}

static bool json_absent(const json_t *value) {
        return !value || json_is_null(value);
}

/* An array of strings, borrowed, NULL-terminated. */
static int read_strings(const json_t *array, const char ***ret) {
        size_t n = json_array_size(array);
        const char **strings = calloc(n + 1, sizeof(char *));

        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                strings[i] = json_string_value(json_array_get(array, i));
                if (!strings[i]) {
                        free(strings);
                        return PLAN_E_INVALID;
                }
        }
        *ret = strings;
        return 0;
}

static const char *environment_get(const char *const *envp, const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; envp[i]; i++)
                if (strncmp(envp[i], name, n) == 0 && envp[i][n] == '=')
                        return envp[i] + n + 1;
        return NULL;
}

/* The PATH of the job decides, so that a job finds what its user would find. */
static int plan_find_candidates(Plan *plan) {
        const char *path = environment_get(plan->envp, "PATH") ?: DEFAULT_PATH, *p = path;
        const char *name = plan->argv[0];
        size_t n = 1, k = 0;

        for (const char *c = path; *c; c++)
                n += *c == ':';
        plan->candidates = calloc(n + 1, sizeof(char *));
        if (!plan->candidates)
                return -ENOMEM;

        if (strchr(name, '/') || *name == '\0') {
                plan->candidates[0] = strdup(name);
                return plan->candidates[0] ? 0 : -ENOMEM;
        }
        for (;;) {
                size_t length = strcspn(p, ":");
                int r;

                r = length == 0 ? asprintf(&plan->candidates[k], "./%s", name)
                                : asprintf(&plan->candidates[k], "%.*s/%s", (int)length, p, name);
                if (r < 0) {
                        plan->candidates[k] = NULL;
                        return -ENOMEM;
                }
                k++;
                if (p[length] == '\0')
                        return 0;
                p += length + 1;
        }
}

static int plan_read_command(Plan *plan, const json_t *object, const Packet *packet,
                             const char **ret_reason) {
        const json_t *command = json_object_get(object, "command");
        const json_t *channel = json_object_get(object, "channel");
        int r;

        if (!json_is_array(command) || json_array_size(command) == 0)
                return plan_invalid(ret_reason, "command is no array of at least one string");
        if (!json_absent(channel)) {
                plan->channel = packet_fd(packet, channel);
                if (plan->channel < 0)
                        return plan_invalid(ret_reason, "channel is no descriptor of the packet");
        }
        r = read_strings(command, &plan->argv);
        if (r != 0)
                return r < 0 ? r : plan_invalid(ret_reason, "command is no array of strings");
        return plan_find_candidates(plan);
}

static int plan_read_program(Plan *plan, const json_t *object, const Packet *packet, PlanKind kind,
                             const char **ret_reason) {
        const json_t *environment = json_object_get(object, "environment");
        int r;

        r = json_absent(environment) || json_is_array(environment)
                    ? read_strings(environment, &plan->envp)
                    : PLAN_E_INVALID;
        if (r != 0)
                return r < 0 ? r : plan_invalid(ret_reason, "environment is no array of strings");

        if (kind == PLAN_COMMAND)
                return plan_read_command(plan, object, packet, ret_reason);
        if (!json_absent(json_object_get(object, "command")))
                return plan_invalid(ret_reason, "a worker of entries cannot execute a command");
        return 0;
}

static int plan_read_stdio(Plan *plan, const json_t *object, const Packet *packet,
                           const char **ret_reason) {
        const json_t *array = json_object_get(object, "stdio");

        if (json_absent(array))
                return 0;
        if (!json_is_array(array) || json_array_size(array) != 3)
                return plan_invalid(ret_reason, "stdio is no array of three");

        for (size_t i = 0; i < 3; i++) {
                const json_t *value = json_array_get(array, i);
                PlanStdio *s = &plan->stdio[i];

                if (json_is_null(value))
                        continue;
                if (json_is_integer(value)) {
                        s->kind = PLAN_STDIO_FD;
                        s->fd = packet_fd(packet, value);
                        if (s->fd < 0)
                                return plan_invalid(ret_reason,
                                                    "stdio names a descriptor that is not there");
                } else if (json_is_object(value)) {
                        s->kind = PLAN_STDIO_PATH;
                        s->path = json_string_value(json_object_get(value, "path"));
                        s->append = json_is_true(json_object_get(value, "append"));
                        if (!s->path)
                                return plan_invalid(ret_reason, "a path of stdio is no string");
                } else if (i == 2 && json_is_string(value) &&
                           streq(json_string_value(value), "stdout"))
                        s->kind = PLAN_STDIO_STDOUT;
                else
                        return plan_invalid(
                                ret_reason,
                                "stdio holds neither index, null, path nor \"stdout\" as the third");
        }
        return 0;
}

static int gid_compare(const void *a, const void *b) {
        gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

        return x < y ? -1 : x > y;
}

static bool json_id(const json_t *value, uint32_t *ret) {
        json_int_t v = json_integer_value(value);

        /* the highest means "leave it as it is" to the kernel */
        if (!json_is_integer(value) || v < 0 || v >= UINT32_MAX)
                return false;
        *ret = (uint32_t)v;
        return true;
}

static int plan_read_user(Plan *plan, const json_t *object, const char **ret_reason) {
        const json_t *uid = json_object_get(object, "uid"), *gid = json_object_get(object, "gid");
        const json_t *groups = json_object_get(object, "groups");

        if (json_absent(uid) && json_absent(gid) && json_absent(groups))
                return 0;
        if (!json_id(uid, &plan->uid) || !json_id(gid, &plan->gid))
                return plan_invalid(ret_reason, "uid and gid are not both given as numbers");
        if (!json_absent(groups) && !json_is_array(groups))
                return plan_invalid(ret_reason, "groups is no array of numbers");

        plan->change_user = true;
        plan->n_groups = json_array_size(groups);
        if (plan->n_groups > GROUPS_MAX)
                return plan_invalid(ret_reason, "groups has more than 65536 elements");
        plan->groups = calloc(plan->n_groups + 1, sizeof(gid_t));
        plan->groups_scratch = calloc(plan->n_groups + 1, sizeof(gid_t));
        if (!plan->groups || !plan->groups_scratch)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_groups; i++)
                if (!json_id(json_array_get(groups, i), &plan->groups[i]))
                        return plan_invalid(ret_reason, "groups is no array of numbers");
        qsort(plan->groups, plan->n_groups, sizeof(gid_t), gid_compare);
        return 0;
}

static bool json_limit(const json_t *value, rlim64_t *ret) {
        if (json_is_null(value)) {
                *ret = RLIM64_INFINITY;
                return true;
        }
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return false;
        *ret = (rlim64_t)json_integer_value(value);
        return true;
}

static int plan_read_limits(Plan *plan, json_t *object, const char **ret_reason) {
        json_t *limits = json_object_get(object, "limits"), *pair;
        const char *name;

        if (json_absent(limits))
                return 0;
        if (!json_is_object(limits))
                return plan_invalid(ret_reason, "limits is no object");

        json_object_foreach (limits, name, pair) {
                PlanLimit *l = &plan->limits[plan->n_limits];
                size_t i;

                for (i = 0; i < ELEMENTSOF(plan_limits); i++)
                        if (streq(plan_limits[i].name, name))
                                break;
                if (i == ELEMENTSOF(plan_limits))
                        return plan_invalid(ret_reason, "limits has an unknown name");
                if (json_array_size(pair) != 2 ||
                    !json_limit(json_array_get(pair, 0), &l->limit.rlim_cur) ||
                    !json_limit(json_array_get(pair, 1), &l->limit.rlim_max))
                        return plan_invalid(ret_reason, "a limit is no array of soft and hard");
                l->resource = plan_limits[i].resource;
                plan->n_limits++;
        }
        return 0;
}

static int plan_read_affinity(Plan *plan, const json_t *array, const char **ret_reason) {
        json_int_t highest = -1;

        if (json_absent(array))
                return 0;
        if (!json_is_array(array) || json_array_size(array) == 0)
                return plan_invalid(ret_reason, "affinity is no array of CPU numbers");
        for (size_t i = 0; i < json_array_size(array); i++) {
                const json_t *value = json_array_get(array, i);
                json_int_t cpu = json_integer_value(value);

                if (!json_is_integer(value) || cpu < 0 || cpu >= CPUS_MAX)
                        return plan_invalid(ret_reason, "affinity has no CPU number in 0…8191");
                if (cpu > highest)
                        highest = cpu;
        }

        plan->affinity_size = CPU_ALLOC_SIZE(highest + 1);
        plan->affinity = CPU_ALLOC(highest + 1);
        if (!plan->affinity)
                return -ENOMEM;
        CPU_ZERO_S(plan->affinity_size, plan->affinity);
        for (size_t i = 0; i < json_array_size(array); i++)
                CPU_SET_S((size_t)json_integer_value(json_array_get(array, i)), plan->affinity_size,
                          plan->affinity);
        return 0;
}

static int plan_read_scalars(Plan *plan, const json_t *object, const char **ret_reason) {
        const json_t *directory = json_object_get(object, "directory");
        const json_t *mask = json_object_get(object, "umask"),
                     *nice_ = json_object_get(object, "nice");

        if (!json_absent(directory)) {
                plan->directory = json_string_value(directory);
                if (!plan->directory || plan->directory[0] != '/')
                        return plan_invalid(ret_reason, "directory is no absolute path");
        }
        if (!json_absent(mask)) {
                if (!json_is_integer(mask) || json_integer_value(mask) < 0 ||
                    json_integer_value(mask) > 0777)
                        return plan_invalid(ret_reason, "umask is no number in 0…0777");
                plan->umask = (int)json_integer_value(mask);
        }
        if (!json_absent(nice_)) {
                if (!json_is_integer(nice_) || json_integer_value(nice_) < -20 ||
                    json_integer_value(nice_) > 19)
                        return plan_invalid(ret_reason, "nice is no number in -20…19");
                plan->has_nice = true;
                plan->nice = (int)json_integer_value(nice_);
        }
        return 0;
}

static int plan_read_descriptors(Plan *plan, const Packet *packet, PlanKind kind,
                                 const char **ret_reason) {
        const json_t *cgroup = json_object_get(packet->parameters, "cgroup");
        struct stat st;
        int flags;

        plan->token = packet_fd(packet, json_object_get(packet->parameters, "token"));
        if (plan->token < 0)
                return plan_invalid(ret_reason, "token is no descriptor of the packet");
        /* only an eventfd is sure not to block once it is nonblocking */
        if (fstat(plan->token, &st) < 0 || (st.st_mode & S_IFMT) != 0)
                return plan_invalid(ret_reason, "token is no eventfd");
        flags = fcntl(plan->token, F_GETFL);
        if (flags < 0)
                return -errno;
        if (!(flags & O_NONBLOCK) && fcntl(plan->token, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;

        if (kind == PLAN_COMMAND && !json_absent(cgroup)) {
                plan->cgroup = packet_fd(packet, cgroup);
                if (plan->cgroup < 0)
                        return plan_invalid(ret_reason, "cgroup is no descriptor of the packet");
        }
        return 0;
}

int plan_new(Plan **ret, const Packet *packet, PlanKind kind, const char **ret_reason) {
        _cleanup_(plan_freep) Plan *plan = calloc(1, sizeof(Plan));
        json_t *object = json_object_get(packet->parameters, "plan");
        int r;

        if (!plan)
                return -ENOMEM;
        plan->channel = plan->token = plan->cgroup = plan->umask = -1;
        if (!json_is_object(object))
                return plan_invalid(ret_reason, "plan is no object");

        if ((r = plan_read_program(plan, object, packet, kind, ret_reason)) != 0 ||
            (r = plan_read_scalars(plan, object, ret_reason)) != 0)
                return r;
        if (kind != PLAN_ONE_SHOT &&
            ((r = plan_read_stdio(plan, object, packet, ret_reason)) != 0 ||
             (r = plan_read_user(plan, object, ret_reason)) != 0 ||
             (r = plan_read_limits(plan, object, ret_reason)) != 0 ||
             (r = plan_read_affinity(plan, json_object_get(object, "affinity"), ret_reason)) != 0 ||
             (r = plan_read_descriptors(plan, packet, kind, ret_reason)) != 0))
                return r;

        *ret = steal(plan);
        return 0;
}

void plan_default_descriptors(Plan *plan, const struct rlimit *limit) {
        for (size_t i = 0; i < plan->n_limits; i++)
                if (plan->limits[i].resource == RLIMIT_NOFILE)
                        return;
        plan->limits[plan->n_limits++] = (PlanLimit){
                .resource = RLIMIT_NOFILE,
                .limit = { .rlim_cur = limit->rlim_cur, .rlim_max = limit->rlim_max },
        };
}

Plan *plan_free(Plan *plan) {
        if (!plan)
                return NULL;
        for (size_t i = 0; plan->candidates && plan->candidates[i]; i++)
                free(plan->candidates[i]);
        free(plan->candidates);
        free(plan->argv);
        free(plan->envp);
        free(plan->groups);
        free(plan->groups_scratch);
        CPU_FREE(plan->affinity);
        free(plan);
        return NULL;
}
