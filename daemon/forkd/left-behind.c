/* SPDX-License-Identifier: Apache-2.0 */

/* Ends what jobs leave behind; works on an attempt whose leader is a zombie, in forkd. With a
 * cgroup the kernel says when it is empty. Without one, /proc is looked through for the leader's
 * session, at short intervals. */

#include "left-behind.h"

#include "attempt-private.h"
#include "daemon.h"
#include "log.h"
#include "process-id.h"

#include <dirent.h>
#include <signal.h>

#define TERM_USEC    (2 * USEC_PER_SEC)   /* from TERM to KILL */
#define LOOK_USEC    (20 * USEC_PER_MSEC) /* without a cgroup: from look to look */
#define GIVE_UP_USEC (10 * USEC_PER_SEC)  /* after KILL */
#define SHORT_USEC   USEC_PER_SEC
#define SHORT_PIDS   200

/* 1 when pid is a living process of the leader's session, and then signalled unless signal is 0. */
static unsigned session_member_signal(pid_t pid, pid_t leader, int signal) {
        _cleanup_(close_fdp) int pidfd = -1;
        uint64_t start_time;
        pid_t session;
        char state;

        if (pid == leader || process_stat(pid, NULL, NULL, &session, &state, &start_time) < 0 ||
            session != leader || state == 'Z' || state == 'X')
                return 0;
        if (signal != 0) {
                pidfd = process_open(pid, start_time);
                if (pidfd >= 0)
                        (void)process_signal(pidfd, signal);
        }
        return 1;
}

/* Processes of the leader's session, zombies and the leader left out; signal 0 only counts. */
static unsigned session_signal(pid_t leader, int signal) {
        DIR *d = opendir("/proc");
        struct dirent *e;
        unsigned n = 0;

        if (!d)
                return 0;
        while ((e = readdir(d))) {
                pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

                if (pid > 0)
                        n += session_member_signal(pid, leader, signal);
        }
        closedir(d);
        return n;
}

/* The newest pid of all; -1 when unknown. See proc(5), loadavg. */
static pid_t newest_pid(void) {
        _cleanup_(close_fdp) int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
        char text[128], *last;
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

        if (n <= 0)
                return -1;
        text[n] = '\0';
        last = strrchr(text, ' ');
        return last ? (pid_t)strtol(last + 1, NULL, 10) : -1;
}

/* Pids are given in ascending order, so within the time that they need to wrap (2 s at the least)
 * all descendants of a leader have pids between its own and the newest: a few looks instead of all
 * of /proc for every short job. */
static unsigned session_count_short(const Attempt *a) {
        pid_t newest = newest_pid();
        unsigned n = 0;

        if (now_usec(CLOCK_MONOTONIC) - a->ordered_at > SHORT_USEC || newest < a->pid ||
            newest - a->pid > SHORT_PIDS)
                return session_signal(a->pid, 0);
        for (pid_t pid = a->pid + 1; pid <= newest; pid++)
                n += session_member_signal(pid, a->pid, 0);
        return n;
}

unsigned left_behind_kill_session(pid_t leader, int signal) {
        (void)kill(-leader, signal);
        return session_signal(leader, signal);
}

/* Nobody else can have its pid: the leader has not been reaped, which that of an untrusted
 * forkserver may have been. */
static bool pid_is_ours(const Attempt *a) {
        return a->pid > 0 && (!a->untrusted || process_signal(a->pidfd, 0) == 0);
}

void left_behind_kill(const Attempt *a) {
        if (!a->untrusted) {
                (void)left_behind_kill_session(a->pid, SIGKILL);
                if (a->pidfd >= 0) /* a newborn may have no session of its own yet */
                        (void)process_signal(a->pidfd, SIGKILL);
        } else if (pid_is_ours(a)) {
                (void)process_signal(a->pidfd, SIGKILL);
                (void)session_signal(a->pid, SIGKILL);
        }
}

unsigned left_behind_count(const Attempt *a) {
        pid_t pids[16];
        int n;

        if (!a->cgroup)
                return pid_is_ours(a) ? session_count_short(a) : 0;
        if (cgroup_populated(a->cgroup) <= 0)
                return 0;
        n = cgroup_pids(a->cgroup, pids, ELEMENTSOF(pids));
        return n > 0 ? (unsigned)n : 1;
}

static void left_behind_signal(Attempt *a, int signal) {
        if (!a->cgroup) {
                if (pid_is_ours(a))
                        (void)session_signal(a->pid, signal);
        } else if (signal == SIGKILL)
                (void)cgroup_kill(a->cgroup);
        else {
                (void)cgroup_freeze(a->cgroup, false);
                (void)cgroup_signal(a->cgroup, signal);
        }
}

static void left_behind_gone(Attempt *a) {
        a->timer = sd_event_source_disable_unref(a->timer);
        a->cgroup_source = sd_event_source_disable_unref(a->cgroup_source);
        a->left_behind_done(a);
}

static int on_cgroup_events(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Attempt *a = userdata;

        (void)source;
        (void)fd;
        (void)events;
        if (cgroup_populated(a->cgroup) <= 0)
                left_behind_gone(a);
        return 0;
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        Attempt *a = userdata;
        uint64_t since = now_usec(CLOCK_MONOTONIC) - a->left_behind_since;
        char text[96];

        (void)usec;
        if (left_behind_count(a) == 0) {
                left_behind_gone(a);
                return 0;
        }

        if (since >= TERM_USEC)
                left_behind_signal(a, SIGKILL);
        if (since >= TERM_USEC + GIVE_UP_USEC) {
                log_about(LOG_WARNING, 0, attempt_about(a, LOG_EVENT_JOB_UNKILLABLE),
                          "%s: processes that it left behind were killed and are still there",
                          attempt_text(a, text));
                left_behind_gone(a);
                return 0;
        }
        if (sd_event_source_set_time_relative(
                    source, a->cgroup && since < TERM_USEC ? TERM_USEC - since : LOOK_USEC) < 0 ||
            sd_event_source_set_enabled(source, SD_EVENT_ONESHOT) < 0)
                left_behind_gone(a);
        return 0;
}

int left_behind_end(Attempt *a, bool at_once, void (*done)(Attempt *a)) {
        int r;

        a->left_behind_done = done;
        a->left_behind_since = now_usec(CLOCK_MONOTONIC) - (at_once ? TERM_USEC : 0);
        left_behind_signal(a, at_once ? SIGKILL : SIGTERM);

        r = sd_event_add_time_relative(a->daemon->event, &a->timer, CLOCK_MONOTONIC, LOOK_USEC,
                                       1000, on_look, a);
        if (r >= 0 && a->cgroup) {
                r = sd_event_add_io(a->daemon->event, &a->cgroup_source,
                                    cgroup_events_fd(a->cgroup), EPOLLPRI, on_cgroup_events, a);
                if (r >= 0)
                        (void)sd_event_source_set_priority(a->cgroup_source, PRIORITY_WORKER);
        }
        if (r < 0) {
                a->timer = sd_event_source_disable_unref(a->timer);
                left_behind_signal(a, SIGKILL);
                return r;
        }
        return 0;
}
