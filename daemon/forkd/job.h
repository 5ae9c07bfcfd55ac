/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A job: what a client wants run, how far it is, and in the end its certificate. */

#include "basic.h"
#include "certificate.h"
#include "job-spec.h"
#include "output.h"
#include "service.h"
#include "user-share.h"

#include <systemd/sd-event.h>
/* Ids are given in ascending order: they are their own best hash. */
#define HASH_FUNCTION(key, length, hash) ((hash) = (unsigned)*(const uint64_t *)(const void *)(key))
#include <uthash.h>

typedef struct Attempt Attempt;
typedef struct Daemon Daemon;
typedef struct Job Job;

typedef enum JobState {
        JOB_QUEUED,
        JOB_STARTING,
        JOB_RUNNING,
        JOB_PAUSED,
        JOB_STOPPING,
        JOB_FINISHED,
        JOB_PARKED, /* waits for another job or for its time */
        _JOB_STATE_MAX,
        _JOB_STATE_INVALID = -EINVAL,
} JobState;

const char *job_state_to_string(JobState state);
JobState job_state_from_string(const char *s);
/* The table of moves; a test walks it. */
bool job_state_may_follow(JobState from, JobState to);

/* Who submitted it, and so as whom its command runs. */
typedef struct Owner {
        uid_t uid;
        gid_t gid;
        pid_t pid;
        gid_t *groups; /* owned */
        size_t n_groups;
} Owner;

int owner_from_peer(Owner *owner, const Peer *peer);

struct Job {
        Daemon *daemon; /* borrowed */
        uint64_t id;
        JobState state;
        bool attached;              /* lives with the connection of `call`; else durable */
        JobSpec *spec;              /* owned */
        UserShare *share;           /* of its owner, who is counted in it; NULL: not yet */
        Owner owner;                /* who asked; decides who may look at it and end it */
        unsigned attempt;           /* number of the present or last one, from 1; 0: none yet */
        unsigned server_generation; /* of its named forkserver: which one the present or last
                                       attempt was ordered of; 0: none */
        unsigned start_refusals;    /* how often the forkserver could not fork (EAGAIN) */
        Attempt *running;           /* owned while there is one, else NULL */
        Call *call;       /* attached: the unanswered Run, or NULL once its client is gone */
        int fds[3];       /* attached: descriptors for stdio, by stream; owned, -1 */
        int arguments_fd; /* owned, -1 */
        uint64_t arguments_digest; /* with a key: of the bytes in it, which the job outlives */
        Output outputs[2];         /* stdout, stderr */
        uint64_t queued_at, started_at, finished_at; /* CLOCK_REALTIME, 0: not yet */
        uint64_t queued_boot, started_boot;          /* CLOCK_BOOTTIME */
        Certificate *certificate;                    /* owned, once finished */
        uint64_t queue_deadline; /* CLOCK_BOOTTIME; 0: it has not waited for a slot yet,
                                    USEC_INFINITY: none, or met */
        uint64_t not_before; /* CLOCK_BOOTTIME: no start before that, after one that was refused */
        bool ran;            /* the present attempt has got as far as running */
        sd_event_source *timer; /* queue deadline, time to start, or delay before a retry */
        struct {                /* why it is to end, once somebody or something wants that */
                bool wanted;
                Result result;
                bool by_peer;
                uid_t uid;
                pid_t pid;
                const char *note; /* static text, or NULL */
        } stop;
        Job **list; /* the one list it is in: of the queue, or the finished; NULL: none */
        Job *prev, *next;
        UT_hash_handle hh; /* all jobs by id */
        bool counted;      /* in the daemon's number of attached ones */
        bool keyed;        /* in the daemon's tree of jobs with a key */
};

/* Takes spec over, success or not. Durable unless call is given. The job is in the daemon's table
 * afterwards. */
int job_new(Job **ret, Daemon *daemon, JobSpec *spec, const Peer *peer, Call *call);
Job *job_free(Job *job);
static inline void job_freep(Job **j) {
        job_free(*j);
}

Job *job_find(Daemon *daemon, uint64_t id);
Job *job_find_key(Daemon *daemon, uid_t uid, const char *key);

/* The one setter: checks the table of moves, counts, keeps times, tells watchers and the client. */
void job_set_state(Job *job, JobState state);

/* What every certificate of this job says: times, and who cancelled it. Never NULL: without memory
 * for the truth forkd ends, and its keeper starts another. */
Certificate *job_certificate_new(const Job *job, Result result);
/* Ends a job that has no attempt under way, or whose attempt just ended: takes the certificate
 * over, answers the client, tells watchers. An attached job is freed by this. */
void job_finish(Job *job, Certificate *certificate);
/* The same for one that never got an attempt: makes the certificate. text may be NULL. */
void job_finish_unstarted(Job *job, Result result, const char *text);

/* Ends a job, whatever its state; does nothing for one that is finished or stopping. peer: who
 * wants it, or NULL; note: why, static text or NULL. */
void job_stop(Job *job, Result result, const Peer *peer, const char *note);

/* May this peer see, signal and end it? Root, the daemon's own user, and the owner may. */
bool job_permits(const Job *job, const Peer *peer);

/* One `Status` of org.forkd.jobs; with memory, that of its process is measured, which takes a
 * while. */
void job_write_status(const Job *job, JsonText *t, const char *key, bool memory);
