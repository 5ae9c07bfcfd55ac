/* SPDX-License-Identifier: Apache-2.0 */

/* The twin, in three roles: forkd before it has a loop (twin_start), the child that it forks, and,
 * should that one die, a fresh process in its place (twin_main), which preloads anew: forkd's own
 * memory has jobs and secrets in it by then. All of them serve by daemon/server/serve.c. */

#include "twin.h"

#include "environment.h"
#include "log.h"
#include "module.h"
#include "packet.h"
#include "serve.h"
#include "title.h"

#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int preload(char *const *names, const int *known_fds, size_t n_known, ModuleSet **ret,
                   uint64_t *ret_usec) {
        _cleanup_(freep) char *reason = NULL;
        _cleanup_(freep) int *declared = NULL;
        uint64_t start = now_usec(CLOCK_MONOTONIC);
        ModuleSet *set = NULL;
        const int *kept;
        size_t n_kept, n = 0;
        int r;

        r = modules_load(&set, names, &reason);
        if (r != 0) {
                log_error("%s", r > 0 && reason ? reason : strerror(r < 0 ? -r : EIO));
                return r < 0 ? r : -ELIBBAD;
        }

        kept = modules_kept_fds(set, &n_kept);
        declared = calloc(n_kept + n_known + 1, sizeof(int));
        if (!declared) {
                modules_free(set);
                return -ENOMEM;
        }
        for (size_t i = 0; i < n_kept; i++)
                declared[n++] = kept[i];
        for (size_t i = 0; i < n_known; i++)
                declared[n++] = known_fds[i];
        declared[n++] = log_fd();

        r = modules_check_safety(declared, n, &reason);
        if (r != 0) {
                log_error("forkd cannot fork workers after preloading: %s",
                          r > 0 && reason ? reason : strerror(-r));
                modules_free(set);
                return r < 0 ? r : -ENOTSUP;
        }

        *ret_usec = now_usec(CLOCK_MONOTONIC) - start;
        *ret = set;
        return 0;
}

/* How to start another: this program, with the modules. */
static char **twin_argv(char *const *modules) {
        char **argv = NULL;
        char path[4096];
        ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
        int r;

        if (n < 0)
                return NULL;
        path[n] = '\0';
        r = strings_append(&argv, path);
        if (r >= 0)
                r = strings_append(&argv, "--twin");
        if (r >= 0)
                r = strings_append(&argv, "--");
        for (; r >= 0 && *modules; modules++)
                r = strings_append(&argv, *modules);
        if (r < 0) {
                strings_free(argv);
                return NULL;
        }
        return argv;
}

static bool is_kept(const ModuleSet *set, int fd) {
        size_t n;
        const int *kept = modules_kept_fds(set, &n);

        for (size_t i = 0; i < n; i++)
                if (kept[i] == fd)
                        return true;
        return false;
}

/* So that ps tells it from forkd. */
static void twin_take_title(void) {
        TitleArea *area;

        (void)prctl(PR_SET_NAME, "forkd-twin");
        if (title_area_new(&area) >= 0) {
                title_set(area, "forkd: twin");
                title_area_free(area);
        }
}

static noreturn void twin_child(const ModuleSet *set, int channel, const int *known_fds,
                                size_t n_known, uint64_t preload_usec) {
        ServeOptions options = {
                .name = "twin",
                .channel = channel,
                .modules = set,
                .preload_usec = preload_usec,
                .log_fd = log_fd(),
        };

        /* forkd's own: its lock, its keeper channel, sockets that were passed */
        for (size_t i = 0; i < n_known; i++)
                if (!is_kept(set, known_fds[i]))
                        close_fd(known_fds[i]);
        (void)setsid();
        twin_take_title();
        _exit(serve(&options, NULL));
}

int twin_start(char *const *names, const int *known_fds, size_t n_known, Server **ret) {
        _cleanup_(close_fdp) int ours = -1, theirs = -1;
        uint64_t usec;
        ModuleSet *set;
        char **argv;
        int r;
        Server *s;
        pid_t pid;

        r = preload(names, known_fds, n_known, &set, &usec);
        if (r < 0)
                return r;

        argv = twin_argv(names);
        if (!argv)
                return -ENOMEM;
        r = packet_pair(&ours, &theirs);
        if (r < 0) {
                strings_free(argv);
                return r;
        }

        pid = fork();
        if (pid < 0) {
                r = log_error_errno(errno, "cannot fork the twin");
                strings_free(argv);
                return r;
        }
        if (pid == 0) {
                close_fd(ours);
                strings_free(argv);
                twin_child(set, theirs, known_fds, n_known, usec);
        }

        modules_free(set); /* the list; the modules stay */
        s = server_new_twin(ours, pid, argv, usec);
        if (!s) {
                strings_free(argv);
                return -ENOMEM;
        }
        steal_fd(&ours);
        *ret = s;
        return 0;
}

int twin_main(char *const *names) {
        const char *number = getenv("FORKD_CHANNEL");
        int channel = number ? atoi(number) : -1;
        ServeOptions options = { .name = "twin", .channel = channel, .log_fd = log_fd() };
        ModuleSet *set;
        int r;

        if (channel < 3 || fcntl(channel, F_SETFD, FD_CLOEXEC) < 0) {
                log_error("--twin is for forkd itself");
                return EXIT_FAILURE;
        }
        unsetenv("FORKD_CHANNEL");

        r = preload(names, &channel, 1, &set, &options.preload_usec);
        if (r < 0)
                return EXIT_FAILURE;
        options.modules = set;
        twin_take_title();
        r = serve(&options, NULL);
        modules_free(set);
        return r;
}
