/* SPDX-License-Identifier: Apache-2.0 */

/* Making children. The Launcher owns the stack that the children of CLONE_VM run on, one after the
 * other, as each holds up its forkserver until it execs. Lives in forkservers; the last lines of
 * each function also run in the newborn worker. */

#include "launch.h"

#include "fork-into.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STACK_SIZE ((size_t)128 * 1024)
#define GUARD_SIZE ((size_t)4096)

struct Launcher {
        char *stack;         /* guard page first */
        ChildReport *shared; /* for children that have a copy of our memory */
};

int launcher_new(Launcher **ret) {
        _cleanup_(launcher_freep) Launcher *l = calloc(1, sizeof(Launcher));
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;

        if (!l)
                return -ENOMEM;
        l->stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (l->stack == MAP_FAILED) {
                l->stack = NULL;
                return -errno;
        }
        if (mprotect(l->stack, GUARD_SIZE, PROT_NONE) < 0)
                return -errno;
        l->shared = mmap(NULL, sizeof(ChildReport), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (l->shared == MAP_FAILED) {
                l->shared = NULL;
                return -errno;
        }

        *ret = steal(l);
        return 0;
}

Launcher *launcher_free(Launcher *l) {
        if (!l)
                return NULL;
        if (l->stack)
                munmap(l->stack, STACK_SIZE);
        if (l->shared)
                munmap(l->shared, sizeof(ChildReport));
        free(l);
        return NULL;
}

/* A child that shares our memory must not run on our stack: it would overwrite the frames that we
 * return to. The parent's half of what follows is all that the compiler sees. */
#if defined(__x86_64__)
static long clone_sharing_memory(Launcher *l, struct clone_args *args, ChildStart *start) {
        register long rax __asm__("rax") = SYS_clone3;
        register struct clone_args *rdi __asm__("rdi") = args;
        register unsigned long rsi __asm__("rsi") = sizeof(*args);
        register void (*rdx)(const ChildStart *) __asm__("rdx") = child_exec;
        register ChildStart *r8 __asm__("r8") = start;

        args->flags |= CLONE_VM;
        args->stack = (uintptr_t)l->stack + GUARD_SIZE;
        args->stack_size = STACK_SIZE - GUARD_SIZE;
        __asm__ volatile("syscall\n\t"
                         "test %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xor %%ebp, %%ebp\n\t" /* the end of the chain of frames */
                         "mov %%r8, %%rdi\n\t"
                         "call *%%rdx\n\t"
                         "ud2\n"
                         "1:"
                         : "+r"(rax)
                         : "r"(rdi), "r"(rsi), "r"(rdx), "r"(r8)
                         : "rcx", "r11", "memory", "cc");
        if (rax < 0) {
                errno = (int)-rax;
                return -1;
        }
        return rax;
}
#endif

/* The same with a copy of our memory, on its own copy of our stack. */
static long clone_copying_memory(struct clone_args *args, ChildStart *start) {
        long r;

        args->flags &= ~(uint64_t)CLONE_VM;
        args->stack = args->stack_size = 0;
        r = syscall(SYS_clone3, args, sizeof(*args));
        if (r == 0)
                child_exec(start);
        return r;
}

static long launch_clone(Launcher *l, struct clone_args *args, ChildStart *start) {
#if defined(__x86_64__)
        long r = clone_sharing_memory(l, args, start);

        /* no child has run: an emulator or a filter that dislikes the flags */
        if (r >= 0 || errno != ENOSYS)
                return r;
#endif
        start->report = l->shared;
        return clone_copying_memory(args, start);
}

static ChildStage stage_of_clone_error(const Plan *plan, int error) {
        /* these come from forking too; all others only from the cgroup */
        if (plan->cgroup < 0 || error == EAGAIN || error == ENOMEM || error == ENOSYS ||
            error == EMFILE || error == ENFILE)
                return CHILD_STAGE_FORK;
        return CHILD_STAGE_CGROUP;
}

static void reap(int pidfd) {
        siginfo_t info;

        while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
                ;
}

int launch_command(Launcher *l, const Plan *plan, Launched *ret, ChildReport *ret_failure) {
        ChildStart start = { .plan = plan, .report = ret_failure };
        int pidfd = -1;
        struct clone_args args = {
                .flags = CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                .pidfd = (uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
        };
        long pid;

        if (plan->cgroup >= 0) {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = (uint64_t)plan->cgroup;
        }
        ret_failure->stage = l->shared->stage = CHILD_STAGE_NONE;

        pid = launch_clone(l, &args, &start);
        if (pid < 0) {
                *ret_failure =
                        (ChildReport){ .stage = stage_of_clone_error(plan, errno), .error = errno };
                return LAUNCH_E_FAILED;
        }

        if (start.report->stage != CHILD_STAGE_NONE) {
                reap(pidfd);
                close_fd(pidfd);
                if (start.report != ret_failure)
                        *ret_failure = *start.report;
                return LAUNCH_E_FAILED;
        }
        *ret = (Launched){ .pid = (pid_t)pid, .pidfd = pidfd };
        return 0;
}

static int launch_failed(ChildReport *ret_failure, int error) {
        child_report_fill(ret_failure, CHILD_STAGE_FORK, error, NULL);
        return LAUNCH_E_FAILED;
}

int launch_worker(ChildBirth *birth, Launched *ret, ChildReport *ret_failure) {
        Launched launched = LAUNCHED_NULL;
        ForkIntoHow how;
        siginfo_t info;

        launched.pid = fork_into(birth->cgroup, &launched.pidfd, &how);
        if (launched.pid < 0)
                return launch_failed(ret_failure, errno);
        if (launched.pid == 0) {
                ret_failure->stage = CHILD_STAGE_NONE;
                if (how == FORK_INTO_BORN)
                        birth->cgroup = -1;
                (void)child_be_born(birth, ret_failure);
                return LAUNCH_E_CHILD;
        }

        if (launched.pidfd < 0) {
                int error = errno;

                kill(launched.pid, SIGKILL);
                while (waitid(P_PID, (id_t)launched.pid, &info, WEXITED) < 0 && errno == EINTR)
                        ;
                return launch_failed(ret_failure, error);
        }
        *ret = launched;
        return 0;
}
