/* SPDX-License-Identifier: Apache-2.0 */

/* One start of forkd. The keeper is single-threaded and small, so the child between fork and exec
 * is an ordinary copy of it; all signals are blocked across the fork. */

#include "forkd-process.h"
#include "log.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

extern char **environ;

/* What is true of the keeper and not of forkd. */
static bool environment_is_keepers(const char *s) {
        static const char *const prefixes[] = {
                "LISTEN_PID=",    "LISTEN_FDS=",    "LISTEN_FDNAMES=", "LISTEN_PIDFDID=",
                "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=",   "FORKD_KEEPER=",
        };

        for (size_t i = 0; i < ELEMENTSOF(prefixes); i++)
                if (strncmp(s, prefixes[i], strlen(prefixes[i])) == 0)
                        return true;
        return false;
}

/* Borrows all strings but keeper, which is the caller's too. The array is the caller's. */
static char **environment_new(char *keeper) {
        size_t n = 0, k = 0;
        char **to;

        while (environ[n])
                n++;
        to = calloc(n + 2, sizeof(char *));
        if (!to)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if (!environment_is_keepers(environ[i]))
                        to[k++] = environ[i];
        to[k] = keeper;
        return to;
}

_Noreturn static void forkd_child(char *const *argv, char **environment, int channel) {
        sigset_t none;

        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0 || fcntl(channel, F_SETFD, 0) < 0) {
                log_error_errno(errno, "cannot prepare the descriptors of forkd");
                _exit(126);
        }
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);

        execvpe(argv[0], argv, environment);
        log_error_errno(errno, "cannot execute '%s'", argv[0]);
        _exit(errno == ENOENT ? 127 : 126);
}

int forkd_process_start(ForkdProcess *ret, char *const *argv) {
        _cleanup_(close_fdp) int ours = -1, theirs = -1, pidfd = -1;
        _cleanup_(freep) char **environment = NULL;
        char keeper[32];
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
                return -errno;
        ours = pair[0];
        theirs = pair[1];
        snprintf(keeper, sizeof(keeper), "FORKD_KEEPER=%d", theirs);
        environment = environment_new(keeper);
        if (!environment)
                return -ENOMEM;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                forkd_child(argv, environment, theirs);

        /* its pid cannot be used again before we reap it */
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        if (pidfd < 0) {
                int r = -errno;

                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                return r;
        }
        *ret = (ForkdProcess){ pid, steal_fd(&pidfd), steal_fd(&ours) };
        return 0;
}

int forkd_process_signal(const ForkdProcess *p, int signal) {
        if (p->pidfd < 0)
                return -ESRCH;
        return syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

bool forkd_process_reap(ForkdProcess *p, int *ret_code, int *ret_status) {
        siginfo_t si = { 0 };

        if (p->pid == 0 || waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG) < 0 ||
            si.si_pid == 0)
                return false;
        *ret_code = si.si_code;
        *ret_status = si.si_status;
        p->pid = 0;
        p->pidfd = close_fd(p->pidfd);
        return true;
}

void forkd_process_close(ForkdProcess *p) {
        p->pidfd = close_fd(p->pidfd);
        p->channel = close_fd(p->channel);
}
