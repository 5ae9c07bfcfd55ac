/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl run`: a job in place of forkctl itself. It gets our standard streams, signals that we
 * get are sent on to it over a second connection (the first waits for the end), and its exit status
 * is ours. It lives with the first connection: when forkctl dies, so does the job. Lives in
 * forkctl. */

#include "display.h"
#include "job-form.h"
#include "table.h"
#include "verb.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>

static const int forwarded[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH };

typedef struct RunVerb {
        Ctl *ctl;
        Forkd *control;           /* the second connection, made when it is needed */
        int signals;              /* signalfd */
        uint64_t id;              /* 0: not known yet */
        uint64_t early;           /* bit n: signal n came before the id */
        bool progress_overwrites; /* standard error is a terminal: one line for all of it */
        size_t progress_width;    /* columns that the last one has taken */
        bool done;
        int outcome;
        json_t *certificate;
} RunVerb;

/* ---- signals */

static int open_signals(void) {
        sigset_t set;
        int fd;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
                sigaddset(&set, forwarded[i]);
        sigaddset(&set, SIGTSTP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return fd < 0 ? -errno : fd;
}

static int control(RunVerb *v) {
        if (v->control)
                return 0;
        return ctl_connect(v->ctl, &v->control);
}

static bool asks_to_end(int signal) {
        return signal == SIGINT || signal == SIGTERM || signal == SIGQUIT || signal == SIGHUP;
}

/* 0, or an exit status when the job cannot be told and forkctl has to end for it. */
static int forward(RunVerb *v, int signal) {
        int r;

        r = control(v);
        if (r != 0)
                return asks_to_end(signal) ? STATUS_SIGNAL + signal : 0;

        r = forkd_kill(v->control, &v->id, 1, signal);
        /* nothing to signal yet: then it shall not start either */
        if (r == FORKD_E_WRONG_STATE && asks_to_end(signal))
                r = forkd_cancel(v->control, &v->id, 1);
        if (r < 0) {
                v->control = forkd_free(v->control);
                return asks_to_end(signal) ? STATUS_SIGNAL + signal : 0;
        }
        if (r > 0 && r != FORKD_E_WRONG_STATE && r != FORKD_E_NO_SUCH_JOB)
                (void)ctl_fault(v->control, r);
        return 0;
}

/* ^Z: the job is paused, then forkctl stops as the shell expects, and `fg` goes the other way. */
static void pause_both(RunVerb *v) {
        bool paused = v->id != 0 && control(v) == 0 && forkd_pause(v->control, &v->id, 1) == 0;

        kill(getpid(), SIGSTOP);
        if (paused && forkd_resume(v->control, &v->id, 1) < 0)
                (void)ctl_fault(v->control, -1);
}

static int on_signal(RunVerb *v, int signal) {
        if (signal == SIGTSTP) {
                pause_both(v);
                return 0;
        }
        if (v->id != 0)
                return forward(v, signal);
        /* asked twice to end what has not begun: going away ends it too */
        if (asks_to_end(signal) && (v->early & (UINT64_C(1) << signal)))
                return STATUS_SIGNAL + signal;
        v->early |= UINT64_C(1) << signal;
        return 0;
}

static int take_signals(RunVerb *v) {
        struct signalfd_siginfo info;
        int r = 0;

        while (r == 0 && !v->done && read(v->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
                r = on_signal(v, (int)info.ssi_signo);
        return r;
}

/* ---- the job */

static void on_state(Forkd *f _unused_, uint64_t id, const char *state _unused_,
                     int64_t pid _unused_, void *userdata) {
        RunVerb *v = userdata;

        v->id = id;
}

/* In front of anything else that we print: the line of the progress goes. */
static void clear_progress(RunVerb *v) {
        if (v->progress_width > 0)
                fprintf(stderr, "\r%*s\r", (int)v->progress_width, "");
        v->progress_width = 0;
}

static void on_progress(Forkd *f _unused_, uint64_t id _unused_, json_t *progress, void *userdata) {
        RunVerb *v = userdata;
        _cleanup_(freep) char *text = progress_text(progress), *safe = NULL;
        size_t columns, width, bytes;

        safe = text ? display_escape(text) : NULL;
        if (!safe)
                return;
        if (!v->progress_overwrites) {
                fprintf(stderr, "%s\n", safe);
                return;
        }
        /* in the last column a terminal would begin the next line */
        columns = table_terminal_width(STDERR_FILENO);
        bytes = display_fit(safe, columns > 1 ? columns - 1 : 1, &width);
        fprintf(stderr, "\r%.*s%*s", (int)bytes, safe,
                (int)(v->progress_width > width ? v->progress_width - width : 0), "");
        v->progress_width = width;
}

static void want_progress(RunVerb *v, ForkdRun *run) {
        const bool terminal = isatty(STDERR_FILENO);

        if (!options_has(&v->ctl->options, OPTION_PROGRESS) && (!terminal || v->ctl->quiet))
                return;
        v->progress_overwrites = terminal;
        run->on_progress = on_progress;
}

static void on_end(Forkd *f _unused_, int outcome, json_t *certificate, void *userdata) {
        RunVerb *v = userdata;

        clear_progress(v);
        v->done = true;
        v->outcome = outcome;
        v->certificate = json_incref(certificate);
}

/* Our own streams, unless options say otherwise. */
static int give_streams(json_t *job, int fds[static 3], size_t *ret_n) {
        static const char *const names[] = { "stdin", "stdout", "stderr" };
        size_t n = 0;
        int r = 0;

        for (int i = 0; r == 0 && i < 3; i++) {
                if (json_object_get(job, names[i]))
                        continue;
                fds[n] = i;
                r = form_set(job, names[i], json_pack("{s:i}", "descriptor", (int)n++));
        }
        *ret_n = n;
        return r;
}

static int wait_for_end(RunVerb *v) {
        Forkd *f = v->ctl->forkd;
        int r = 0;

        while (r == 0 && !v->done) {
                struct pollfd polls[] = {
                        { .fd = forkd_fd(f), .events = forkd_events(f) },
                        { .fd = v->signals, .events = POLLIN },
                };

                if (poll(polls, ELEMENTSOF(polls), -1) < 0 && errno != EINTR)
                        return ctl_errno(-errno, "cannot wait for the job");
                if (polls[0].revents)
                        (void)forkd_process(f); /* what goes wrong is told to on_end() */
                for (int s = 1; v->id != 0 && v->early != 0 && s < 64 && r == 0; s++)
                        if (v->early & (UINT64_C(1) << s)) {
                                v->early &= ~(UINT64_C(1) << s);
                                r = forward(v, s);
                        }
                if (r == 0 && !v->done && polls[1].revents)
                        r = take_signals(v);
        }
        return r;
}

static int report(RunVerb *v) {
        Ctl *ctl = v->ctl;
        const json_t *value = json_object_get(v->certificate, "value");
        const char *result;
        int status;

        if (!v->certificate)
                return job_fault(ctl, ctl->forkd, v->outcome);

        status = certificate_status(v->certificate);
        result = json_string_value(json_object_get(v->certificate, "result")) ?: "";
        if (ctl->json)
                ctl_print_json(ctl, v->certificate);
        else if (json_object_size(value) > 0)
                ctl_print_json(ctl, value);
        /* an exit status speaks for itself, as it would without us */
        if (!streq(result, "success") && !streq(result, "exit"))
                ctl_note(ctl, "job %" JSON_INTEGER_FORMAT ": %s",
                         json_integer_value(json_object_get(v->certificate, "id")),
                         certificate_sentence(v->certificate));
        return status;
}

int verb_run(Ctl *ctl) {
        RunVerb v = { .ctl = ctl, .signals = -1 };
        ForkdRun run = { .on_state = on_state, .on_end = on_end, .userdata = &v };
        int fds[3], r;

        r = job_from_options(ctl, &run.job);
        if (r == 0)
                r = give_streams(run.job, fds, &run.n_fds);
        if (r == 0) {
                run.fds = fds;
                /* what reads our output may go away; the job and its exit status have nothing to do
                 * with it */
                signal(SIGPIPE, SIG_IGN);
                v.signals = open_signals();
                r = v.signals < 0 ? ctl_errno(v.signals, "cannot receive signals") : 0;
        }
        if (r == 0) {
                want_progress(&v, &run);
                r = forkd_run_start(ctl->forkd, &run);
                r = r < 0 ? ctl_fault(ctl->forkd, r) : 0;
        }
        if (r == 0)
                r = wait_for_end(&v);
        if (r == 0)
                r = report(&v);

        json_decref(run.job);
        json_decref(v.certificate);
        forkd_free(v.control);
        close_fd(v.signals);
        return r;
}
