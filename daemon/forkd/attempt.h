/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One start of a process that a forkserver forks for us, from the order to fork to its acknowledged
 * end: of a job's worker, of a spare, or of the host of a named forkserver. It outlives its job
 * where processes that the job left behind are still being ended. */

#include "basic.h"
#include "cgroup.h"
#include "job.h"
#include "packet.h"

typedef struct Order Order;
typedef struct Server Server;

typedef enum AttemptKind {
        ATTEMPT_JOB,   /* a job's worker; also one that was a spare */
        ATTEMPT_SPARE, /* a worker without a job: see spare.h */
        ATTEMPT_HOST,  /* the process of a named forkserver: see host.h */
} AttemptKind;

typedef enum AttemptPhase {
        ATTEMPT_ORDERED,    /* the order is out, nobody has confirmed it */
        ATTEMPT_RUNNING,    /* confirmed: pid and pidfd are known */
        ATTEMPT_TERMINATED, /* told to end, in its grace */
        ATTEMPT_KILLED,     /* SIGKILLed */
        ATTEMPT_ENDED,      /* its leader is a zombie; what it left behind is being ended */
} AttemptPhase;

struct Attempt {
        Daemon *daemon; /* borrowed */
        AttemptKind kind;
        Job *job;        /* borrowed; NULL without one, or once the job has ended */
        uint64_t job_id; /* 0: none */
        unsigned number;
        uint64_t key_id;     /* what its forkserver calls it: the job's id, or 0 … */
        unsigned key_number; /* … and the attempt's number, or one of the forkserver's own */
        AttemptPhase phase;
        bool paused;
        bool orphan;          /* its forkserver is gone: the keeper tells of its end */
        bool untrusted;       /* its forkserver is another user's code: see trust.h */
        bool adopted;         /* it was a spare, and got its job's Adopt and Call */
        Server *server;       /* borrowed; NULL when orphan */
        Server *host;         /* ATTEMPT_HOST: which forkserver it is the process of; borrowed */
        Attempt *prev, *next; /* in the server's list, or the orphans' */
        Attempt *spare_prev, *spare_next; /* in the server's list of spares that are ready */
        bool counted;                     /* in the server's number of spares */
        bool unwanted;  /* in the server's number of those that nobody waits for any more */
        int token;      /* eventfd; -1 once confirmed, and of a former spare once it has ended */
        Cgroup *cgroup; /* owned; NULL without cgroups */
        pid_t pid;      /* 0: unknown, or never verified */
        uint64_t start_time;
        int pidfd;
        int slot;                 /* in the running table, -1 */
        uint64_t ordered_at;      /* CLOCK_MONOTONIC */
        uint64_t pending_signals; /* asked for before the pid was known, bit n-1 for signal n */
        int channel;              /* forkd's end of an entry's channel, -1 */
        sd_event_source *channel_source, *timer, *cgroup_source, *pidfd_source;
        uint64_t left_behind_since; /* CLOCK_MONOTONIC: when what it left behind was told to end */
        void (*left_behind_done)(Attempt *a);
        char *value; /* the entry's answer */
        size_t value_length;
        char *raised_code, *raised_text;
        bool answered;
        struct { /* a step of the plan that failed in the worker, as it said itself */
                char *stage, *text; /* NULL: none has */
                int error;
        } failure;
};

/* Orders a start of the job on a forkserver. On success the job is `starting`. 0, or -errno when
 * not even the order could be made. */
int attempt_start(Job *job, Server *server);
/* The process of a named forkserver's generation. plan holds the JSON object of the plan and its
 * descriptors (host.c writes it); id, attempt, token and cgroup are added to it here. *ret is
 * borrowed from the spawner's list: host_failed() or host_ended() say when it is no more. */
int attempt_start_host(Daemon *daemon, Server *spawner, Order *plan, Server *host, Attempt **ret);
Attempt *attempt_free(Attempt *a);

/* What the forkserver or the keeper says. */
void attempt_started(Attempt *a, pid_t pid, uint64_t start_time, int pidfd /* taken over */);
typedef struct AttemptEnd {
        pid_t pid;
        int code; /* CLD_EXITED, CLD_KILLED, CLD_DUMPED; 0: unknown */
        int status;
        bool has_usage;
        uint64_t user_usec, system_usec;
        const char *note; /* code 0: why nobody knows */
} AttemptEnd;
void attempt_exited(Attempt *a, const AttemptEnd *end);
void attempt_failed(Attempt *a, const char *stage, int error, const char *text);
/* Its forkserver is gone. */
void attempt_orphaned(Attempt *a);
/* It is an orphan, and the keeper that would tell of its end is gone, too. */
void attempt_keeper_gone(Attempt *a);
/* Its forkserver is held up by another start: if it has not begun to run, its job is queued again.
 */
void attempt_order_again(Attempt *a);
/* Its start takes so long that others suffer: ends it as setup-failed, if it has a cgroup. */
void attempt_give_up(Attempt *a);

/* TERM now, KILL of everything after the grace; before a pid is known, the token decides. */
void attempt_stop(Attempt *a, uint64_t grace_usec);
/* KILL of everything now. */
void attempt_kill(Attempt *a);
/* To the worker's process group, as soon as it has one. */
int attempt_signal(Attempt *a, int signal);
int attempt_freeze(Attempt *a, bool freeze);
