/* SPDX-License-Identifier: Apache-2.0 */

/* Between fork and exec or entry, in the order of forkd-server(7). Lives in the newborn worker,
 * which may share all memory with its forkserver (CLONE_VM): raw system calls only, as glibc's own
 * setuid(), setsid() and their like keep state or wait for threads, and nothing here may be
 * instrumented by sanitizers, whose bookkeeping would be the forkserver's. Owns nothing. */

#include "child.h"

#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define KERNEL_SIGSET_SIZE 8
#define KERNEL_SIGNALS     64
/* glibc's own: SIGCANCEL and SIGSETXID stay, or setuid() of threaded entries breaks */
#define SIGNAL_GLIBC_FIRST 32
#define SIGNAL_GLIBC_LAST  33

static const char *const stage_names[_CHILD_STAGE_MAX] = {
        [CHILD_STAGE_NONE] = "none",
        [CHILD_STAGE_PRELOAD] = "preload",
        [CHILD_STAGE_FORK] = "fork",
        [CHILD_STAGE_SIGNALS] = "signals",
        [CHILD_STAGE_SESSION] = "session",
        [CHILD_STAGE_CGROUP] = "cgroup",
        [CHILD_STAGE_LIMITS] = "limits",
        [CHILD_STAGE_USER] = "user",
        [CHILD_STAGE_DIRECTORY] = "directory",
        [CHILD_STAGE_STDIN] = "stdin",
        [CHILD_STAGE_STDOUT] = "stdout",
        [CHILD_STAGE_STDERR] = "stderr",
        [CHILD_STAGE_DESCRIPTORS] = "descriptors",
        [CHILD_STAGE_PRIVILEGES] = "privileges",
        [CHILD_STAGE_TOKEN] = "token",
        [CHILD_STAGE_EXEC] = "exec",
        [CHILD_STAGE_ENTRY] = "entry",
        [CHILD_STAGE_PLAN] = "plan",
};

const char *child_stage_to_string(ChildStage stage) {
        return stage_names[stage];
}

void child_report_fill(ChildReport *report, ChildStage stage, int error, const char *object) {
        size_t n = 0;

        for (; object && object[n] && n < sizeof(report->object) - 1; n++)
                report->object[n] = object[n];
        /* not in the middle of a character: it goes into JSON */
        while (n > 0 && object[n] && ((unsigned char)object[n] & 0xc0) == 0x80)
                n--;
        report->object[n] = '\0';
        report->error = error;
        report->stage = stage;
}

static int fail(ChildReport *report, ChildStage stage, const char *object) {
        child_report_fill(report, stage, errno, object);
        return -1;
}

static int child_unblock_signals(void) {
        static const uint64_t none = 0;

        return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_SIZE);
}

static int child_default_signals(void) {
        /* struct sigaction of the kernel: SIG_DFL, no flags, no restorer, empty mask */
        static const unsigned long action[4] = { 0 };

        for (int i = 1; i <= KERNEL_SIGNALS; i++) {
                if (i == SIGKILL || i == SIGSTOP ||
                    (i >= SIGNAL_GLIBC_FIRST && i <= SIGNAL_GLIBC_LAST))
                        continue;
                if (syscall(SYS_rt_sigaction, i, action, NULL, KERNEL_SIGSET_SIZE) < 0)
                        return -1;
        }
        return 0;
}

int child_reset_signals(void) {
        return child_default_signals() < 0 ? -1 : child_unblock_signals();
}

static int write_file(int directory, const char *path, const char *text, size_t length) {
        long fd = syscall(SYS_openat, directory, path, O_WRONLY | O_CLOEXEC, 0);
        long n;

        if (fd < 0)
                return -1;
        n = syscall(SYS_write, fd, text, length);
        close_fd((int)fd);
        return n < 0 ? -1 : 0;
}

/* A low number of descriptors would get in our own way, as received ones may have numbers above it.
 * So only what needs privileges is done early: the hard limit is raised, if it is. */
