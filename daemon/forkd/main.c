/* SPDX-License-Identifier: Apache-2.0 */

/* forkd: from the command line to a daemon that runs. The order matters: the state directory is
 * locked before anything is preloaded, and the twin is forked before there is a loop, a client or a
 * job. */

#include "daemon.h"
#include "descriptor-limit.h"
#include "log.h"
#include "options.h"
#include "twin.h"

#include <signal.h>
#include <systemd/sd-daemon.h>

#define KNOWN_FDS_MAX 64

/* Everything that systemd, the keeper or a shell may have left us: modules have nothing to do with
 * it. */
static size_t known_descriptors(int ret[static KNOWN_FDS_MAX], int keeper_fd) {
        size_t n = 0;
        int passed = sd_listen_fds(0);

        for (int i = 0; i < passed && n < KNOWN_FDS_MAX - 8; i++)
                ret[n++] = SD_LISTEN_FDS_START + i;
        if (keeper_fd >= 0)
                ret[n++] = keeper_fd;
        return n;
}

static int keeper_descriptor(void) {
        const char *number = getenv("FORKD_KEEPER");
        int fd = number ? atoi(number) : -1;

        unsetenv("FORKD_KEEPER");
        if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
                return -1;
        return fd;
}

/* What a parent ignored or blocked is no business of ours or of our jobs. While modules are
 * preloaded, a signal to stop ends us as it ends anybody. */
static void reset_signals(void) {
        sigset_t none;

        for (int signal = 1; signal <= SIGRTMAX; signal++)
                if (signal != SIGKILL && signal != SIGSTOP)
                        (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* From now on they are taken by the loop. */
static void block_signals(void) {
        sigset_t loop;

        sigemptyset(&loop);
        sigaddset(&loop, SIGTERM);
        sigaddset(&loop, SIGINT);
        sigaddset(&loop, SIGHUP);
        (void)sigprocmask(SIG_SETMASK, &loop, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

static int compare_ints(const void *a, const void *b) {
        return *(const int *)a - *(const int *)b;
}

/* Closes what nobody has declared: a shell or a parent left it open by mistake, and modules would
 * be blamed for it. */
static void close_strays(const int *known, size_t n_known) {
        int keep[KNOWN_FDS_MAX + 1], from = 3;

        memcpy(keep, known, n_known * sizeof(int));
        keep[n_known++] = log_fd();
        qsort(keep, n_known, sizeof(int), compare_ints);
        for (size_t i = 0; i < n_known; i++) {
                if (keep[i] > from)
                        (void)close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
                if (keep[i] >= from)
                        from = keep[i] + 1;
        }
        (void)close_range((unsigned)from, ~0U, 0);
}

static int open_state(const Paths *paths, StateDir **ret) {
        int r = state_dir_open(ret, paths->state);

        if (r == STATE_DIR_E_LOCKED) {
                log_error(
                        "another forkd runs with the state directory %s; --state= gives this one its own",
                        paths->state);
                return -EBUSY;
        }
        if (r == STATE_DIR_E_DAMAGED) {
                log_error(
                        "%s/ids is damaged: it should hold one number, the first id that was never used",
                        paths->state);
                return -EBADMSG;
        }
        if (r < 0)
                return log_error_errno(r, "cannot use the state directory %s", paths->state);
        if (state_dir_clear_output(*ret) > 0)
                log_notice("removed output of jobs that an earlier forkd had");
        return 0;
}

/* After all of forkd.conf: what forkservers are to preload is not tried. */
static int config_check_servers(Config *config, char *const *dirs) {
        _cleanup_(strings_freep) char **names = NULL;
        int r = server_settings_names(&names, dirs, &config->warnings);

        for (char **name = names; r >= 0 && *name; name++) {
                _cleanup_(server_settings_freep) ServerSettings *settings = NULL;
                _cleanup_(freep) char *reason = NULL;

                r = server_settings_load(&settings, *name, dirs, &config->warnings, &reason);
        }
        if (r < 0)
                return log_error_errno(r, "cannot read the configuration of forkservers");
        return config->warnings ? -EINVAL : 0;
}

static int run(const Options *options) {
        _cleanup_(paths_freep) Paths *paths = NULL;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(daemon_freep) Daemon *daemon = NULL;
        int known[KNOWN_FDS_MAX], keeper_fd = keeper_descriptor(), r;
        size_t n_known = known_descriptors(known, keeper_fd);
        DaemonOptions d = { .keeper_fd = keeper_fd };
        StateDir *state = NULL;

        close_strays(known, n_known);
        r = paths_new(&paths, options->mode, options->runtime, options->state, options->config);
        if (r < 0) {
                log_error(
                        "no runtime directory is known (XDG_RUNTIME_DIR is not set): name one with --runtime=");
                return r;
        }
        r = config_load(&config, paths->config);
        if (r < 0)
                return log_error_errno(r, "cannot read the configuration");

        if (!options->check) {
                r = open_state(paths, &state);
                if (r < 0)
                        return r;
                n_known += state_dir_fds(state, known + n_known);
        }
        if (config->modules && *config->modules) {
                r = twin_start(config->modules, known, n_known, &d.twin);
                if (r < 0) {
                        state_dir_free(state);
                        return r;
                }
        }
        if (options->check) {
                server_free(d.twin);
                return config_check_servers(config, paths->config);
        }

        block_signals();
        r = descriptor_limit_raise(&d.descriptors);
        if (r < 0)
                return log_error_errno(r, "cannot raise the limit of descriptors");
        d.paths = steal(paths);
        d.config = steal(config);
        d.state = state;
        r = daemon_new(&daemon, &d);
        if (r < 0)
                return r;
        return daemon_run(daemon);
}

int main(int argc, char **argv) {
        Options options;
        int r = options_parse(&options, argc, argv);

        if (r != 0)
                return r > 0 ? EXIT_SUCCESS : 2;

        log_open("forkd", options.debug ? LOG_DEBUG : LOG_INFO);
        if (options.twin)
                return twin_main(options.twin);
        reset_signals();
        r = run(&options);
        return r < 0 ? EXIT_FAILURE : r;
}
