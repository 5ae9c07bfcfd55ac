/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Unit-file syntax: [Section] and Key=value lines, comments with # or ; at the start of a line, a
 * backslash at the end of a line continues it (as one space), a key may be repeated, an empty value
 * resets a list (that is the reader's business: it sees every assignment in order). No limit on the
 * length of lines below CONF_FILE_MAX bytes. See systemd.syntax(7). */

#include "basic.h"

#define CONF_FILE_MAX ((size_t)1024 * 1024)

/* One assignment. value is trimmed. line is that of the key. A negative return ends the parse and
 * is passed up. */
typedef int (*ConfAssign)(const char *file, unsigned line, const char *section, const char *key,
                          const char *value, void *userdata);
/* What is ignored: syntax errors, one sentence each. The parse goes on. */
typedef void (*ConfWarn)(const char *file, unsigned line, const char *sentence, void *userdata);

int conf_parse_text(const char *file, const char *text, size_t length, ConfAssign assign,
                    ConfWarn warn, void *userdata);

/* Reads name ("forkd.conf") from the first of dirs (NULL-terminated, highest priority first) that
 * has it, then all of name.d/ *.conf (no space) of all dirs in the order of their file names, a
 * file of a higher directory hiding one of the same name in a lower; /dev/null or an empty file
 * masks. A missing main file is no error. Returns 0 or -errno for a file that is there and cannot
 * be read (warned too). */
int conf_parse(const char *name, const char *const *dirs, ConfAssign assign, ConfWarn warn,
               void *userdata);

/* Values, as systemd.syntax(7) and systemd.time(7) have them: 0, or -EINVAL / -ERANGE. */
int conf_parse_bool(const char *s, bool *ret); /* yes true 1 on … */
int conf_parse_unsigned(const char *s, unsigned min, unsigned max, unsigned *ret);
int conf_parse_bytes(const char *s, uint64_t *ret); /* 64M, 1G, base 1024, "infinity" */
int conf_parse_usec(const char *s,
                    uint64_t *ret); /* "30s", "1min 20s", "500ms", plain seconds, "infinity" */
