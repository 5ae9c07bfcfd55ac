/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a forkd without a keeper tells the service manager, without ever waiting for it. */

#include <systemd/sd-event.h>

typedef struct NotifyLink NotifyLink;

/* Takes $NOTIFY_SOCKET out of the environment; without it nothing is said. Signs of life go out by
 * themselves. */
int notify_link_new(NotifyLink **ret, sd_event *event);
/* NULL is fine here and below. Returns NULL. */
NotifyLink *notify_link_free(NotifyLink *l);
/* Lines of sd_notify(3). */
void notify_link_send(NotifyLink *l, const char *text);
