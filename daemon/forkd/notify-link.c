/* SPDX-License-Identifier: Apache-2.0 */

/* The link to the service manager: owned by a daemon that has no keeper, in forkd. sd_notify(), and
 * with it the watchdog of sd-event, would wait for a receiver that does not read. */

#include "notify-link.h"

#include "notify.h"

#include <systemd/sd-daemon.h>

struct NotifyLink {
        Notify *notify;
        sd_event_source *flush, *alive;
        uint64_t alive_usec;
};

static int on_flush(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        NotifyLink *l = userdata;

        (void)fd;
        (void)events;
        notify_flush(l->notify);
        if (!notify_pending(l->notify))
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

static int on_alive(sd_event_source *source, uint64_t usec, void *userdata) {
        NotifyLink *l = userdata;

        (void)usec;
        notify_link_send(l, "WATCHDOG=1");
        (void)sd_event_source_set_time_relative(source, l->alive_usec);
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        return 0;
}

int notify_link_new(NotifyLink **ret, sd_event *event) {
        NotifyLink *l = calloc(1, sizeof(*l));
        uint64_t watchdog_usec = 0;
        int r;

        if (!l)
                return -ENOMEM;
        r = notify_new(&l->notify);
        if (r >= 0 && notify_fd(l->notify) >= 0) {
                r = sd_event_add_io(event, &l->flush, notify_fd(l->notify), EPOLLOUT, on_flush, l);
                if (r >= 0)
                        r = sd_event_source_set_enabled(l->flush, SD_EVENT_OFF);
        }
        if (r >= 0 && sd_watchdog_enabled(0, &watchdog_usec) > 0) {
                l->alive_usec = watchdog_usec / 4;
                r = sd_event_add_time_relative(event, &l->alive, CLOCK_MONOTONIC, 0, 0, on_alive,
                                               l);
        }
        if (r < 0) {
                notify_link_free(l);
                return r;
        }

        *ret = l;
        return 0;
}

NotifyLink *notify_link_free(NotifyLink *l) {
        if (!l)
                return NULL;
        sd_event_source_disable_unref(l->flush);
        sd_event_source_disable_unref(l->alive);
        notify_free(l->notify);
        free(l);
        return NULL;
}

void notify_link_send(NotifyLink *l, const char *text) {
        if (!l)
                return;
        notify_send(l->notify, "%s", text);
        if (notify_pending(l->notify))
                (void)sd_event_source_set_enabled(l->flush, SD_EVENT_ON);
}
