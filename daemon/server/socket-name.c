/* SPDX-License-Identifier: Apache-2.0 */

/* Names of sockets that a preload left open. Lives in hosts of modules; owns nothing. */

#include "socket-name.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef union Address {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
} Address;

/* False for one that says nothing. */
static bool address_format(const Address *a, socklen_t length, char *buffer, size_t size) {
        size_t offset = offsetof(struct sockaddr_un, sun_path);
        char text[INET6_ADDRSTRLEN];

        switch (a->any.sa_family) {
        case AF_INET:
                if (a->in.sin_port == 0)
                        return false;
                inet_ntop(AF_INET, &a->in.sin_addr, text, sizeof(text));
                snprintf(buffer, size, "%s:%u", text, ntohs(a->in.sin_port));
                return true;
        case AF_INET6:
                if (a->in6.sin6_port == 0)
                        return false;
                inet_ntop(AF_INET6, &a->in6.sin6_addr, text, sizeof(text));
                snprintf(buffer, size, "[%s]:%u", text, ntohs(a->in6.sin6_port));
                return true;
        case AF_UNIX:
                if (length <= offset)
                        return false;
                if (a->un.sun_path[0] == '\0') /* abstract, and not ended by a NUL */
                        snprintf(buffer, size, "@%.*s", (int)(length - offset - 1),
                                 a->un.sun_path + 1);
                else
                        snprintf(buffer, size, "%.*s", (int)(length - offset), a->un.sun_path);
                return true;
        default:
                return false;
        }
}

static bool peer_name(int fd, char *buffer, size_t size) {
        socklen_t length = sizeof(Address);
        Address a = { 0 };

        return getpeername(fd, &a.any, &length) == 0 && address_format(&a, length, buffer, size);
}

static bool own_name(int fd, char *buffer, size_t size) {
        socklen_t length = sizeof(Address);
        Address a = { 0 };

        return getsockname(fd, &a.any, &length) == 0 && address_format(&a, length, buffer, size);
}

bool socket_name(int fd, char *buffer, size_t size) {
        char name[128];

        if (peer_name(fd, name, sizeof(name)))
                snprintf(buffer, size, "socket to %s", name);
        else if (own_name(fd, name, sizeof(name)))
                snprintf(buffer, size, "socket at %s", name);
        else
                return false;
        return true;
}

SocketLog socket_log(int fd, char *buffer, size_t size) {
        static const char journal[] = "/run/systemd/journal/";
        int domain = 0, type = 0;
        socklen_t length = sizeof(int);
        char name[128];

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0 || domain != AF_UNIX ||
            getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0)
                return SOCKET_LOG_NONE;
        if (peer_name(fd, name, sizeof(name))) {
                if (!streq(name, "/dev/log") && strncmp(name, journal, strlen(journal)) != 0)
                        return SOCKET_LOG_NONE;
                snprintf(buffer, size, "%s", name);
                return SOCKET_LOG_CONNECTED;
        }
        length = 0;
        return type == SOCK_DGRAM && !own_name(fd, name, sizeof(name)) &&
                               getpeername(fd, NULL, &length) < 0 && errno == ENOTCONN
                       ? SOCKET_LOG_LOOSE
                       : SOCKET_LOG_NONE;
}
