/* SPDX-License-Identifier: Apache-2.0 */

/* Those who wait for a named forkserver to serve or to have stopped: owned by it; in forkd. */

#include "named-private.h"

#include <utlist.h>

static int named_wait(NamedServer *n, bool for_stop, NamedWait function, void *userdata) {
        NamedWaiter *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->for_stop = for_stop;
        w->function = function;
        w->userdata = userdata;
        DL_APPEND(n->waiters, w);
        return 0;
}

static NamedWaiter *first_due(const NamedServer *n) {
        NamedWaiter *w;

        DL_FOREACH (n->waiters, w)
                if (w->due)
                        return w;
        return NULL;
}

void named_answer(NamedServer *n, bool for_stop, const char *error) {
        NamedWaiter *w;

        /* they stay in the list until it is their turn: one may be taken back by another's answer
         */
        DL_FOREACH (n->waiters, w)
                w->due |= w->for_stop == for_stop;
        while ((w = first_due(n))) {
                DL_DELETE(n->waiters, w);
                w->function(n, error, w->userdata);
                free(w);
        }
}

int named_wait_ready(NamedServer *n, NamedWait function, void *userdata) {
        bool due = n->starting || n->start_timer;

        if (due)
                return named_wait(n, false, function, userdata);
        if (n->state == NAMED_READY)
                function(n, NULL, userdata);
        else
                function(n, n->reason ?: "it has been stopped", userdata);
        return 0;
}

int named_wait_stopped(NamedServer *n, NamedWait function, void *userdata) {
        if (n->state != NAMED_STOPPED)
                return named_wait(n, true, function, userdata);
        function(n, NULL, userdata);
        return 0;
}

void named_unwait(NamedSet *set, void *userdata) {
        NamedServer *n;
        NamedWaiter *w, *next;

        DL_FOREACH (set->servers, n)
                DL_FOREACH_SAFE (n->waiters, w, next)
                        if (w->userdata == userdata) {
                                DL_DELETE(n->waiters, w);
                                free(w);
                        }
}
