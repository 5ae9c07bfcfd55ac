/* SPDX-License-Identifier: Apache-2.0 */

/* Records between forkd and its keeper. Both processes use this; neither trusts a record before it
 * has the right size and its texts end. The channel belongs to the caller. */

#include "keeper-channel.h"

#include <sys/socket.h>

int keeper_record_send(int channel, const KeeperRecord *record, int fd_attached) {
        union {
                char buffer[CMSG_SPACE(sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { (void *)record, sizeof(*record) };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd_attached >= 0) {
                struct cmsghdr *c;

                message.msg_control = control.buffer;
                message.msg_controllen = sizeof(control.buffer);
                c = CMSG_FIRSTHDR(&message);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(c), &fd_attached, sizeof(int));
        }

        for (;;) {
                if (sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                        return 0;
                if (errno == EINTR)
                        continue;
                if (errno == EAGAIN)
                        return KEEPER_E_AGAIN;
                if (errno == EPIPE || errno == ECONNRESET)
                        return KEEPER_E_CLOSED;
                return -errno;
        }
}

/* The one descriptor of a message; all of them are closed when there are several. */
static int message_take_fd(struct msghdr *message, int *ret_fd) {
        int fd = -1;
        bool too_many = false;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n; i++) {
                        int received;

                        memcpy(&received, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                        too_many = too_many || fd >= 0;
                        if (fd < 0)
                                fd = received;
                        else
                                close_fd(received);
                }
        }
        if (too_many || message->msg_flags & MSG_CTRUNC) {
                close_fd(fd);
                return KEEPER_E_INVALID;
        }
        *ret_fd = fd;
        return 0;
}

static bool record_valid(const KeeperRecord *record) {
        return memchr(record->name, '\0', sizeof(record->name)) &&
               memchr(record->text, '\0', sizeof(record->text));
}

int keeper_record_receive(int channel, KeeperRecord *ret, int *ret_fd) {
        union {
                char buffer[CMSG_SPACE(
                        2 * sizeof(int))]; /* one more than fits a record, to notice it */
                struct cmsghdr align;
        } control = { 0 };
        _cleanup_(close_fdp) int fd = -1;
        KeeperRecord record;
        struct iovec iov = { &record, sizeof(record) };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = control.buffer,
                .msg_controllen = sizeof(control.buffer),
        };
        ssize_t n;
        int r;

        do
                n = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
                if (errno == EAGAIN)
                        return KEEPER_E_AGAIN;
                return errno == ECONNRESET ? KEEPER_E_CLOSED : -errno;
        }

        r = message_take_fd(&message, &fd);
        if (r != 0)
                return r;
        if (n == 0)
                return KEEPER_E_CLOSED;
        if ((size_t)n != sizeof(record) || message.msg_flags & MSG_TRUNC || !record_valid(&record))
                return KEEPER_E_INVALID;

        *ret = record;
        *ret_fd = steal_fd(&fd);
        return 0;
}
