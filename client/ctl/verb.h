/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Verbs: one table of what forkctl can do, and what every verb uses. */

#include "forkd.h"
#include "options.h"

/* Exit statuses of forkctl's own; jobs add 0 … 255. */
enum {
        STATUS_OK = 0,
        STATUS_ENTRY_ERROR = 1,
        STATUS_TIMEOUT = 124,
        STATUS_FORKD = 125, /* everything that is not the job's doing */
        STATUS_NOT_RUNNABLE = 126,
        STATUS_NOT_FOUND = 127,
        STATUS_SIGNAL = 128, /* plus its number */
};

/* One run of forkctl. */
typedef struct Ctl {
        const Verb *verb;
        Options options;
        Forkd *forkd; /* connected before the verb's function is called */
        bool json, quiet;
        bool terminal; /* standard output is one */
        bool colour;
} Ctl;

struct Verb {
        unsigned id; /* VERB_* */
        const char *name;
        const char *synopsis; /* after "forkctl NAME [OPTION…]", lines separated by \n */
        const char *summary;
        const char *details;       /* more help, or NULL */
        const char *example;       /* lines of shell */
        bool command;              /* its arguments may be a command, whose options are not ours */
        size_t min, max;           /* positional arguments */
        int (*function)(Ctl *ctl); /* → exit status */
};

extern const Verb verbs[];
extern const size_t n_verbs;

int verb_submit(Ctl *ctl);
int verb_run(Ctl *ctl);
int verb_list(Ctl *ctl);
int verb_show(Ctl *ctl);
int verb_wait(Ctl *ctl);
int verb_logs(Ctl *ctl);
int verb_kill(Ctl *ctl);
int verb_cancel(Ctl *ctl);
int verb_pause(Ctl *ctl);
int verb_resume(Ctl *ctl);
int verb_forget(Ctl *ctl);
int verb_servers(Ctl *ctl);
int verb_status(Ctl *ctl);
int verb_reload(Ctl *ctl);
int verb_drain(Ctl *ctl);

/* help.c */
void help_print(FILE *out, const Verb *verb); /* NULL: of forkctl as a whole */

/* ctl.c. Complaints go to standard error as "forkctl: sentence" and give an exit status. */
int ctl_error(const char *format, ...) _printf_(1, 2);
/* Nothing to do with the user's input: out of memory and the like. */
int ctl_errno(int r, const char *what);
/* What a function of libforkd has returned. */
int ctl_fault(const Forkd *f, int r);
/* Usage: adds where to read on. */
int ctl_usage(const Ctl *ctl, const char *format, ...) _printf_(2, 3);
void ctl_note(const Ctl *ctl, const char *format, ...) _printf_(2, 3); /* unless --quiet */
/* Another connection like the first; 0 or the exit status of a complaint already made. */
int ctl_connect(const Ctl *ctl, Forkd **ret);
/* JSON on standard output: on a terminal over several lines, else in one. */
void ctl_print_json(const Ctl *ctl, const json_t *json);
/* A text on a terminal: escaped (and NULL if there is no memory). */
void ctl_print_escaped(FILE *out, const char *text);

/* The positional arguments as ids: 0 and *ret (to be freed), or an exit status. */
int ctl_ids(const Ctl *ctl, uint64_t **ret);

/* certificate.c: the exit status that says how a job ended. */
int certificate_status(const json_t *certificate);
/* A few words for a table: its sentence. */
const char *certificate_sentence(const json_t *certificate);

#define SERVER_TEXT_MAX 128

/* What a job does, in one line, from its status: its command, or its entry. To be freed; NULL when
 * out of memory. */
char *job_work_text(const json_t *status);

/* "spell#2"; "spell" without a generation. NULL when there is no server. */
const char *server_text(char buffer[static SERVER_TEXT_MAX], const json_t *object,
                        const char *field);
/* What an entry says of its progress, in one line. To be freed; NULL when out of memory. */
char *progress_text(const json_t *progress);

/* job-form.c: the job that options and arguments describe. 0 or an exit status. */
int job_from_options(const Ctl *ctl, json_t **ret);
/* job-work.c: what the daemon has answered to it, with what would have worked if forkctl knows. */
int job_fault(const Ctl *ctl, const Forkd *f, int r);
/* Puts what options say into a job that comes from a file, where it says nothing itself. */
int job_complete_from_options(const Ctl *ctl, json_t *job);
