/* SPDX-License-Identifier: Apache-2.0 */

/* The one table of forkctl's options. Constant. Lives in forkctl. */

#include "options.h"

#define JOB (VERB_SUBMIT | VERB_RUN)

/* clang-format off */
const OptionDefinition option_definitions[] = {
        { OPTION_SERVER, "server", 0, "NAME", JOB, "run an entry of this forkserver" },
        { OPTION_METHOD, "method", 'm', "METHOD", JOB, "start method: spawn (a command, or an entry in a fresh process), fork (entries of the daemon's modules) or forkserver" },
        { OPTION_FILE, "file", 0, "FILE", VERB_SUBMIT, "read jobs from FILE, one JSON object a line; - is standard input" },
        { OPTION_KEY, "key", 0, "KEY", VERB_SUBMIT, "submit at most once under this key" },
        { OPTION_NAME, "name", 'n', "TEXT", JOB, "name of the job, for people" },
        { OPTION_QUEUE, "queue", 'Q', "NAME", VERB_SUBMIT, "queue to wait in" },
        { OPTION_PRIORITY, "priority", 'p', "N", JOB, "-20 (first) to 19 (last); 0 unless given" },
        { OPTION_AFTER, "after", 0, "ID[:finished]", VERB_SUBMIT, "start when job ID has succeeded, or just finished; may be repeated" },
        { OPTION_AT, "at", 0, "TIME", VERB_SUBMIT, "start no sooner: +5min, 14:30, \"2026-03-01 14:30\", @SECONDS" },
        { OPTION_TIMEOUT, "timeout", 't', "SPAN", JOB, "end the job when it has run that long: 30s, 1min 20s, 500ms" },
        { OPTION_QUEUE_TIMEOUT, "queue-timeout", 0, "SPAN", JOB, "give up when it has not started by then" },
        { OPTION_GRACE, "grace", 0, "SPAN", JOB, "time between TERM and KILL; 10s unless given" },
        { OPTION_RETRIES, "retries", 'r', "N", VERB_SUBMIT, "try up to N more times" },
        { OPTION_RETRY_ON, "retry-on", 0, "RESULTS", VERB_SUBMIT, "which results are tried again: exit,signal,timeout,oom,server-failed,lost" },
        { OPTION_RETRY_DELAY, "retry-delay", 0, "SPAN", VERB_SUBMIT, "time before the next try" },
        { OPTION_DIRECTORY, "directory", 'C', "DIR", JOB, "working directory; the present one unless given" },
        { OPTION_UMASK, "umask", 0, "MODE", JOB, "file mode creation mask, octal; 0022 unless given" },
        { OPTION_ENV, "env", 'E', "NAME[=VALUE]", JOB, "set a variable, or pass the present one on; may be repeated" },
        { OPTION_CLEAN_ENV, "clean-env", 0, NULL, JOB, "pass on no variables but those of --env" },
        { OPTION_STDIN, "stdin", 0, "WHERE", JOB, "null or a path" },
        { OPTION_STDOUT, "stdout", 0, "WHERE", JOB, "null, file (kept by forkd), a path, or append:PATH" },
        { OPTION_STDERR, "stderr", 0, "WHERE", JOB, "the same, or stdout" },
        { OPTION_LIMIT, "limit", 'l', "NAME=VALUE", JOB, "resource limit: NOFILE=1024, CORE=infinity, AS=64M:1G (soft:hard); may be repeated" },
        { OPTION_NICE, "nice", 0, "N", JOB, "nice level of the job" },
        { OPTION_AFFINITY, "affinity", 0, "CPUS", JOB, "CPUs to run on: 0,2-3" },
        { OPTION_AS, "as", 0, "USER", JOB, "run as this user (root only)" },

        { OPTION_PROGRESS, "progress", 0, NULL, VERB_RUN, "print what an entry says of its progress, even when standard error is no terminal" },

        { OPTION_STATE, "state", 's', "STATES", VERB_LIST, "only jobs in these states: queued,running" },
        { OPTION_QUEUE, "queue", 'Q', "NAME", VERB_LIST, "only jobs of this queue" },
        { OPTION_NAME, "name", 'n', "TEXT", VERB_LIST, "only jobs of this name" },
        { OPTION_MAX, "limit", 'l', "N", VERB_LIST, "at most N jobs" },

        { OPTION_EXIT, "exit", 0, NULL, VERB_WAIT, "exit as the first job that did not succeed, as run would" },
        { OPTION_WAIT_TIMEOUT, "timeout", 't', "SPAN", VERB_WAIT, "give up after that long, with exit status 124" },

        { OPTION_FOLLOW, "follow", 'f', NULL, VERB_LOGS, "go on until the job has finished" },
        { OPTION_ONLY_STDOUT, "stdout", 0, NULL, VERB_LOGS, "only what it wrote to standard output" },
        { OPTION_ONLY_STDERR, "stderr", 0, NULL, VERB_LOGS, "only what it wrote to standard error, on standard output" },

        { OPTION_SIGNAL, "signal", 's', "SIGNAL", VERB_KILL, "name or number; TERM unless given" },

        { OPTION_FINISHED, "finished", 0, NULL, VERB_FORGET, "all of one's own finished jobs" },

        { OPTION_MODULE, "module", 0, "MODULE", VERB_SERVERS, "start: preload this module, a name or a path; may be repeated" },
        { OPTION_ARGUMENTS, "arguments", 0, "JSON", VERB_SERVERS, "start: an object that the forkserver gets" },
        { OPTION_ENV, "env", 'E', "NAME[=VALUE]", VERB_SERVERS, "start: set a variable, or pass the present one on; may be repeated" },
        { OPTION_SPARE, "spare", 0, "N", VERB_SERVERS, "start, scale: how many workers are kept forked ahead of need" },
        { OPTION_PRELOAD_TIMEOUT, "preload-timeout", 0, "SPAN", VERB_SERVERS, "start: give up when it is not ready by then" },
        { OPTION_HUGE_PAGES, "huge-pages", 0, NULL, VERB_SERVERS, "start: preload into huge pages, so that large forkservers fork faster" },
        { OPTION_KILL, "kill", 0, NULL, VERB_SERVERS, "stop: end the jobs that run, too" },

        { OPTION_NO_WAIT, "no-wait", 0, NULL, VERB_DRAIN, "do not wait until nothing runs any more" },

        { OPTION_ADDRESS, "address", 'a', "ADDRESS", VERB_ANY | VERB_NONE, "socket of the daemon: a path or unix:PATH" },
        { OPTION_SYSTEM, "system", 0, NULL, VERB_ANY | VERB_NONE, "talk to the system's daemon" },
        { OPTION_USER, "user", 0, NULL, VERB_ANY | VERB_NONE, "talk to the user's own daemon" },
        { OPTION_JSON, "json", 'j', NULL, VERB_ANY | VERB_NONE, "print JSON" },
        { OPTION_QUIET, "quiet", 'q', NULL, VERB_ANY | VERB_NONE, "say nothing but what was asked for, and errors" },
        { OPTION_HELP, "help", 'h', NULL, VERB_ANY | VERB_NONE, "show this help" },
        { OPTION_VERSION, "version", 0, NULL, VERB_ANY | VERB_NONE, "show the version" },
};
/* clang-format on */

const size_t n_option_definitions = ELEMENTSOF(option_definitions);
