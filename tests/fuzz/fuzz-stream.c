/* SPDX-License-Identifier: Apache-2.0 */

/* Framing, in split and merged reads, with descriptors anywhere. The input is a list of writes: a
 * byte of length, a byte that says how many descriptors go along and whether the stream reads after
 * it, and that many bytes. A model in a few lines says what has to come out. */

#include "stream.h"

#include <sys/socket.h>

#define UNREAD_MAX 1024
#define ALL_MAX    ((size_t)64 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was written, and how far the stream and its messages have come. */
typedef struct Model {
        uint8_t bytes[ALL_MAX];
        uint8_t fds[ALL_MAX]; /* that came with this byte */
        bool ends[ALL_MAX];   /* a write ends with this byte */
        size_t written, read, taken;
} Model;

static void check(bool good, const char *what) {
        if (!good) {
                fprintf(stderr, "the stream is wrong: %s\n", what);
                abort();
        }
}

static void write_some(int fd, Model *m, const uint8_t *bytes, size_t n, size_t n_fds) {
        char control[CMSG_SPACE(sizeof(int) * 32)] = { 0 };
        struct iovec iov = { (void *)bytes, n };
        struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (n_fds > 0) {
                struct cmsghdr *c;

                h.msg_control = control;
                h.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                c = CMSG_FIRSTHDR(&h);
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                for (size_t i = 0; i < n_fds; i++)
                        memcpy(CMSG_DATA(c) + i * sizeof(int), &(int){ STDERR_FILENO },
                               sizeof(int));
        }
        check(sendmsg(fd, &h, MSG_NOSIGNAL) == (ssize_t)n, "cannot write");

        memcpy(m->bytes + m->written, bytes, n);
        m->fds[m->written] = (uint8_t)n_fds;
        m->ends[m->written + n - 1] = true;
        m->written += n;
}

/* The kernel gives everything up to and with the first write that has descriptors. */
static int model_read(Model *m) {
        size_t start = m->read, n_fds = 0, i;

        for (i = start; i < m->written; i++) {
                n_fds += m->fds[i];
                if (n_fds > 0 && m->ends[i]) {
                        i++;
                        break;
                }
        }
        if (i == start)
                return STREAM_E_AGAIN;
        m->read = i;
        if (n_fds == 0)
                return 0;
        if (n_fds > STREAM_DESCRIPTORS_MAX || (start > 0 && m->bytes[start - 1] != 0) ||
            memchr(m->bytes + start, 0, i - start - 1))
                return STREAM_E_DESCRIPTORS;
        return 0;
}

static void check_messages(Stream *s, Model *m) {
        for (;;) {
                const uint8_t *nul = memchr(m->bytes + m->taken, 0, m->read - m->taken);
                StreamMessage message;
                size_t length, n_fds = 0;
                int r = stream_next(s, &message);

                check(r == (nul ? 0 : STREAM_E_AGAIN), "a message too many or too few");
                if (!nul)
                        break;
                length = (size_t)(nul - (m->bytes + m->taken));
                check(message.length == length, "length of a message");
                check(!memcmp(message.text, m->bytes + m->taken, length + 1), "text of a message");
                for (size_t i = 0; i <= length; i++)
                        n_fds += m->fds[m->taken + i];
                check(message.n_fds == n_fds, "descriptors of a message");
                m->taken += length + 1;
                stream_message_done(&message);
        }
        check(stream_pending_input(s, NULL) == m->read - m->taken,
              "bytes of an unfinished message");
        check(stream_buffered_input(s) == m->read - m->taken, "bytes that wait");
}

static int next_fd(void) {
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);

        close_fd(fd);
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Model m;
        int before = next_fd(), pair[2], r = 0;
        Stream *s;

        if (size > ALL_MAX / 2)
                return 0;
        memset(&m, 0, sizeof(m));
        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket");
        check(stream_new(&s, pair[0], SIZE_MAX, true) == 0, "no stream");

        while (size > 2 && (r == 0 || r == STREAM_E_AGAIN)) {
                size_t n = data[0], n_fds = data[1] & 0x1f;
                bool reads = data[1] & 0x80 || m.written - m.read > UNREAD_MAX;

                /* descriptors are rare, or no input would get far */
                if (!(data[1] & 0x40))
                        n_fds = 0;
                data += 2;
                size -= 2;
                n = n > size ? size : n;
                if (n > 0)
                        write_some(pair[1], &m, data, n, n_fds);
                data += n;
                size -= n;
                if (!reads)
                        continue;

                r = model_read(&m);
                check(stream_read(s) == r, "result of a read");
                if (r == 0)
                        check_messages(s, &m);
        }

        stream_free(s);
        close_fd(pair[1]);
        check(next_fd() == before, "a descriptor is left");
        return 0;
}