static int child_raise_descriptors(const struct rlimit64 *limit) {
        struct rlimit64 current;

        if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &current) < 0)
                return -1;
        if (limit->rlim_max <= current.rlim_max)
                return 0;
        current.rlim_max = limit->rlim_max;
        return (int)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &current, NULL);
}

static int child_set_limits(const Plan *plan, ChildReport *report) {
        for (size_t i = 0; i < plan->n_limits; i++) {
                const PlanLimit *l = &plan->limits[i];
                long r;

                if (l->resource == RLIMIT_NOFILE)
                        r = child_raise_descriptors(&l->limit);
                else
                        r = syscall(SYS_prlimit64, 0, l->resource, &l->limit, NULL);
                if (r < 0)
                        return fail(report, CHILD_STAGE_LIMITS, plan_limit_name(l->resource));
        }
        if (plan->has_nice && syscall(SYS_setpriority, PRIO_PROCESS, 0, plan->nice) < 0)
                return fail(report, CHILD_STAGE_LIMITS, "nice");
        if (plan->affinity &&
            syscall(SYS_sched_setaffinity, 0, plan->affinity_size, plan->affinity) < 0)
                return fail(report, CHILD_STAGE_LIMITS, "affinity");
        /* who was not allowed to lower it was given the score by someone above us: it stays */
        if (plan->reset_oom_score && write_file(AT_FDCWD, "/proc/self/oom_score_adj", "0", 1) < 0 &&
            errno != EACCES && errno != EPERM)
                return fail(report, CHILD_STAGE_LIMITS, "oom_score_adj");
        return 0;
}

static int child_limit_descriptors(const Plan *plan) {
        for (size_t i = 0; i < plan->n_limits; i++)
                if (plan->limits[i].resource == RLIMIT_NOFILE)
                        return (int)syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &plan->limits[i].limit,
                                            NULL);
        return 0;
}

/* Groups first, as only root may set them, and the uid last. What the kernel says afterwards
 * counts. */
static int child_change_user(const Plan *plan) {
        uid_t r, e, s;
        gid_t rg, eg, sg;
        long n;

        if (!plan->change_user)
                return 0;
        if (syscall(SYS_setgroups, plan->n_groups, plan->groups) < 0 ||
            syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) < 0 ||
            syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) < 0)
                return -1;

        if (syscall(SYS_getresuid, &r, &e, &s) < 0 || syscall(SYS_getresgid, &rg, &eg, &sg) < 0)
                return -1;
        n = syscall(SYS_getgroups, plan->n_groups + 1, plan->groups_scratch);
        if (n < 0)
                return -1;
        errno = EPERM;
        if (r != plan->uid || e != plan->uid || s != plan->uid || rg != plan->gid ||
            eg != plan->gid || sg != plan->gid || (size_t)n != plan->n_groups)
                return -1;
        for (size_t i = 0; i < plan->n_groups; i++)
                if (plan->groups[i] != plan->groups_scratch[i])
                        return -1;
        return 0;
}

/* O_NONBLOCK so that a FIFO without another end does not hold us up: a reader gets end-of-file, a
 * writer ENXIO. The job then finds the stream blocking, as a shell would have opened it. */
static int stream_open(const char *path, int i, bool append) {
        int flags = O_NOCTTY | O_NONBLOCK | O_CLOEXEC;
        long fd, status;

        flags |= i == 0 ? O_RDONLY : O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC);
        fd = syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
        if (fd < 0)
                return -1;
        status = syscall(SYS_fcntl, fd, F_GETFL, 0);
        if (status < 0 || syscall(SYS_fcntl, fd, F_SETFL, status & ~O_NONBLOCK) < 0) {
                close_fd((int)fd);
                return -1;
        }
        return (int)fd;
}

