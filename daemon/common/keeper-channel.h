/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What forkd and its keeper say to each other: fixed binary records over one SEQPACKET socketpair,
 * the number of forkd's end in $FORKD_KEEPER. All sends are nonblocking. Both ends are of the same
 * version: the keeper starts forkd. */

#include "basic.h"

#include <sys/resource.h>

#define KEEPER_NAME_MAX 64

typedef enum KeeperType {
        /* forkd → keeper */
        KEEPER_READY = 1,   /* serving; text goes to systemd as STATUS= */
        KEEPER_ALIVE,       /* the loop turns; sent every watchdog_usec / 3 */
        KEEPER_STATUS,      /* text goes to systemd as STATUS= */
        KEEPER_STORE,       /* keep the attached descriptor under name, replacing what had it */
        KEEPER_DROP,        /* forget name */
        KEEPER_ACKNOWLEDGE, /* reap the orphan pid */
        KEEPER_NOT_OURS,    /* the orphan is of no job: reap it when it ends */
        KEEPER_STOPPING,    /* on the way out: do not restart; STOPPING=1 */
        KEEPER_UPGRADE,     /* reserved */
        KEEPER_RELOADING,   /* RELOADING=1 to systemd, until the next KEEPER_READY */
        /* keeper → forkd */
        KEEPER_HELLO = 64, /* first: value is the number of this start of forkd, from 1; usec the
                            * watchdog interval forkd has to beat (0: none) */
        KEEPER_STORED,     /* one for each descriptor kept, attached, with its name */
        KEEPER_ORPHAN,     /* a living process has come to the keeper: pid, start_time */
        KEEPER_ENDED, /* an orphan is a zombie, kept until ACKNOWLEDGE or NOT_OURS: pid, start_time,
                       * code (CLD_*), status, usage */
        KEEPER_BEGIN, /* all of STORED and the orphans at start have been sent */
} KeeperType;

typedef struct KeeperRecord {
        uint32_t type; /* KeeperType */
        int32_t pid;
        uint64_t start_time; /* as field 22 of /proc/PID/stat, clock ticks since boot */
        uint64_t usec;
        int32_t value;
        int32_t code, status;
        struct rusage usage;
        char name[KEEPER_NAME_MAX]; /* NUL-terminated */
        char text[256];             /* NUL-terminated */
} KeeperRecord;

enum {
        KEEPER_E_AGAIN = 1, /* nothing to read, or no room */
        KEEPER_E_CLOSED,
        KEEPER_E_INVALID, /* a record of the wrong size, unterminated text, or truncated descriptors
                           */
};

/* fd_attached: -1 for none; stays the caller's. */
int keeper_record_send(int channel, const KeeperRecord *record, int fd_attached);
/* *ret_fd is -1 or a CLOEXEC descriptor, the caller's. */
int keeper_record_receive(int channel, KeeperRecord *ret, int *ret_fd);
