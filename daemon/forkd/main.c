/* SPDX-License-Identifier: Apache-2.0 */

/* forkd: from the command line to a daemon that runs. The order matters: the state directory is locked before anything is
 * preloaded, and the twin is forked before there is a loop, a client or a job. */

#include "daemon.h"
#include "log.h"
#include "options.h"
#include "twin.h"

#include <signal.h>
#include <systemd/sd-daemon.h>

#define KNOWN_FDS_MAX 64

/* Everything that systemd, the keeper or a shell may have left us: modules have nothing to do with it. */
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

/* Signals are taken by the loop; what a parent ignored is no business of ours or of our jobs. */
static void prepare_signals(void) {
        sigset_t all;

        for (int signal = 1; signal <= SIGRTMAX; signal++)
                if (signal != SIGKILL && signal != SIGSTOP)
                        (void)sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        sigemptyset(&all);
        sigaddset(&all, SIGTERM);
        sigaddset(&all, SIGINT);
        sigaddset(&all, SIGHUP);
        (void)sigprocmask(SIG_SETMASK, &all, NULL);
        (void)signal(SIGPIPE, SIG_IGN);
}

static int open_state(const Paths *paths, StateDir **ret) {
        int r = state_dir_open(ret, paths->state);

        if (r == STATE_DIR_E_LOCKED) {
                log_error("another forkd runs with the state directory %s; --state= gives this one its own", paths->state);
                return -EBUSY;
        }
        if (r == STATE_DIR_E_DAMAGED) {
                log_error("%s/ids is damaged: it should hold one number, the first id that was never used", paths->state);
                return -EBADMSG;
        }
        if (r < 0)
                return log_error_errno(r, "cannot use the state directory %s", paths->state);
        if (state_dir_clear_output(*ret) > 0)
                log_notice("removed output of jobs that an earlier forkd had");
        return 0;
}

static int run(const Options *options) {
        _cleanup_(paths_freep) Paths *paths = NULL;
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(daemon_freep) Daemon *daemon = NULL;
        int known[KNOWN_FDS_MAX], keeper_fd = keeper_descriptor(), r;
        size_t n_known = known_descriptors(known, keeper_fd);
        DaemonOptions d = { .keeper_fd = keeper_fd };
        StateDir *state = NULL;

        r = paths_new(&paths, options->mode, options->runtime, options->state, options->config);
        if (r < 0) {
                log_error("no runtime directory is known (XDG_RUNTIME_DIR is not set): name one with --runtime=");
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
                return config->warnings ? -EINVAL : 0;
        }

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
        prepare_signals();
        r = run(&options);
        return r < 0 ? EXIT_FAILURE : r;
}
