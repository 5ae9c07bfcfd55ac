/* SPDX-License-Identifier: Apache-2.0 */

/* The one table of verbs. Constant. Lives in forkctl. */

#include "verb.h"

#define FORMS                                                                                      \
        "[--] COMMAND [ARGUMENT…]\n"                                                             \
        "--server=NAME [ENTRY] [JSON | KEY=TEXT… | KEY:=JSON…] [-- WORD…]\n"                 \
        "--method=fork|spawn ENTRY [JSON | KEY=TEXT… | KEY:=JSON…] [-- WORD…]"

const Verb verbs[] = {
        {
                .id = VERB_SUBMIT,
                .name = "submit",
                .synopsis = FORMS "\n--file=FILE",
                .summary = "hand jobs over, and print their ids",
                .details =
                        "The daemon keeps the job until it is forgotten; its output goes to files (see "
                        "`forkctl logs`). Environment and directory are the present ones. Jobs of a file "
                        "are taken as they stand; options fill in what a line leaves out.",
                .example = "forkctl submit --timeout=10min --name=nightly -- make -C /src check\n"
                           "forkctl submit --server=spell check path=/etc/motd",
                .command = true,
                .max = SIZE_MAX,
                .function = verb_submit,
        },
        {
                .id = VERB_RUN,
                .name = "run",
                .synopsis = FORMS,
                .summary = "run a job here: with this terminal, and until its end",
                .details =
                        "Standard input, output and error are the job's. INT TERM QUIT HUP USR1 USR2 "
                        "and WINCH are passed on, TSTP pauses the job. The exit status is the job's "
                        "own. The value of an entry is printed as JSON, what it says of its progress "
                        "on standard error. Words behind -- are \"argv\" of an entry's arguments; "
                        "with --server and no entry they go to the entry main.",
                .example = "forkctl run -- sort /usr/share/dict/words\n"
                           "forkctl run --server=spell check text='a sentense'\n"
                           "forkctl run --method=spawn --server=spell check path=/etc/motd",
                .command = true,
                .max = SIZE_MAX,
                .function = verb_run,
        },
        {
                .id = VERB_LIST,
                .name = "list",
                .summary = "list jobs",
                .example = "forkctl list --state=queued,running",
                .function = verb_list,
        },
        {
                .id = VERB_SHOW,
                .name = "show",
                .synopsis = "ID",
                .summary = "show all that is known of a job",
                .example = "forkctl show 17",
                .min = 1,
                .max = 1,
                .function = verb_show,
        },
        {
                .id = VERB_WAIT,
                .name = "wait",
                .synopsis = "ID…",
                .summary = "wait until jobs have finished, and say how",
                .details =
                        "The exit status is 0 once all have finished, however they did; with --exit it "
                        "is that of the first job named that did not succeed.",
                .example = "forkctl wait --exit $(forkctl submit -- make)",
                .min = 1,
                .max = SIZE_MAX,
                .function = verb_wait,
        },
        {
                .id = VERB_LOGS,
                .name = "logs",
                .synopsis = "ID",
                .summary = "print what a submitted job has written",
                .details =
                        "Standard output goes to standard output, standard error to standard error.",
                .example = "forkctl logs -f 17",
                .min = 1,
                .max = 1,
                .function = verb_logs,
        },
        {
                .id = VERB_KILL,
                .name = "kill",
                .synopsis = "ID…",
                .summary = "send a signal to the processes of running jobs",
                .example = "forkctl kill -s USR1 17",
                .min = 1,
                .max = SIZE_MAX,
                .function = verb_kill,
        },
        {
                .id = VERB_CANCEL,
                .name = "cancel",
                .synopsis = "ID…",
                .summary = "end jobs: queued ones at once, running ones by TERM, grace, KILL",
                .example = "forkctl cancel 17 18",
                .min = 1,
                .max = SIZE_MAX,
                .function = verb_cancel,
        },
        {
                .id = VERB_PAUSE,
                .name = "pause",
                .synopsis = "ID…",
                .summary = "stop jobs where they are",
                .example = "forkctl pause 17",
                .min = 1,
                .max = SIZE_MAX,
                .function = verb_pause,
        },
        {
                .id = VERB_RESUME,
                .name = "resume",
                .synopsis = "ID…",
                .summary = "let paused jobs go on",
                .example = "forkctl resume 17",
                .min = 1,
                .max = SIZE_MAX,
                .function = verb_resume,
        },
        {
                .id = VERB_FORGET,
                .name = "forget",
                .synopsis = "ID…\n--finished",
                .summary = "forget finished jobs and their output",
                .example = "forkctl forget --finished",
                .max = SIZE_MAX,
                .function = verb_forget,
        },
        {
                .id = VERB_SERVERS,
                .name = "servers",
                .synopsis = "[list]\n"
                            "start NAME [--module=MODULE… | -- COMMAND [ARGUMENT…]]\n"
                            "stop | reload | show NAME\n"
                            "scale NAME --spare=N",
                .summary = "list, start, stop and look at forkservers",
                .details =
                        "A forkserver has preloaded modules, or is a program in any language that "
                        "speaks forkd-server(7); each of its jobs is a fork of it. It runs as whoever "
                        "starts it. Without --module and COMMAND, one that is configured is started.",
                .example = "forkctl servers start spell --module=spell\n"
                           "forkctl run --server=spell check text='a sentense'\n"
                           "forkctl servers show spell",
                .max = SIZE_MAX,
                .function = verb_servers,
        },
        {
                .id = VERB_STATUS,
                .name = "status",
                .summary = "say how the daemon and its forkservers fare",
                .example = "forkctl status",
                .function = verb_status,
        },
        {
                .id = VERB_RELOAD,
                .name = "reload",
                .summary = "have the daemon read its configuration again",
                .example = "forkctl reload",
                .function = verb_reload,
        },
        {
                .id = VERB_DRAIN,
                .name = "drain",
                .summary = "take no new work, and wait until nothing runs any more",
                .example = "forkctl drain",
                .function = verb_drain,
        },
};

const size_t n_verbs = ELEMENTSOF(verbs);
