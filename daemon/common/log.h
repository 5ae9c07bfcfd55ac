/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Log lines of forkd's own processes: one sentence, lower case. They go to the journal's stream or
 * to standard error, through a duplicate of descriptor 2 made by log_open(), so that nothing that a
 * module does to descriptor 2 hides them. When $JOURNAL_STREAM names that stream, each line carries
 * a "<N>" priority as sd-daemon(3) has it. Never blocks for long and never fails. */

#include "basic.h"

#include <syslog.h>

/* Keeps a CLOEXEC duplicate of descriptor 2; name prefixes the lines when standard error is no
 * journal. level is the highest priority that is printed (LOG_INFO by default). */
void log_open(const char *name, int level);
void log_set_level(int level);
/* The descriptor that lines go to, or -1. Hosts of modules declare it. */
int log_fd(void);
void log_close(void);

void log_line(int priority, int error, const char *format, ...) _printf_(3, 4);

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
