/* SPDX-License-Identifier: Apache-2.0 */

/* Packets: any bytes, once as a packet and once as what a sealed memfd holds. What the walk over
 * the text accepts jansson has to accept too, or a payload would be passed on that nobody can read.
 */

#include "basic.h"

#include "json-span.h"
#include "packet.h"

#include <sys/mman.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (!condition) {
                fprintf(stderr, "fuzz-packet: %s\n", what);
                abort();
        }
}

static void compare_with_jansson(const uint8_t *data, size_t size) {
        JsonSpan span = JSON_SPAN_NULL;
        char *text = malloc(size + 1);
        json_t *object, *payload;

        memcpy(text, data, size);
        text[size] = '\0';
        if (json_span_find(text, size, &span) == 0) {
                object = json_loadb(text, size, 0, NULL);
                require(json_is_object(object), "accepted what jansson refuses");
                json_decref(object);
                if (span.length > 0) {
                        payload = json_loadb(text + span.offset, span.length, 0, NULL);
                        require(json_is_object(payload), "a payload that is no object");
                        json_decref(payload);
                }
        }
        free(text);
}

static void receive(int pair[static 2], const uint8_t *data, size_t size, int fd) {
        Packet packet = PACKET_NULL;
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = { 0 };
        struct iovec iov = { .iov_base = (void *)data, .iov_len = size };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

        if (fd >= 0) {
                m.msg_control = &control;
                m.msg_controllen = sizeof(control);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
        }
        if (sendmsg(pair[0], &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return;
        if (packet_receive(pair[1], &packet) == 0) {
                require(packet.method && json_is_object(packet.parameters), "half a packet");
                packet_take_fd(&packet, "token");
        }
        packet_done(&packet);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char replacement[] = "{\"memfd\":true}";
        int pair[2], fd;

        if (size == 0)
                return 0;
        compare_with_jansson(data, size);

        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "no socketpair");
        fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        require(write(fd, data, size) == (ssize_t)size, "no memfd");
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        receive(pair, data, size, -1);
        receive(pair, (const uint8_t *)replacement, strlen(replacement), fd);
        close(fd);
        close(pair[0]);
        close(pair[1]);
        return 0;
}
