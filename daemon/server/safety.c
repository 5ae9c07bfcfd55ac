/* SPDX-License-Identifier: Apache-2.0 */

/* Looks at its own process through /proc/self: threads, descriptors, signals. Lives in hosts of
 * modules, after preloading. Owns nothing. */

#include "safety.h"

#include "module.h"
#include "plain-text.h"
#include "socket-name.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>

typedef struct Look {
        json_t *descriptors, *signals;
        unsigned n_threads;
        char *culprit;
} Look;

static void look_done(Look *look) {
        json_decref(look->descriptors);
        json_decref(look->signals);
        free(look->culprit);
}

static void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

/* The first counts. */
static int _printf_(2, 3) look_blame(Look *look, const char *format, ...) {
        va_list ap;
        int r;

        if (look->culprit)
                return 0;
        va_start(ap, format);
        r = vasprintf(&look->culprit, format, ap);
        va_end(ap);
        if (r < 0) {
                look->culprit = NULL;
                return -ENOMEM;
        }
        return 0;
}

static void read_thread_name(const char *tid, char *buffer, size_t size) {
        char path[300];
        int fd;
        ssize_t n = -1;

        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", tid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
                n = read(fd, buffer, size - 1);
                close_fd(fd);
        }
        buffer[n > 0 ? n - 1 : 0] = '\0'; /* less the newline */
}

static int look_at_threads(Look *look) {
        _cleanup_(closedirp) DIR *d = opendir("/proc/self/task");
        struct dirent *e;

        if (!d)
                return -errno;
        while ((e = readdir(d))) {
                char name[64];

                if (e->d_name[0] == '.')
                        continue;
                look->n_threads++;
                if (atoi(e->d_name) == getpid())
                        continue;
                read_thread_name(e->d_name, name, sizeof(name));
                if (look_blame(look, "thread %s '%s' is running", e->d_name, name) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static bool is_declared(int fd, const int *declared, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (declared[i] == fd)
                        return true;
        return fd <= STDERR_FILENO;
}

static int look_blame_descriptor(Look *look, int fd, const char *target) {
        char log[160];

        switch (socket_log(fd, log, sizeof(log))) {
        case SOCKET_LOG_CONNECTED:
                return look_blame(
                        look,
                        "descriptor %d is a log socket (%s) that a preload opened and a library "
                        "keeps: call closelog() at the end of preload, or declare it with "
                        "forkd_module_keep_fd()",
                        fd, log);
        case SOCKET_LOG_LOOSE:
                return look_blame(
                        look,
                        "descriptor %d (%s) is a socket without a peer, as sd-journal keeps one: "
                        "let preload log to standard error, or declare it with "
                        "forkd_module_keep_fd()",
                        fd, target);
        default:
                return look_blame(look, "descriptor %d (%s) is open and undeclared", fd, target);
        }
}

static int look_at_descriptor(Look *look, int fd, const char *link) {
        _cleanup_(freep) char *said = NULL;
        char target[256];
        int r;

        if (!socket_name(fd, target, sizeof(target)))
                snprintf(target, sizeof(target), "%s", link);
        if (asprintf(&said, "%d (%s)", fd, target) < 0) {
                said = NULL;
                return -ENOMEM;
        }
        r = json_array_append_new(look->descriptors, plain_text(said));
        return r < 0 ? -ENOMEM : look_blame_descriptor(look, fd, target);
}

static int look_at_descriptors(Look *look, const int *declared, size_t n) {
        _cleanup_(closedirp) DIR *d = opendir("/proc/self/fd");
        struct dirent *e;

        if (!d)
                return -errno;
        while ((e = readdir(d))) {
                char target[256];
                int fd = atoi(e->d_name), r;
                ssize_t length;

                if (e->d_name[0] == '.' || fd == dirfd(d) || is_declared(fd, declared, n))
                        continue;
                length = readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1);
                target[length > 0 ? length : 0] = '\0';
                r = look_at_descriptor(look, fd, target);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool has_handler(const struct sigaction *action) {
        return (action->sa_flags & SA_SIGINFO) ||
               (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* Handlers that preloaded code has installed for these are reset: a SIGCHLD handler would reap our
 * workers. An ignored SIGCHLD is more than we may change behind the back of who did that: with it
 * the kernel reaps, and no status is left to report. Other dispositions do no harm, as workers
 * start with the default ones and forkservers block all signals; and who is started by nohup(1) or
 * in the background of a script has some ignored. */
static int look_at_signals(Look *look) {
        static const int reset[] = { SIGCHLD, SIGPIPE };
        struct sigaction action;

        for (size_t i = 0; i < ELEMENTSOF(reset); i++)
                if (sigaction(reset[i], NULL, &action) == 0 && has_handler(&action))
                        signal(reset[i], SIG_DFL);

        if (sigaction(SIGCHLD, NULL, &action) < 0)
                return -errno;
        if (action.sa_handler != SIG_IGN && !(action.sa_flags & SA_NOCLDWAIT))
                return 0;
        if (json_array_append_new(look->signals, json_string("SIGCHLD is ignored")) < 0)
                return -ENOMEM;
        return look_blame(look, "SIGCHLD is ignored");
}

int safety_look(const int *declared, size_t n, json_t **ret, char **ret_culprit) {
        _cleanup_(look_done) Look look = { .descriptors = json_array(), .signals = json_array() };
        json_t *object;
        int r;

        if (!look.descriptors || !look.signals)
                return -ENOMEM;
        if ((r = look_at_threads(&look)) < 0 || (r = look_at_descriptors(&look, declared, n)) < 0 ||
            (r = look_at_signals(&look)) < 0)
                return r;

        if (ret) {
                object = json_pack("{si,sO,sO}", "threads", (int)look.n_threads, "descriptors",
                                   look.descriptors, "signals", look.signals);
                if (!object)
                        return -ENOMEM;
                *ret = object;
        }
        if (ret_culprit)
                *ret_culprit = steal(look.culprit);
        return 0;
}

int modules_check_safety(const int *declared_fds, size_t n, char **ret_reason) {
        char *culprit = NULL;
        int r;

        r = safety_look(declared_fds, n, NULL, &culprit);
        if (r < 0)
                return r;
        if (!culprit)
                return 0;
        *ret_reason = culprit;
        return MODULES_E_FAILED;
}
