/* SPDX-License-Identifier: Apache-2.0 */
/* The cheapest start of a program: one clone with the parent's memory, one exec, and nothing of
 * what a supervisor owes a job between them. Keeps nothing; lives in the benchmark and in the
 * floors' processes. */

#include "floor.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

typedef struct Start {
        const char *program;
        int token;
} Start;

static char *const start_environment[] = { (char *)"PATH=/usr/bin:/bin", NULL };

/* On the parent's memory: async-signal-safe calls only. */
static int start_child(void *userdata) {
        const Start *start = userdata;
        char *const argv[] = { (char *)start->program, NULL };
        uint64_t one;

        if (start->token >= 0 && read(start->token, &one, sizeof(one)) != sizeof(one))
                _exit(126);
        execve(start->program, argv, start_environment);
        _exit(127);
}

#ifdef __x86_64__
/* clone() of the C library knows no cgroups, and it has no clone3(). */
static long start_clone3(struct clone_args *args, size_t size, Start *start) {
        register int (*function)(void *) __asm__("r8") = start_child;
        register void *userdata __asm__("r9") = start;
        long r;

        __asm__ volatile("syscall\n\t"
                         "test %%rax, %%rax\n\t"
                         "jnz 1f\n\t"
                         "xor %%ebp, %%ebp\n\t"
                         "mov %%r9, %%rdi\n\t"
                         "call *%%r8\n\t"
                         "hlt\n"
                         "1:"
                         : "=a"(r)
                         : "0"((long)SYS_clone3), "D"(args), "S"(size), "r"(function), "r"(userdata)
                         : "rcx", "r11", "memory", "cc");
        return r;
}
#endif

int floor_start(const char *program, int token, int cgroup, int *ret_pidfd) {
        static _Alignas(
                16) char stack[64 * 1024]; /* one child at a time: the parent waits for the exec */
        Start start = { .program = program, .token = token };
        int pidfd = -1;

#ifdef __x86_64__
        struct clone_args args = {
                .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD |
                         (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
                .pidfd = (uint64_t)(uintptr_t)&pidfd,
                .exit_signal = SIGCHLD,
                .stack = (uint64_t)(uintptr_t)stack,
                .stack_size = sizeof(stack),
                .cgroup = (uint64_t)(cgroup >= 0 ? cgroup : 0),
        };
        long r = start_clone3(&args, sizeof(args), &start);

        if (r < 0)
                return (int)r;
#else
        if (cgroup >= 0)
                return -EOPNOTSUPP;
        if (clone(start_child, stack + sizeof(stack),
                  CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &start, &pidfd) < 0)
                return -errno;
#endif
        *ret_pidfd = pidfd;
        return 0;
}

/* One in flight is vfork, exec and wait with nothing else. */
static int direct_one(const char *program, pid_t *ret) {
        char *const argv[] = { (char *)program, NULL };
        pid_t pid;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        pid = vfork();
#pragma GCC diagnostic pop
        if (pid == 0) {
                execve(program, argv, start_environment);
                _exit(127);
        }
        if (pid < 0)
                return -errno;
        *ret = pid;
        return 0;
}

int floor_direct_batch(void *userdata _unused_, const Batch *batch) {
        unsigned started = 0, ended = 0;
        siginfo_t info;
        pid_t pid = 0;
        int r;

        while (ended < batch->n) {
                while (started < batch->n && started - ended < batch->in_flight) {
                        r = direct_one(batch->program, &pid);
                        if (r < 0)
                                return r;
                        started++;
                }
                /* the benchmark's other children end only when it tells them to */
                if (waitid(batch->in_flight == 1 ? P_PID : P_ALL, (id_t)pid, &info, WEXITED) < 0)
                        return -errno;
                if (info.si_code != CLD_EXITED || info.si_status != 0)
                        return -EREMOTEIO;
                ended++;
        }
        return 0;
}
