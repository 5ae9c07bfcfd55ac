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

/* Which packet the plan has come with, and so who carries it out. */
typedef enum PlanKind {
        PLAN_COMMAND,  /* Fork: a newborn child of the spawner, which then execs */
        PLAN_ENTRY,    /* Adopt: a worker of an entry that was born before */
        PLAN_ONE_SHOT, /* Adopt: a one-shot host, which only lacks what is not to be seen while it
                          preloads: environment, directory, umask */
} PlanKind;

typedef struct Plan {
        const char **argv; /* NULL: of an entry */
        char **candidates; /* the paths to try to exec, in order; NULL-terminated */
        const char **envp;
        const char *directory; /* NULL: as it is */
        int umask;             /* -1: as it is */
        PlanStdio stdio[3];

        int channel; /* what a command gets as descriptor 3; -1: nothing */
        int token;
        int cgroup; /* of a command; -1: none */

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

/* Reads the parameters of Fork or Adopt. The plan must not outlive the packet's text; with an
 * entry's, environment and all, the packet may be rid of its descriptors once they are placed.
 * *ret_reason is a literal. */
int plan_new(Plan **ret, const Packet *packet, PlanKind kind, const char **ret_reason);
/* What the plan says nothing about is as the forkserver was started. */
void plan_default_descriptors(Plan *plan, const struct rlimit *limit);
Plan *plan_free(Plan *plan);
/* RLIMIT_NOFILE → "LimitNOFILE"; async-signal-safe. */
const char *plan_limit_name(int resource);
static inline void plan_freep(Plan **p) {
        plan_free(*p);
}
