/* SPDX-License-Identifier: Apache-2.0 */

/* The service manager's ear. sd_notify() blocks when its receiver stops reading, and neither the
 * keeper nor forkd may, so this is a nonblocking datagram socket of our own with a bounded memory
 * of what could not be sent. Belongs to the keeper, or to a forkd that has none. */

#include "notify.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PENDING_MAX 16

struct Notify {
        int fd; /* -1: nobody listens */
        struct sockaddr_un address;
        socklen_t address_length;
        char *pending[PENDING_MAX]; /* oldest first */
        size_t n_pending;
};

/* "/path" or "@abstract", as systemd.exec(5) has it. */
static int notify_parse_address(Notify *n, const char *s) {
        size_t length = strlen(s);

        if ((s[0] != '/' && s[0] != '@') || length < 2 || length >= sizeof(n->address.sun_path))
                return -EINVAL;
        n->address.sun_family = AF_UNIX;
        memcpy(n->address.sun_path, s, length);
        if (s[0] == '@')
                n->address.sun_path[0] = '\0';
        n->address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
        return 0;
}

int notify_new(Notify **ret) {
        const char *s = secure_getenv("NOTIFY_SOCKET");
        _cleanup_(notify_freep) Notify *n = calloc(1, sizeof(*n));
        int r;

        if (!n)
                return -ENOMEM;
        n->fd = -1;
        if (s && s[0] != '\0') {
                r = notify_parse_address(n, s);
                if (r < 0)
                        return r;
                n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                if (n->fd < 0)
                        return -errno;
        }
        unsetenv("NOTIFY_SOCKET");
        *ret = steal(n);
        return 0;
}

Notify *notify_free(Notify *n) {
        if (!n)
                return NULL;
        for (size_t i = 0; i < n->n_pending; i++)
                free(n->pending[i]);
        close_fd(n->fd);
        free(n);
        return NULL;
}

/* False when the receiver has no room. A receiver that is gone hears nothing, which is no error.
 * Connected only because that is what makes the socket tell when there is room. */
static bool notify_try(Notify *n, const char *text) {
        for (unsigned i = 0; i < 2; i++) {
                if (send(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                        return true;
                if (errno == EAGAIN)
                        return false;
                if (connect(n->fd, (struct sockaddr *)&n->address, n->address_length) < 0)
                        return errno != EAGAIN;
        }
        return true;
}

static void notify_drop_oldest(Notify *n) {
        free(n->pending[0]);
        n->n_pending--;
        memmove(n->pending, n->pending + 1, n->n_pending * sizeof(n->pending[0]));
}

void notify_flush(Notify *n) {
        while (n->n_pending > 0 && notify_try(n, n->pending[0]))
                notify_drop_oldest(n);
}

void notify_send(Notify *n, const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int k;

        if (n->fd < 0)
                return;
        va_start(ap, format);
        k = vasprintf(&text, format, ap);
        va_end(ap);
        if (k < 0)
                return;

        notify_flush(n);
        if (n->n_pending == 0 && notify_try(n, text)) {
                free(text);
                return;
        }
        /* a repeated sign of life says no more than one */
        if (n->n_pending > 0 && streq(n->pending[n->n_pending - 1], text)) {
                free(text);
                return;
        }
        if (n->n_pending == PENDING_MAX)
                notify_drop_oldest(n);
        n->pending[n->n_pending++] = text;
}

void notify_status(Notify *n, const char *before, const char *text) {
        char line[256];

        snprintf(line, sizeof(line), "%s", text);
        for (char *p = line; *p; p++)
                if ((unsigned char)*p < ' ')
                        *p = ' ';
        notify_send(n, "%sSTATUS=%s", before, line);
}

bool notify_pending(const Notify *n) {
        return n->n_pending > 0;
}

int notify_fd(const Notify *n) {
        return n->fd;
}
