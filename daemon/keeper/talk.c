/* SPDX-License-Identifier: Apache-2.0 */

/* The keeper's half of the keeper channel: hands over what is kept to each start of forkd, tells it
 * the news about orphans, and does what its records say. Nothing is queued as records: what is
 * still to be sent stands in the store and in the orphans, so that a slow forkd costs no memory. */

#include "keeper-internal.h"
#include "log.h"

#include <sys/epoll.h>

#define RECORDS_AT_ONCE 256

/* ---- out */

/* The next record; false when there is none. *ret_fd is borrowed. */
static bool talk_next(Keeper *k, KeeperRecord *ret, int *ret_fd) {
        const char *name;

        memset(ret, 0, sizeof(*ret));
        *ret_fd = -1;
        switch (k->hand_over) {
        case HAND_OVER_HELLO:
                ret->type = KEEPER_HELLO;
                ret->value = (int32_t)k->n_starts;
                ret->usec = k->options->watchdog_usec;
                return true;
        case HAND_OVER_STORED:
                if (!store_next(k->store, &name, ret_fd)) {
                        k->hand_over = HAND_OVER_ORPHANS;
                        return talk_next(k, ret, ret_fd);
                }
                ret->type = KEEPER_STORED;
                snprintf(ret->name, sizeof(ret->name), "%s", name);
                return true;
        case HAND_OVER_ORPHANS:
                if (!orphan_set_report(k->orphans, ret))
                        ret->type = KEEPER_BEGIN;
                return true;
        case HAND_OVER_DONE:
                return orphan_set_report(k->orphans, ret);
        }
        return false;
}

/* The record of talk_next() was sent. */
static void talk_sent(Keeper *k, const KeeperRecord *record) {
        switch (record->type) {
        case KEEPER_HELLO:
                k->hand_over = HAND_OVER_STORED;
                break;
        case KEEPER_STORED:
                store_mark(k->store);
                break;
        case KEEPER_BEGIN:
                k->hand_over = HAND_OVER_DONE;
                break;
        default:
                orphan_set_reported(k->orphans);
        }
}

void keeper_talk_flush(Keeper *k) {
        KeeperRecord record;
        uint32_t events = EPOLLIN;
        int fd, r;

        if (!k->channel_source)
                return;
        while (talk_next(k, &record, &fd)) {
                r = keeper_record_send(k->forkd.channel, &record, fd);
                if (r == 0) {
                        talk_sent(k, &record);
                        continue;
                }
                if (r == KEEPER_E_AGAIN)
                        events |= EPOLLOUT;
                else if (r < 0)
                        log_warning_errno(r, "cannot send a record to forkd");
                break;
        }
        sd_event_source_set_io_events(k->channel_source, events);
}

/* ---- in */

static void talk_ready(Keeper *k, const KeeperRecord *record) {
        char lines[64];

        if (k->state == KEEP_STARTING) {
                k->ready_at = now_usec(CLOCK_MONOTONIC);
                k->n_failures = 0;
                keeper_set_state(k, KEEP_SERVING);
        } else if (k->state != KEEP_SERVING)
                return;
        snprintf(lines, sizeof(lines), "READY=1\nMAINPID=%d\n", (int)getpid());
        keeper_tell(k, lines, record->text[0] != '\0' ? record->text : "serving");
}

static void talk_reloading(Keeper *k, const KeeperRecord *record) {
        char lines[96];

        snprintf(lines, sizeof(lines), "RELOADING=1\nMONOTONIC_USEC=%llu\n",
                 (unsigned long long)now_usec(CLOCK_MONOTONIC));
        keeper_tell(k, lines, record->text[0] != '\0' ? record->text : "reloading");
}

static void talk_store(Keeper *k, const KeeperRecord *record, int *fd) {
        int r;

        if (*fd < 0) {
                log_warning("forkd wants '%s' kept and has attached no descriptor, ignoring it",
                            record->name);
                return;
        }
        r = store_put(k->store, record->name, steal_fd(fd));
        if (r == -ENOSPC)
                log_warning("more than %d descriptors to keep, ignoring '%s'", STORE_MAX,
                            record->name);
        else if (r < 0)
                log_warning_errno(r, "cannot keep descriptor '%s', ignoring it", record->name);
}

