/* SPDX-License-Identifier: Apache-2.0 */
/* A private daemon is a keeper with everything below it, started for one run of the benchmark and
 * stopped at its end. Owned by the benchmark, which is its parent. */

#include "private-daemon.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define READY_TIMEOUT_MSEC 10000

struct PrivateDaemon {
        pid_t pid;
        int notify;
        char directory[64];
        char address[128];
};

static char *join(const char *a, const char *b) {
        char *r;

        return asprintf(&r, "%s/%s", a, b) < 0 ? NULL : r;
}

int programs_find(Programs *ret, const char *build) {
        char *modules = NULL;

        build = realpath(build, NULL);
        if (!build)
                return -errno;
        if (asprintf(&modules, "%s/examples:%s/tests/bench", build, build) < 0)
                return -ENOMEM;
        *ret = (Programs){
                .keeper = join(build, "daemon/keeper/forkd-keeper"),
                .forkd = join(build, "daemon/forkd/forkd"),
                .spawner = join(build, "daemon/server/forkd-spawner"),
                .server = join(build, "daemon/server/forkd-server"),
                .forkctl = join(build, "client/forkctl"),
                .modules = modules,
                .true_nolibc = join(build, "tests/bench/true-nolibc"),
                .fork_floor = join(build, "tests/bench/fork-floor"),
                .peers = join(build, "tests/bench/peers.py"),
        };
        return 0;
}

const char *private_daemon_address(const PrivateDaemon *daemon) {
        return daemon->address;
}

const char *private_daemon_directory(const PrivateDaemon *daemon) {
        return daemon->directory;
}

pid_t private_daemon_pid(const PrivateDaemon *daemon) {
        return daemon->pid;
}

static int remove_one(const char *path, const struct stat *st _unused_, int type _unused_,
                      struct FTW *ftw _unused_) {
        (void)remove(path);
        return 0;
}

static int put_link(const PrivateDaemon *d, const char *target, const char *name) {
        char path[256];

        snprintf(path, sizeof(path), "%s/libexec/%s", d->directory, name);
        return symlink(target, path) < 0 ? -errno : 0;
}

static int make_directory(const PrivateDaemon *d, const char *name) {
        char path[256];

        snprintf(path, sizeof(path), "%s/%s", d->directory, name);
        return mkdir(path, 0700) < 0 ? -errno : 0;
}

static int put_configuration(const PrivateDaemon *d, const char *preload) {
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/config/forkd.conf", d->directory);
        f = fopen(path, "we");
        if (!f)
                return -errno;
        fprintf(f, "[Daemon]\nModule=%s\n", preload);
        return fclose(f) == 0 ? 0 : -errno;
}

static int prepare(PrivateDaemon *d, const Programs *programs, const char *preload) {
        static const char *const names[] = { "runtime", "state", "config", "libexec" };
        int r;

        snprintf(d->directory, sizeof(d->directory), "/tmp/forkd-bench-XXXXXX");
        if (!mkdtemp(d->directory)) {
                r = -errno;
                d->directory[0] = 0;
                return r;
        }
        snprintf(d->address, sizeof(d->address), "%s/runtime/org.forkd", d->directory);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                r = make_directory(d, names[i]);
                if (r < 0)
                        return r;
        }
        r = put_link(d, programs->forkd, "forkd");
        if (r == 0)
                r = put_link(d, programs->spawner, "forkd-spawner");
        if (r == 0)
                r = put_link(d, programs->server, "forkd-server");
        return r < 0 ? r : put_configuration(d, preload);
}

/* An abstract socket: the daemon's state directory has nothing in it that is not the daemon's. */
static int listen_notify(PrivateDaemon *d, char *ret_name, size_t size) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int n;

        d->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (d->notify < 0)
                return -errno;
        n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "forkd-bench-%d",
                     (int)getpid());
        if (bind(d->notify, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) < 0)
                return -errno;
        snprintf(ret_name, size, "NOTIFY_SOCKET=@%s", address.sun_path + 1);
        return 0;
}

static int wait_ready(PrivateDaemon *d) {
        struct pollfd p = { .fd = d->notify, .events = POLLIN };
        uint64_t end = now_usec(CLOCK_MONOTONIC) + READY_TIMEOUT_MSEC * USEC_PER_MSEC, now;
        char text[1024];
        ssize_t n;

        while ((now = now_usec(CLOCK_MONOTONIC)) < end) {
                if (poll(&p, 1, (int)((end - now) / USEC_PER_MSEC) + 1) <= 0)
                        continue;
                n = recv(d->notify, text, sizeof(text) - 1, 0);
                if (n < 0)
                        return -errno;
                text[n] = 0;
                if (strstr(text, "READY=1"))
                        return 0;
        }
        return -ETIMEDOUT;
}

static void show_log(const char *path) {
        char line[512];
        FILE *f = fopen(path, "re");

        while (f && fgets(line, sizeof(line), f))
                fputs(line, stderr);
        if (f)
                fclose(f);
}

static int start(PrivateDaemon *d, const Programs *programs) {
        char notify[160], libexec[160], modules[8192], runtime[160], state[160], config[160],
                log[160];
        posix_spawn_file_actions_t actions;
        char *const argv[] = { (char *)"forkd-keeper", runtime, state, config, NULL };
        bool without = streq_null(getenv("FORKD_CGROUP"), "off");
        /* the last one is given on: FORKD_CGROUP=off measures without cgroups */
        char *const environment[] = {
                (char *)"PATH=/usr/local/bin:/usr/bin:/bin", notify, libexec, modules,
                without ? (char *)"FORKD_CGROUP=off" : NULL, NULL
        };
        int r;

        r = listen_notify(d, notify, sizeof(notify));
        if (r < 0)
                return r;
        snprintf(libexec, sizeof(libexec), "FORKD_LIBEXEC_DIR=%s/libexec", d->directory);
        snprintf(modules, sizeof(modules), "FORKD_MODULE_PATH=%s", programs->modules);
        snprintf(runtime, sizeof(runtime), "--runtime=%s/runtime", d->directory);
        snprintf(state, sizeof(state), "--state=%s/state", d->directory);
        snprintf(config, sizeof(config), "--config=%s/config", d->directory);
        snprintf(log, sizeof(log), "%s/log", d->directory);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log,
                                         O_WRONLY | O_CREAT | O_APPEND, 0600);
        r = posix_spawn(&d->pid, programs->keeper, &actions, NULL, argv, environment);
        posix_spawn_file_actions_destroy(&actions);
        if (r != 0) {
                d->pid = 0;
                return -r;
        }
        r = wait_ready(d);
        if (r < 0)
                show_log(log);
        return r;
}

int private_daemon_new(PrivateDaemon **ret, const Programs *programs, const char *preload) {
        _cleanup_(private_daemon_freep) PrivateDaemon *d = NULL;
        int r;

        d = calloc(1, sizeof(*d));
        if (!d)
                return -ENOMEM;
        d->notify = -1;
        r = prepare(d, programs, preload);
        if (r == 0)
                r = start(d, programs);
        if (r < 0)
                return r;
        *ret = steal(d);
        return 0;
}

PrivateDaemon *private_daemon_free(PrivateDaemon *d) {
        if (!d)
                return NULL;
        if (d->pid > 0) {
                kill(d->pid, SIGTERM);
                waitpid(d->pid, NULL, 0);
        }
        close_fd(d->notify);
        if (d->directory[0])
                nftw(d->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(d);
        return NULL;
}