/* A worker of entries has /dev/null there already. */
static int child_open_streams(const Plan *plan, int fds[static 3], ChildReport *report) {
        for (int i = 0; i < 3; i++) {
                const PlanStdio *s = &plan->stdio[i];
                ChildStage stage = (ChildStage)(CHILD_STAGE_STDIN + i);

                switch (s->kind) {
                case PLAN_STDIO_NULL:
                        fds[i] = plan->argv ? stream_open("/dev/null", i, true) : i;
                        if (fds[i] < 0)
                                return fail(report, stage, "/dev/null");
                        break;
                case PLAN_STDIO_PATH:
                        fds[i] = stream_open(s->path, i, s->append);
                        if (fds[i] < 0)
                                return fail(report, stage, s->path);
                        break;
                case PLAN_STDIO_FD:
                        fds[i] = s->fd;
                        break;
                case PLAN_STDIO_STDOUT:
                        fds[i] = fds[1];
                        break;
                }
        }
        return 0;
}

static int dup_to(int from, int to, int flags) {
        return (int)syscall(SYS_dup3, from, to, flags);
}

static int child_place_streams(const int fds[static 3]) {
        for (int i = 0; i < 3; i++)
                if (fds[i] != i && dup_to(fds[i], i, 0) < 0)
                        return -1;
        return 0;
}

/* Closes all from first on but those that were declared. */
static int child_close_others(const int *keep, size_t n_keep, unsigned first) {
        for (size_t i = 0; i < n_keep; i++) {
                unsigned kept = (unsigned)keep[i];

                if (kept < first)
                        continue;
                if (kept > first && syscall(SYS_close_range, first, kept - 1, 0) < 0)
                        return -1;
                first = kept + 1;
        }
        return (int)syscall(SYS_close_range, first, ~0U, 0);
}

/* Sources are above 2: 0 to 2 were open when they came. Channel and token may have each other's
 * numbers, so the token moves out of the way first. On return it is at *ret_token, all else as the
 * command gets it. */
static int child_place_command(const Plan *plan, const int fds[static 3], int *ret_token) {
        int token_to = plan->channel < 0 ? CHILD_CHANNEL_FD : CHILD_TOKEN_FD;
        int token = plan->token;

        if (child_place_streams(fds) < 0)
                return -1;
        if (token <= CHILD_TOKEN_FD) {
                token = (int)syscall(SYS_fcntl, token, F_DUPFD_CLOEXEC, CHILD_TOKEN_FD + 1);
                if (token < 0)
                        return -1;
        }
        if (plan->channel == CHILD_CHANNEL_FD) {
                if (syscall(SYS_fcntl, CHILD_CHANNEL_FD, F_SETFD, 0) < 0)
                        return -1;
        } else if (plan->channel >= 0 && dup_to(plan->channel, CHILD_CHANNEL_FD, 0) < 0)
                return -1;
        if (dup_to(token, token_to, O_CLOEXEC) < 0)
                return -1;

        *ret_token = token_to;
        return child_close_others(NULL, 0, (unsigned)token_to + 1);
}

/* All else was closed at birth; what came with the plan is closed by the worker. */
static int child_place_entry(const Plan *plan, const int fds[static 3], int *ret_token) {
        if (child_place_streams(fds) < 0)
                return -1;
        for (int i = 0; i < 3; i++)
                if (plan->stdio[i].kind == PLAN_STDIO_PATH)
                        close_fd(fds[i]);
        *ret_token = plan->token;
        return 0;
}

static int child_take_token(int fd) {
        uint64_t value;
        long n;

        do
                n = syscall(SYS_read, fd, &value, sizeof(value));
        while (n < 0 && errno == EINTR);
        return n < 0 ? -1 : 0;
}

