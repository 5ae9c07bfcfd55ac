/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Figures for people, and figures from people. */

#include "basic.h"

#define FORMAT_MAX 64

/* "512 µs", "3 ms", "1.5 s", "1 min 20 s", "2 h 5 min", "3 d 4 h". Return buffer. */
const char *format_span(char buffer[static FORMAT_MAX], uint64_t usec);
/* "12 B", "3.4 KiB", "12.3 MiB" */
const char *format_bytes(char buffer[static FORMAT_MAX], uint64_t bytes);
/* A time since 1970, local: "2026-03-01 14:03:12". */
const char *format_time(char buffer[static FORMAT_MAX], uint64_t usec);
/* "SIGSEGV", "SIGRTMIN+3", "signal 99" */
const char *format_signal(char buffer[static FORMAT_MAX], int signal);
/* The words of a command, quoted as a shell would need them. NULL when out of memory. */
char *format_command(const char *const *words, size_t n);

/* As systemd.time(7): "30s", "1min 20s", "500ms", "1.5h"; a number alone is seconds; "infinity" is
 * USEC_INFINITY. 0 or -EINVAL, -ERANGE. */
int parse_span(const char *s, uint64_t *ret_usec);
/* A time to come, in microseconds since 1970: "now", "+5min", "@UNIXSECONDS", "14:30", "14:30:15",
 * "2026-03-01", "2026-03-01 14:30[:15]" (local). A time of day that has passed is tomorrow's. */
int parse_time(const char *s, uint64_t now_usec, uint64_t *ret_usec);
/* "9", "KILL", "SIGKILL", "RTMIN+3" → 1 … 64, or -EINVAL. */
int parse_signal(const char *s);
/* Decimal digits and nothing else. 0, -EINVAL or -ERANGE. */
int parse_integer(const char *s, int64_t min, int64_t max, int64_t *ret);
