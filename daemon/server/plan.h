/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The plan of an attempt, as forkd-server(7) has it, computed before the fork: everything that the
 * child needs stands ready in it, so that the child allocates nothing. Borrows strings and
 * descriptors from the packet that it came with. */

#include "basic.h"
#include "packet.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/types.h>

#define PLAN_LIMITS_MAX 16

typedef enum PlanStdioKind {
        PLAN_STDIO_NULL, /* /dev/null */
        PLAN_STDIO_FD,
        PLAN_STDIO_PATH,
        PLAN_STDIO_STDOUT, /* the third: where the second goes */
} PlanStdioKind;

typedef struct PlanStdio {
        PlanStdioKind kind;
        int fd;
        const char *path;
        bool append;
} PlanStdio;

typedef struct PlanLimit {
        int resource;
        struct rlimit64 limit;
} PlanLimit;

typedef struct Plan {
        const char **argv; /* NULL: a worker of an entry */
        char **candidates; /* the paths to try to exec, in order; NULL-terminated */
        const char **envp;
        const char *directory; /* NULL: as it is */
        const char *title;
        int umask; /* -1: as it is */
        PlanStdio stdio[3];

        int channel; /* the worker's end; -1: a command */
        int token;
        int cgroup;      /* -1: none */
        const int *keep; /* descriptors that modules declared, ascending; borrowed */
        size_t n_keep;

        bool change_user;
        uid_t uid;
        gid_t gid;
        gid_t *groups;         /* ascending, as the kernel keeps them */
        gid_t *groups_scratch; /* room for one more than there are, to read them back */
        size_t n_groups;

        PlanLimit limits[PLAN_LIMITS_MAX];
        size_t n_limits;
        bool has_nice;
        int nice;
        cpu_set_t *affinity;
        size_t affinity_size;
        bool reset_oom_score; /* the forkserver's own is not 0 */
} Plan;

enum {
        PLAN_E_INVALID = 1, /* *ret_reason says what is wrong, in a sentence */
};

/* Reads the parameters of Fork. The plan must not outlive the packet. *ret_reason is a literal. */
int plan_new(Plan **ret, const Packet *packet, const char **ret_reason);
Plan *plan_free(Plan *plan);
/* RLIMIT_NOFILE → "LimitNOFILE"; async-signal-safe. */
const char *plan_limit_name(int resource);
static inline void plan_freep(Plan **p) {
        plan_free(*p);
}
