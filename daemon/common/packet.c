/* SPDX-License-Identifier: Apache-2.0 */

/* Packets, one JSON object each with its descriptors, as forkd-server(7) has them. A Packet owns
 * its text, what was parsed of it and every descriptor that nobody has taken. Lives in forkd, in
 * forkservers and in workers. What comes in is checked in full: the other end may run anybody's
 * code. */

#include "packet.h"

#include "json-span.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

typedef union Control {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int) * PACKET_DESCRIPTORS_MAX)];
} Control;

void packet_done(Packet *packet) {
        for (size_t i = 0; i < packet->n_fds; i++)
                close_fd(packet->fds[i]);
        json_decref(packet->object);
        free(packet->text);
        *packet = PACKET_NULL;
}

static void packet_collect_fds(Packet *packet, struct msghdr *m) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
                size_t n;

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(packet->fds + packet->n_fds, CMSG_DATA(c), n * sizeof(int));
                packet->n_fds += n;
        }
}

static int packet_receive_raw(int fd, Packet *packet) {
        char buffer[PACKET_INLINE_MAX];
        Control control;
        struct iovec iov = { .iov_base = buffer, .iov_len = sizeof(buffer) };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };
        bool reset = false;
        ssize_t n;

        /* Who ends without having read all resets the connection. That is said before what it has
         * sent, and once: its last words are still there. */
        do
                n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
        while (n < 0 && (errno == EINTR || (errno == ECONNRESET && !reset && (reset = true))));
        if (n < 0) {
                if (errno == EAGAIN)
                        return PACKET_E_AGAIN;
                return errno == ECONNRESET ? PACKET_E_CLOSED : -errno;
        }

        packet_collect_fds(packet, &m);
        if (n == 0)
                return PACKET_E_CLOSED;
        if (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
                return PACKET_E_INVALID;

        packet->text = malloc((size_t)n + 1);
        if (!packet->text)
                return -ENOMEM;
        memcpy(packet->text, buffer, (size_t)n);
        packet->text[n] = '\0';
        packet->length = (size_t)n;
        return 0;
}

/* Parses all but the payload, which stands as 0 in what jansson gets to see. */
static int packet_parse(Packet *packet) {
        _cleanup_(freep) char *rest = NULL;
        const char *text = packet->text;
        size_t length = packet->length;
        JsonSpan span = JSON_SPAN_NULL;
        json_error_t error;

        if (json_span_find(packet->text, packet->length, &span) != 0)
                return PACKET_E_INVALID;

        if (span.length > 0) {
                size_t tail = packet->length - span.offset - span.length;

                length = span.offset + 1 + tail;
                text = rest = malloc(length);
                if (!rest)
                        return -ENOMEM;
                memcpy(rest, packet->text, span.offset);
                rest[span.offset] = '0';
                memcpy(rest + span.offset + 1, packet->text + span.offset + span.length, tail);
                packet->captured = packet->text + span.offset;
                packet->captured_length = span.length;
        }

        packet->object = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (!packet->object)
                return json_error_code(&error) == json_error_out_of_memory ? -ENOMEM
                                                                           : PACKET_E_INVALID;
        return 0;
}

/* Replaces the text {"memfd": true} by the content of the last descriptor. */
static int packet_load_memfd(Packet *packet, size_t max) {
        _cleanup_(close_fdp) int fd = -1;
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        int seals;

        if (packet->n_fds == 0)
                return PACKET_E_INVALID;
        fd = steal_fd(&packet->fds[--packet->n_fds]);

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
                return PACKET_E_INVALID;
        if (st.st_size <= 0 || (uint64_t)st.st_size > max)
                return PACKET_E_INVALID;

        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
                return PACKET_E_INVALID;
        text[st.st_size] = '\0';

        json_decref(packet->object);
        packet->object = NULL;
        packet->captured = NULL;
        packet->captured_length = 0;
        free(packet->text);
        packet->text = steal(text);
        packet->length = (size_t)st.st_size;
        return packet_parse(packet);
}

static int packet_read_envelope(Packet *packet) {
        json_t *parameters;

        packet->method = json_string_value(json_object_get(packet->object, "method"));
        if (!packet->method)
                return PACKET_E_INVALID;

        parameters = json_object_get(packet->object, "parameters");
        if (!parameters || json_is_null(parameters)) {
                parameters = json_object();
                if (!parameters ||
                    json_object_set_new(packet->object, "parameters", parameters) < 0)
                        return -ENOMEM;
        }
        if (!json_is_object(parameters))
                return PACKET_E_INVALID;
        packet->parameters = parameters;
        return 0;
}

