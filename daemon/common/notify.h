/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the service manager is told: lines of sd_notify(3), sent without ever blocking. */

#include "basic.h"

typedef struct Notify Notify;

/* Takes $NOTIFY_SOCKET out of the environment; without it everything below does nothing.
 * 0, -EINVAL for an address that is none, or -errno. */
int notify_new(Notify **ret);
Notify *notify_free(Notify *n);
static inline void notify_freep(Notify **n) {
        notify_free(*n);
}

/* Sends assignments separated by newlines. What the receiver has no room for is kept, up to a
 * bound, and goes out before the next. */
void notify_send(Notify *n, const char *format, ...) _printf_(2, 3);
/* "STATUS=" and text with its line breaks taken out, after the lines of `before` (may be ""). */
void notify_status(Notify *n, const char *before, const char *text);

/* For the loop: while it is true, wait for notify_fd() to become writable and call notify_flush().
 */
bool notify_pending(const Notify *n);
int notify_fd(const Notify *n);
void notify_flush(Notify *n);
