/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The order in which one turn of forkd's loop handles what is ready; lower goes first. */

enum {
        PRIORITY_RESULT = -50, /* an entry's answer: outranks the exit that follows it */
        PRIORITY_SERVER =
                -40, /* a forkserver's reports: an exit outranks the timer that would end it */
        PRIORITY_KEEPER = -30, /* orphans: after the channel of the forkserver that left them */
        PRIORITY_WORKER =
                -20, /* pidfds and cgroups of workers: only looked at when nobody reports */
        PRIORITY_SIGNAL = -10, /* TERM and HUP: before new work is taken */
        PRIORITY_CLIENT = 0,   /* connections (sd-event's default) */
        PRIORITY_TIMER = 10,   /* deadlines: whatever made them moot has been seen by now */
        PRIORITY_QUEUE = 20,   /* starts of queued jobs: once a turn, for all that was submitted */
        PRIORITY_TIDY = 100,   /* cgroups, output: when there is nothing else to do */
        PRIORITY_FLOOD = 110,  /* workers and hosts that say more than a turn takes */
};