int packet_receive_bounded(int fd, size_t max, Packet *ret) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;
        int r;

        r = packet_receive_raw(fd, &packet);
        if (r != 0)
                return r;
        r = packet_parse(&packet);
        if (r != 0)
                return r;
        if (json_is_true(json_object_get(packet.object, "memfd"))) {
                r = packet_load_memfd(&packet, max);
                if (r != 0)
                        return r;
        }
        r = packet_read_envelope(&packet);
        if (r != 0)
                return r;

        *ret = packet;
        packet = PACKET_NULL;
        return 0;
}

int packet_receive(int fd, Packet *ret) {
        return packet_receive_bounded(fd, PACKET_MAX, ret);
}

int packet_fd(const Packet *packet, const json_t *index) {
        json_int_t i = json_integer_value(index);

        if (!json_is_integer(index) || i < 0 || (uint64_t)i >= packet->n_fds || packet->fds[i] < 0)
                return -EBADF;
        return packet->fds[i];
}

int packet_take_fd(Packet *packet, const char *name) {
        const json_t *index = json_object_get(packet->parameters, name);
        int fd;

        if (!index || json_is_null(index))
                return -ENOENT;
        fd = packet_fd(packet, index);
        if (fd >= 0)
                packet->fds[json_integer_value(index)] = -1;
        return fd;
}

static int packet_send_inline(int fd, const char *text, size_t length, const int *fds,
                              size_t n_fds) {
        Control control = { 0 };
        struct iovec iov = { .iov_base = (void *)text, .iov_len = length };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t n;

        if (n_fds > PACKET_DESCRIPTORS_MAX)
                return -EINVAL;
        if (n_fds > 0) {
                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }

        do
                n = sendmsg(fd, &m, MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n >= 0)
                return 0;
        if (errno == EAGAIN)
                return PACKET_E_AGAIN;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
                return PACKET_E_CLOSED;
        return -errno;
}

static int memfd_of_text(const char *text, size_t length) {
        _cleanup_(close_fdp) int fd = memfd_create("forkd-packet", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < length;) {
                ssize_t n = write(fd, text + done, length - done);

                if (n < 0)
                        return -errno;
                done += (size_t)n;
        }
        if (fcntl(fd, F_ADD_SEALS, SEALS) < 0)
                return -errno;
        return steal_fd(&fd);
}

int packet_send_text(int fd, const char *text, size_t length, const int *fds, size_t n_fds) {
        static const char replacement[] = "{\"memfd\": true}";
        _cleanup_(close_fdp) int memfd = -1;
        int all[PACKET_DESCRIPTORS_MAX];

        if (length <= PACKET_INLINE_MAX)
                return packet_send_inline(fd, text, length, fds, n_fds);
        if (length > PACKET_MAX)
                return -EMSGSIZE;
        if (n_fds >= PACKET_DESCRIPTORS_MAX)
                return -EINVAL;

        memfd = memfd_of_text(text, length);
        if (memfd < 0)
                return memfd;
        if (n_fds > 0)
                memcpy(all, fds, sizeof(int) * n_fds);
        all[n_fds] = memfd;
        return packet_send_inline(fd, replacement, sizeof(replacement) - 1, all, n_fds + 1);
}

int packet_send(int fd, const char *method, json_t *parameters, const int *fds, size_t n_fds) {
        _cleanup_(freep) char *inner = NULL, *text = NULL;
        int n;

        inner = json_dumps(parameters, JSON_COMPACT);
        if (!inner)
                return -ENOMEM;
        n = asprintf(&text, "{\"method\":\"%s\",\"parameters\":%s}", method, inner);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        return packet_send_text(fd, text, (size_t)n, fds, n_fds);
}

int packet_pair(int *ret_ours, int *ret_theirs) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        if (fcntl(pair[0], F_SETFL, O_NONBLOCK) < 0) {
                int r = -errno;

                close_fd(pair[0]);
                close_fd(pair[1]);
                return r;
        }
        *ret_ours = pair[0];
        *ret_theirs = pair[1];
        return 0;
}
