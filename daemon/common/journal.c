/* SPDX-License-Identifier: Apache-2.0 */

/* The journal's two sockets: one for entries, one that makes streams. Stateless, in the keeper and
 * in forkd. */

#include "journal.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#define JOURNAL_DIR "/run/systemd/journal"

/* A socket of the journal's, connected, or -errno. */
static int journal_connect(int type, const char *name) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *dir = secure_getenv("FORKD_JOURNAL") ?: JOURNAL_DIR;
        int fd, r;

        r = snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", dir, name);
        if (r < 0 || (size_t)r >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                r = -errno;
                close_fd(fd);
                return r;
        }
        return fd;
}

int journal_send(const char *text, size_t length) {
        int saved = errno, fd = journal_connect(SOCK_DGRAM, "socket"), r = fd;

        if (fd >= 0) {
                r = send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
                close_fd(fd);
        }
        errno = saved;
        return r;
}

int journal_stream(const char *identifier) {
        _cleanup_(close_fdp) int fd = journal_connect(SOCK_STREAM, "stdout");
        char header[128];
        int n, flags;
        ssize_t k;

        if (fd < 0)
                return fd;
        /* identifier, unit, priority, whether "<N>" counts, forward to syslog, kmsg, console */
        n = snprintf(header, sizeof(header), "%s\n\n%d\n1\n0\n0\n0\n", identifier, LOG_INFO);
        if (n < 0 || (size_t)n >= sizeof(header))
                return -EINVAL;
        if (shutdown(fd, SHUT_RD) < 0)
                return -errno;
        k = send(fd, header, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (k != n)
                return k < 0 ? -errno : -EAGAIN;

        /* programs do not expect a nonblocking output */
        flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
                return -errno;
        return steal_fd(&fd);
}
