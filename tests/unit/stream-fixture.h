/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A stream, and the other end as a plain socket that does as it likes. */

#include "stream.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

typedef struct Fixture {
        Stream *stream;
        int peer;
        size_t n_fds_before;
} Fixture;

static inline size_t count_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static inline int setup_with(void **state, size_t output_max, bool descriptors) {
        Fixture *f = calloc(1, sizeof(*f));
        int pair[2];

        f->n_fds_before = count_fds();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(stream_new(&f->stream, pair[0], output_max, descriptors), 0);
        f->peer = pair[1];
        *state = f;
        return 0;
}

static inline int setup(void **state) {
        return setup_with(state, SIZE_MAX, true);
}

static inline int teardown(void **state) {
        Fixture *f = *state;

        stream_free(f->stream);
        close_fd(f->peer);
        assert_int_equal(count_fds(), f->n_fds_before);
        free(f);
        return 0;
}

/* Sends n bytes with duplicates of fds. */
static inline ssize_t send_fds(int fd, const void *bytes, size_t n, const int *fds, size_t n_fds) {
        char control[CMSG_SPACE(sizeof(int) * 253)] = { 0 };
        struct iovec iov = { (void *)bytes, n };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                m.msg_control = control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&m);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
        }
        return sendmsg(fd, &m, MSG_NOSIGNAL);
}