static void talk_record(Keeper *k, const KeeperRecord *record, int *fd) {
        int r = 0;

        keeper_watch_heard(k, record->type == KEEPER_ALIVE);
        switch (record->type) {
        case KEEPER_READY:
                talk_ready(k, record);
                break;
        case KEEPER_ALIVE:
                break;
        case KEEPER_STATUS:
                keeper_tell(k, "", record->text);
                break;
        case KEEPER_STORE:
                talk_store(k, record, fd);
                break;
        case KEEPER_DROP:
                store_drop(k->store, record->name);
                break;
        case KEEPER_ACKNOWLEDGE:
                r = orphan_set_acknowledge(k->orphans, record->pid, record->start_time);
                break;
        case KEEPER_NOT_OURS:
                r = orphan_set_disown(k->orphans, record->pid, record->start_time);
                break;
        case KEEPER_STOPPING:
                if (k->state == KEEP_STARTING || k->state == KEEP_SERVING)
                        keeper_set_state(k, KEEP_STOPPING);
                keeper_tell(k, "STOPPING=1\n", record->text[0] != '\0' ? record->text : "stopping");
                k->forkd_stops = true;
                if (k->signal_waits > 0)
                        forkd_process_signal(&k->forkd, k->signal_waits);
                k->signal_waits = 0;
                break;
        case KEEPER_RELOADING:
                talk_reloading(k, record);
                break;
        default:
                log_warning(
                        "forkd sent a record of type %u, which this keeper does not know, ignoring "
                        "it; restart the service after an upgrade",
                        record->type);
        }
        if (r < 0)
                log_debug_errno(r, "forkd named orphan %d", (int)record->pid);
}

/* Returns what ended it: KEEPER_E_AGAIN, KEEPER_E_CLOSED, 0 after a fair share, or -errno. */
static int talk_receive(Keeper *k) {
        for (unsigned i = 0; i < RECORDS_AT_ONCE; i++) {
                _cleanup_(close_fdp) int fd = -1;
                KeeperRecord record;
                int r = keeper_record_receive(k->forkd.channel, &record, &fd);

                if (r == KEEPER_E_INVALID) {
                        log_warning("forkd sent an invalid record, ignoring it");
                        continue;
                }
                if (r != 0)
                        return r;
                talk_record(k, &record, &fd);
        }
        return 0;
}

void keeper_talk_drain(Keeper *k) {
        if (k->forkd.channel >= 0)
                while (talk_receive(k) == 0)
                        ;
}

static int on_channel_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Keeper *k = userdata;
        int r = 0;

        (void)fd;
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = talk_receive(k);
        if (r == KEEPER_E_CLOSED || r < 0) {
                /* its death follows, or the watchdog's word */
                if (r < 0)
                        log_warning_errno(r, "cannot receive from forkd");
                sd_event_source_set_enabled(source, SD_EVENT_OFF);
                return 0;
        }
        keeper_talk_flush(k);
        return 0;
}

int keeper_talk_start(Keeper *k) {
        int r;

        k->hand_over = HAND_OVER_HELLO;
        store_rewind(k->store);
        orphan_set_rewind(k->orphans);
        r = orphan_set_scan(k->orphans, k->forkd.pid);
        if (r < 0)
                log_warning_errno(r, "cannot list orphans");

        r = sd_event_add_io(k->event, &k->channel_source, k->forkd.channel, EPOLLIN, on_channel_io,
                            k);
        if (r < 0)
                return r;
        sd_event_source_set_priority(k->channel_source, KEEPER_PRIORITY_CHANNEL);
        keeper_talk_flush(k);
        return 0;
}

void keeper_talk_stop(Keeper *k) {
        k->channel_source = sd_event_source_disable_unref(k->channel_source);
}