static int child_place_birth(ChildBirth *birth, ChildReport *report) {
        long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR | O_NOCTTY | O_CLOEXEC, 0);
        int fds[3] = { (int)null, (int)null, (int)null };

        if (null < 0)
                return fail(report, CHILD_STAGE_STDIN, "/dev/null");
        /* CLOEXEC: what an entry executes has no business with the channel */
        if (child_place_streams(fds) < 0 ||
            (birth->channel != CHILD_CHANNEL_FD &&
             dup_to(birth->channel, CHILD_CHANNEL_FD, O_CLOEXEC) < 0))
                return fail(report, CHILD_STAGE_DESCRIPTORS, NULL);
        birth->channel = CHILD_CHANNEL_FD;
        if (child_close_others(birth->keep, birth->n_keep, CHILD_CHANNEL_FD + 1) < 0)
                return fail(report, CHILD_STAGE_DESCRIPTORS, NULL);
        return 0;
}

/* Handlers are what preloaded code has left. The cgroup is still to be entered where fork_into()
 * could not give birth in it. */
int child_be_born(ChildBirth *birth, ChildReport *report) {
        if (child_default_signals() < 0)
                return fail(report, CHILD_STAGE_SIGNALS, NULL);
        if (syscall(SYS_setsid) < 0)
                return fail(report, CHILD_STAGE_SESSION, NULL);
        if (birth->cgroup >= 0 && write_file(birth->cgroup, "cgroup.procs", "0", 1) < 0)
                return fail(report, CHILD_STAGE_CGROUP, NULL);
        if (child_place_birth(birth, report) < 0)
                return -1;
        if (child_unblock_signals() < 0)
                return fail(report, CHILD_STAGE_SIGNALS, NULL);
        return 0;
}

int child_prepare_one_shot(const Plan *plan, ChildReport *report) {
        if (plan->directory && syscall(SYS_chdir, plan->directory) < 0)
                return fail(report, CHILD_STAGE_DIRECTORY, plan->directory);
        if (plan->umask >= 0)
                syscall(SYS_umask, plan->umask);
        return 0;
}

int child_prepare(const Plan *plan, ChildReport *report) {
        int fds[3] = { -1, -1, -1 }, token, r;

        if (child_set_limits(plan, report) < 0)
                return -1;
        if (child_change_user(plan) < 0)
                return fail(report, CHILD_STAGE_USER, NULL);
        if (child_prepare_one_shot(plan, report) < 0)
                return -1;
        if (child_open_streams(plan, fds, report) < 0)
                return -1;
        r = plan->argv ? child_place_command(plan, fds, &token)
                       : child_place_entry(plan, fds, &token);
        if (r < 0)
                return fail(report, CHILD_STAGE_DESCRIPTORS, NULL);
        if (child_limit_descriptors(plan) < 0)
                return fail(report, CHILD_STAGE_LIMITS, plan_limit_name(RLIMIT_NOFILE));
        if (syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return fail(report, CHILD_STAGE_PRIVILEGES, NULL);
        if (child_take_token(token) < 0)
                return fail(report, CHILD_STAGE_TOKEN, NULL);
        if (child_unblock_signals() < 0)
                return fail(report, CHILD_STAGE_SIGNALS, NULL);
        return 0;
}

void child_exec(const ChildStart *start) {
        const Plan *plan = start->plan;
        ChildReport *report = start->report;
        int error = ENOENT;

        /* handlers were cleared at birth (CLONE_CLEAR_SIGHAND), the spawner ignores nothing */
        if (syscall(SYS_setsid) < 0) {
                fail(report, CHILD_STAGE_SESSION, NULL);
                _exit(CHILD_EXIT_STATUS);
        }
        if (child_prepare(plan, report) < 0)
                _exit(CHILD_EXIT_STATUS);

        for (size_t i = 0; plan->candidates[i]; i++) {
                syscall(SYS_execve, plan->candidates[i], plan->argv, plan->envp);
                if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {
                        error = errno;
                        break;
                }
                /* as execvp() has it: one that is there but forbidden is the better answer */
                if (errno == EACCES || plan->candidates[1] == NULL)
                        error = errno;
        }

        errno = error;
        fail(report, CHILD_STAGE_EXEC, plan->argv[0]);
        _exit(CHILD_EXIT_STATUS);
}
