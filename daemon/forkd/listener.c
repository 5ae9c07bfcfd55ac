/* SPDX-License-Identifier: Apache-2.0 */

/* The listener: sockets of the daemon, in forkd. A socket of our own is bound under a name of the
 * moment and renamed into place, so that no client ever meets one that does not listen; the lock on
 * the state directory says that nobody else has it. */

#include "listener.h"

#include "daemon.h"
#include "log.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define BACKLOG 4096

/* A socket that was passed: listening, or one connection. */
static int listener_adopt(Daemon *d, int fd) {
        int listening = 0, r;
        socklen_t length = sizeof(listening);

        if (sd_is_socket_unix(fd, SOCK_STREAM, -1, NULL, 0) <= 0) {
                log_error("descriptor %d that was passed is no Unix stream socket", fd);
                close_fd(fd);
                return -ENOTSOCK;
        }
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
                r = log_error_errno(errno, "cannot use descriptor %d that was passed", fd);
                close_fd(fd);
                return r;
        }

        d->listening |= listening;
        r = listening ? service_listen(d->service, fd)
                      : service_add_connection(d->service, fd, NULL);
        return r < 0 ? log_error_errno(r, "cannot use descriptor %d that was passed", fd) : 0;
}

/* Refuses when somebody answers there: another daemon with another state directory. */
static int refuse_taken(const char *path, const struct sockaddr_un *address) {
        _cleanup_(close_fdp) int fd =
                socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
            errno == EAGAIN) {
                log_error(
                        "%s is in use by another daemon; --runtime= gives this one a place of its own",
                        path);
                return -EADDRINUSE;
        }
        return 0;
}

static int listener_bind(Daemon *d, int *ret) {
        _cleanup_(close_fdp) int fd = -1;
        struct sockaddr_un address = { .sun_family = AF_UNIX },
                           temporary = { .sun_family = AF_UNIX };
        const char *path = d->paths->socket;
        int r;

        if (strlen(path) + 5 > sizeof(address.sun_path)) {
                log_error("the path %s is too long for a socket: at most %zu bytes", path,
                          sizeof(address.sun_path) - 5);
                return -ENAMETOOLONG;
        }
        r = paths_make_directory(d->paths->runtime, d->paths->system ? 0755 : 0700);
        if (r < 0)
                return log_error_errno(r, "cannot make %s", d->paths->runtime);
        memcpy(address.sun_path, path, strlen(path) + 1);
        snprintf(temporary.sun_path, sizeof(temporary.sun_path), "%s.new", path);
        r = refuse_taken(path, &address);
        if (r < 0)
                return r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return log_error_errno(errno, "cannot make a socket");
        (void)unlink(temporary.sun_path);
        if (bind(fd, (const struct sockaddr *)&temporary, sizeof(temporary)) < 0 ||
            chmod(temporary.sun_path, d->paths->system ? 0666 : 0600) < 0 ||
            listen(fd, BACKLOG) < 0 || rename(temporary.sun_path, path) < 0)
                return log_error_errno(errno, "cannot listen on %s", path);

        *ret = steal_fd(&fd);
        return 0;
}

int listener_open(Daemon *d) {
        int n, fd, r;

        n = d->keeper ? 0 : sd_listen_fds(1);
        if (n < 0)
                return log_error_errno(n, "cannot read which sockets were passed");
        for (int i = 0; i < n; i++) {
                r = listener_adopt(d, SD_LISTEN_FDS_START + i);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 1; d->keeper; i++, n++) {
                char name[32] = "listen";

                if (i > 1)
                        snprintf(name, sizeof(name), "listen-%u", i);
                fd = keeper_link_take(d->keeper, name);
                if (fd < 0)
                        break;
                r = listener_adopt(d, fd);
                if (r < 0)
                        return r;
        }
        if (n > 0)
                return 0;

        fd = -1;
        if (d->keeper)
                fd = keeper_link_take(d->keeper, "own-socket");
        if (fd < 0) {
                r = listener_bind(d, &fd);
                if (r < 0)
                        return r;
                if (d->keeper)
                        keeper_link_store(d->keeper, "own-socket", fd);
        }
        d->own_socket = true;
        r = listener_adopt(d, fd);
        return r;
}

void listener_drain(Daemon *d) {
        if (!d->own_socket)
                service_stop_listening(d->service);
}

void listener_close(Daemon *d) {
        service_stop_listening(d->service);
        if (d->own_socket && unlink(d->paths->socket) < 0 && errno != ENOENT)
                log_warning_errno(errno, "cannot remove %s", d->paths->socket);
        d->own_socket = false;
}
