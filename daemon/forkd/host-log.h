/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the processes of a named forkserver write to standard output and error: goes line by line
 * into forkd's log, and the last lines are kept for servers.Show. */

#include "basic.h"
#include "json-text.h"

#include <systemd/sd-event.h>

#define HOST_LINES      50   /* kept */
#define HOST_LINE_MAX   1024 /* bytes; a longer one becomes several */
#define HOST_LINES_RATE 100  /* a second; what is more is left out, and counted */

/* The last lines of all generations of a forkserver; it owns them. */
typedef struct HostLines HostLines;
/* The pipe of one generation, which owns it. */
typedef struct HostLog HostLog;

int host_lines_new(HostLines **ret);
HostLines *host_lines_free(HostLines *lines);
void host_lines_clear(HostLines *lines);
/* An array, oldest first. */
void host_lines_write(const HostLines *lines, JsonText *t, const char *key);

/* lines is borrowed, label copied; *ret_write_end is the caller's. */
int host_log_new(HostLog **ret, sd_event *event, const char *label, HostLines *lines,
                 int *ret_write_end);
HostLog *host_log_free(HostLog *log);
/* What comes from now on is logged, but not kept. */
void host_log_detach(HostLog *log);
/* Takes what is in the pipe now; half a line at its end counts as one. */
void host_log_drain(HostLog *log);
/* The last line that was not blank, as it was logged, or NULL. */
const char *host_log_last(const HostLog *log);
