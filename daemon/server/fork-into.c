/* SPDX-License-Identifier: Apache-2.0 */

/* glibc's fork() cannot give birth in a cgroup, and a late move costs milliseconds after a quiet
 * while (it waits for an RCU grace period). clone3() can, but it does not run the handlers that
 * preloaded libraries have registered by pthread_atfork(). So the program's own
 * __register_atfork(), which its libraries find before glibc's, keeps a table of them besides
 * handing them on, and fork_into() runs them around clone3(). What else fork() does for a process
 * of one thread that is in no call of glibc is little: the thread's id, which the kernel writes,
 * and its robust list.
 *
 * fork() itself is used wherever that is not proven: when the table is not complete (libraries have
 * been unloaded; one was loaded with RTLD_DEEPBIND and calls glibc's own __register_atfork()), when
 * somebody has put a fork() of his own before glibc's, or the kernel lacks something. Lives in
 * hosts of modules; the table is the process's, as glibc's is. */

#include "fork-into.h"

#include "references.h"

#include <dlfcn.h>
#include <link.h>
#include <linux/futex.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define HANDLERS_MAX 64

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INTERPOSES 0 /* sanitizers want to see every fork() */
#else
#define INTERPOSES 1
#endif

typedef int (*RegisterAtfork)(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                              void *dso);

typedef struct Handlers {
        void (*prepare)(void), (*parent)(void), (*child)(void);
} Handlers;

/* Filled by constructors, before main() and in dlopen(): there is nobody to pass a context. */
static Handlers the_handlers[HANDLERS_MAX];
static size_t the_n_handlers;

#if INTERPOSES
static bool the_table_is_full;

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso);

/* The name that pthread_atfork() of every program and library calls. */
__attribute__((visibility("default"))) int
__register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *dso) {
        RegisterAtfork next = (RegisterAtfork)dlsym(RTLD_NEXT, "__register_atfork");
        int r = next ? next(prepare, parent, child, dso) : ENOSYS;

        if (r != 0)
                return r;
        if (the_n_handlers == HANDLERS_MAX)
                the_table_is_full = true;
        else
                the_handlers[the_n_handlers++] =
                        (Handlers){ .prepare = prepare, .parent = parent, .child = child };
        return 0;
}

static int on_count(struct dl_phdr_info *info, size_t size, void *userdata) {
        unsigned long long *counts = userdata;

        (void)size;
        counts[0] = info->dlpi_adds;
        counts[1] = info->dlpi_subs;
        return 1;
}

/* A library that was loaded first may have put its own before it. */
static bool fork_is_of_glibc(void) {
        void *ours = dlsym(RTLD_DEFAULT, "fork"),
             *other = dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
        Dl_info fork_info, libc_info;

        return ours && other && dladdr(ours, &fork_info) != 0 && dladdr(other, &libc_info) != 0 &&
               fork_info.dli_fbase == libc_info.dli_fbase;
}

bool fork_into_is_proven(void) {
        static unsigned long long n_looked_at; /* objects, when they were last */
        static bool all_ours;
        unsigned long long counts[2] = { 0, 0 };

        (void)dl_iterate_phdr(on_count, counts);
        if (counts[0] != n_looked_at) {
                n_looked_at = counts[0];
                all_ours = dlsym(RTLD_DEFAULT, "__register_atfork") == (void *)__register_atfork &&
                           fork_is_of_glibc() &&
                           references_lead_to("__register_atfork", (uintptr_t)__register_atfork);
        }
        /* glibc forgets the handlers of a library that is unloaded, and tells nobody */
        return all_ours && !the_table_is_full && counts[1] == 0;
}
#else
bool fork_into_is_proven(void) {
        return false;
}
#endif

typedef struct Birth {
        int *tid; /* where glibc has the id of this thread */
        struct robust_list_head *robust;
        size_t robust_size;
} Birth;

static bool birth_prepare(Birth *ret) {
        return fork_into_is_proven() && prctl(PR_GET_TID_ADDRESS, &ret->tid, 0, 0, 0) == 0 &&
               ret->tid && *ret->tid == getpid() &&
               syscall(SYS_get_robust_list, 0, &ret->robust, &ret->robust_size) == 0;
}

static void birth_child(const Birth *birth) {
        if (!birth->robust)
                return;
        birth->robust->list.next = &birth->robust->list;
        (void)syscall(SYS_set_robust_list, birth->robust, birth->robust_size);
}

static pid_t birth_clone(const Birth *birth, int cgroup, int *ret_pidfd) {
        int pidfd = -1;
        struct clone_args args = {
                .flags =
                        CLONE_PIDFD | CLONE_INTO_CGROUP | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID,
                .pidfd = (uintptr_t)&pidfd,
                .child_tid = (uintptr_t)birth->tid,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)cgroup,
        };
        pid_t pid;
        int error;

        for (size_t i = the_n_handlers; i-- > 0;)
                if (the_handlers[i].prepare)
                        the_handlers[i].prepare();
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        error = errno;
        if (pid == 0)
                birth_child(birth);
        for (size_t i = 0; i < the_n_handlers; i++) {
                void (*handler)(void) = pid == 0 ? the_handlers[i].child : the_handlers[i].parent;

                if (handler)
                        handler();
        }
        *ret_pidfd = pidfd;
        errno = error;
        return pid;
}

static pid_t fork_plainly(int *ret_pidfd) {
        pid_t pid = fork();

        *ret_pidfd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
        return pid;
}

pid_t fork_into(int cgroup, int *ret_pidfd, ForkIntoHow *ret_how) {
        Birth birth;
        pid_t pid;

        *ret_how = FORK_INTO_BORN;
        if (cgroup >= 0 && birth_prepare(&birth)) {
                pid = birth_clone(&birth, cgroup, ret_pidfd);
                /* these come from forking too, and would come again */
                if (pid >= 0 || errno == EAGAIN || errno == ENOMEM || errno == EMFILE ||
                    errno == ENFILE)
                        return pid;
        }
        if (cgroup >= 0)
                *ret_how = FORK_INTO_ENTER;
        return fork_plainly(ret_pidfd);
}
