/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the floors: one JSON object a packet, dumped and parsed by jansson, with descriptors.
 * Keeps nothing; lives in the benchmark and in the floors' processes. */

#include "floor.h"

#include <sys/socket.h>

#define DESCRIPTORS_MAX 8

int floor_send(int fd, json_t *object_stolen, const int *fds, size_t n_fds) {
        union {
                char buffer[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
                struct cmsghdr align;
        } control = { 0 };
        char text[4096];
        struct iovec iov = { .iov_base = text };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (!object_stolen)
                return -ENOMEM;
        iov.iov_len = json_dumpb(object_stolen, text, sizeof(text), JSON_COMPACT);
        json_decref(object_stolen);
        if (iov.iov_len == 0 || iov.iov_len > sizeof(text) || n_fds > DESCRIPTORS_MAX)
                return -EMSGSIZE;

        if (n_fds > 0) {
                struct cmsghdr *header = &control.align;

                message.msg_control = control.buffer;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
        }
        return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int floor_receive(int fd, json_t **ret, int *ret_fds, size_t n_fds_max, size_t *ret_n_fds) {
        union {
                char buffer[CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
                struct cmsghdr align;
        } control = { 0 };
        char text[4096];
        struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = n_fds_max > 0 ? control.buffer : NULL,
                .msg_controllen = n_fds_max > 0 ? CMSG_SPACE(sizeof(int) * n_fds_max) : 0,
        };
        struct cmsghdr *header;
        json_t *object;
        ssize_t n;

        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (n < 0)
                return -errno;
        if (n == 0)
                return 1;
        object = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
        if (!object)
                return -EBADMSG;

        header = CMSG_FIRSTHDR(&message);
        if (ret_n_fds)
                *ret_n_fds = header ? (header->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        if (header)
                memcpy(ret_fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
        *ret = object;
        return 0;
}
