/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log lines of forkd's own processes: one sentence, lower case. When $JOURNAL_STREAM names standard
 * error, they are entries of the journal with fields of their own, and nothing waits for a journal
 * that does not read: what it has no room for goes to its stream, with a "<N>" priority as
 * sd-daemon(3) has it, and is counted where that is full, too. Else they go to standard error,
 * through a duplicate of descriptor 2 made by log_open(), so that nothing that a module does to
 * descriptor 2 hides them. Never fails. */

#include "basic.h"
#include "log-event.h"

#include <syslog.h>

/* Keeps a CLOEXEC duplicate of descriptor 2; name prefixes the lines when standard error is no
 * journal. level is the highest priority that is printed (LOG_INFO by default). */
void log_open(const char *name, int level);
void log_set_level(int level);
/* The descriptor that lines go to, or -1. Hosts of modules declare it. */
int log_fd(void);
void log_close(void);

/* What a line is about: fields of the journal. Strings are borrowed for the call. */
typedef struct LogAbout {
        uint64_t job;       /* FORKD_JOB=; 0: of none */
        const char *server; /* FORKD_SERVER=, and FORKD_GENERATION= when it is a label "spell#2" */
        const char *event;  /* MESSAGE_ID=, one of log-event.h */
} LogAbout;

#define LOG_JOB(id)       ((LogAbout){ .job = (id) })
#define LOG_SERVER(label) ((LogAbout){ .server = (label) })
#define LOG_EVENT(name)   ((LogAbout){ .event = LOG_EVENT_##name })

void log_line(int priority, int error, const char *format, ...) _printf_(3, 4);
void log_about(int priority, int error, LogAbout about, const char *format, ...) _printf_(4, 5);

#define log_debug(...)   log_line(LOG_DEBUG, 0, __VA_ARGS__)
#define log_info(...)    log_line(LOG_INFO, 0, __VA_ARGS__)
#define log_notice(...)  log_line(LOG_NOTICE, 0, __VA_ARGS__)
#define log_warning(...) log_line(LOG_WARNING, 0, __VA_ARGS__)
#define log_error(...)   log_line(LOG_ERR, 0, __VA_ARGS__)

/* The same with ": strerror(error)" appended; error may be negative. Evaluates to -abs(error), so
 * that a function can end with `return log_error_errno(r, "…");`. */
#define log_full_errno(p, e, ...)                                                                  \
        ({                                                                                         \
                int e_ = (e);                                                                      \
                log_line((p), e_, __VA_ARGS__);                                                    \
                e_ < 0 ? e_ : -e_;                                                                 \
        })
#define log_error_errno(e, ...)   log_full_errno(LOG_ERR, e, __VA_ARGS__)
#define log_warning_errno(e, ...) log_full_errno(LOG_WARNING, e, __VA_ARGS__)
#define log_debug_errno(e, ...)   log_full_errno(LOG_DEBUG, e, __VA_ARGS__)
