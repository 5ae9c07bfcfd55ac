/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What people know a socket by: an address, not an inode. */

#include "basic.h"

/* "socket to 127.0.0.1:5432", "socket at /run/x.sock"; false when fd is no socket, or one without
 * any address. size: 160 is enough. */
bool socket_name(int fd, char *buffer, size_t size);

typedef enum SocketLog {
        SOCKET_LOG_NONE,
        SOCKET_LOG_CONNECTED, /* to a syslog, or to the journal: *buffer is its path */
        SOCKET_LOG_LOOSE, /* as sd-journal(3) keeps one: for datagrams, with no address at all */
} SocketLog;

/* Does some library log through it? It would go on doing so by the number, whatever that is after a
 * fork. */
SocketLog socket_log(int fd, char *buffer, size_t size);
