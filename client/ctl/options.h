/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The one table of forkctl's options, and the command line read by it. --help is printed from it;
 * the man page and the completion are compared with it by a test. */

#include "basic.h"

typedef enum OptionId {
        OPTION_ADDRESS,
        OPTION_SYSTEM,
        OPTION_USER,
        OPTION_JSON,
        OPTION_QUIET,
        OPTION_HELP,
        OPTION_VERSION,
        OPTION_SERVER,
        OPTION_METHOD,
        OPTION_FILE,
        OPTION_KEY,
        OPTION_NAME,
        OPTION_QUEUE,
        OPTION_PRIORITY,
        OPTION_AFTER,
        OPTION_AT,
        OPTION_TIMEOUT,
        OPTION_QUEUE_TIMEOUT,
        OPTION_GRACE,
        OPTION_RETRIES,
        OPTION_RETRY_ON,
        OPTION_RETRY_DELAY,
        OPTION_DIRECTORY,
        OPTION_UMASK,
        OPTION_ENV,
        OPTION_CLEAN_ENV,
        OPTION_STDIN,
        OPTION_STDOUT,
        OPTION_STDERR,
        OPTION_LIMIT,
        OPTION_NICE,
        OPTION_AFFINITY,
        OPTION_AS,
        OPTION_STATE,
        OPTION_MAX,
        OPTION_EXIT,
        OPTION_WAIT_TIMEOUT,
        OPTION_SIGNAL,
        OPTION_FOLLOW,
        OPTION_ONLY_STDOUT,
        OPTION_ONLY_STDERR,
        OPTION_FINISHED,
        OPTION_NO_WAIT,
        OPTION_PROGRESS,
        OPTION_MODULE,
        OPTION_ARGUMENTS,
        OPTION_SPARE,
        OPTION_PRELOAD_TIMEOUT,
        OPTION_HUGE_PAGES,
        OPTION_KILL,
        _OPTION_MAX,
} OptionId;

/* Verbs as bits, in the order of the table in verb.c. */
enum {
        VERB_SUBMIT = 1 << 0,
        VERB_RUN = 1 << 1,
        VERB_LIST = 1 << 2,
        VERB_SHOW = 1 << 3,
        VERB_WAIT = 1 << 4,
        VERB_LOGS = 1 << 5,
        VERB_KILL = 1 << 6,
        VERB_CANCEL = 1 << 7,
        VERB_PAUSE = 1 << 8,
        VERB_RESUME = 1 << 9,
        VERB_FORGET = 1 << 10,
        VERB_SERVERS = 1 << 11,
        VERB_STATUS = 1 << 12,
        VERB_RELOAD = 1 << 13,
        VERB_DRAIN = 1 << 14,
        VERB_ANY = (1 << 15) - 1,
        VERB_NONE = 1 << 15, /* before a verb */
};

typedef struct OptionDefinition {
        OptionId id;
        const char *name;     /* without the dashes */
        char letter;          /* 0: none */
        const char *argument; /* "SPAN"; NULL: takes none */
        unsigned verbs;       /* VERB_* that have it */
        const char *help;
} OptionDefinition;

extern const OptionDefinition option_definitions[];
extern const size_t n_option_definitions;

/* What was given, in its order. Texts are borrowed from argv. */
typedef struct OptionValue {
        OptionId id;
        const char *text; /* NULL: takes none */
} OptionValue;

typedef struct Options {
        OptionValue *values;
        size_t n_values;
        char **arguments; /* positional ones */
        size_t n_arguments;
        bool dashes;     /* a "--" stood among them … */
        size_t n_before; /* … behind so many; without one, all of them */
} Options;

typedef struct Verb Verb;

enum {
        OPTIONS_E_INVALID = 1, /* *ret_sentence says why; to be freed */
};

/* Reads all of the command line. *ret_verb: the verb as far as it was read, or NULL; set in any
 * case. 0, OPTIONS_E_INVALID or -ENOMEM. */
int options_parse(Options *ret, const Verb **ret_verb, int argc, char **argv, char **ret_sentence);
void options_done(Options *o);

bool options_has(const Options *o, OptionId id);
/* The last one given, or NULL. */
const char *options_get(const Options *o, OptionId id);
/* The i-th that was given, or NULL. */
const char *options_get_nth(const Options *o, OptionId id, size_t i);

/* The nearest of n names that is near enough to be meant, or NULL. name(i, userdata) may return
 * NULL. */
const char *nearest_name(const char *s, size_t n,
                         const char *(*name)(size_t i, const void *userdata), const void *userdata);
