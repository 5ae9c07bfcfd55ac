/* SPDX-License-Identifier: Apache-2.0 */

/* The other end of a connection of libforkd, in the test's own process; see client-pair.h. */

#include "client-pair.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/socket.h>

void pair_open(Pair *p) {
        int fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(forkd_connect_fd(&p->f, fds[0]), 0);
        assert_int_equal(stream_new(&p->peer, fds[1], SIZE_MAX, true), 0);
}

void pair_close(Pair *p) {
        p->f = forkd_free(p->f);
        p->peer = stream_free(p->peer);
}

int pair_setup(void **state) {
        Pair *p = calloc(1, sizeof(*p));

        pair_open(p);
        *state = p;
        return 0;
}

int pair_teardown(void **state) {
        Pair *p = *state;

        pair_close(p);
        free(p);
        return 0;
}

void say_fds(Pair *p, const char *text, const int *fds, size_t n_fds) {
        assert_int_equal(stream_write(p->peer, text, strlen(text), fds, n_fds), 0);
}

void say(Pair *p, const char *text) {
        say_fds(p, text, NULL, 0);
}

void hear_message(Pair *p, StreamMessage *ret) {
        int r;

        while ((r = stream_next(p->peer, ret)) == STREAM_E_AGAIN)
                assert_int_equal(stream_read(p->peer), 0);
        assert_int_equal(r, 0);
}

void hear(Pair *p, const char *expected) {
        StreamMessage m = STREAM_MESSAGE_NULL;

        hear_message(p, &m);
        assert_string_equal(m.text, expected);
        assert_int_equal(m.n_fds, 0);
        stream_message_done(&m);
}

void hear_nothing(Pair *p) {
        StreamMessage m;

        assert_int_equal(stream_read(p->peer), STREAM_E_AGAIN);
        assert_int_equal(stream_next(p->peer, &m), STREAM_E_AGAIN);
}

int memfd_with(const char *text) {
        int fd = memfd_create("test", MFD_CLOEXEC);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        return fd;
}

static int count_descriptors(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static int descriptors_at_start;

int descriptors_remember(void **state) {
        (void)state;
        descriptors_at_start = count_descriptors();
        return 0;
}

int descriptors_compare(void **state) {
        (void)state;
        return count_descriptors() == descriptors_at_start ? 0 : -1;
}
