/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The journal of systemd, spoken to without ever blocking: sd_journal_send() and
 * sd_journal_stream_fd() wait for a journal that does not read. No state, no descriptor that stays
 * open between two calls. */

#include "basic.h"

/* One entry in the journal's own protocol: lines "FIELD=value". 0 or -errno: -EAGAIN when the
 * journal has no room, -ENOENT or -ECONNREFUSED when there is none. Keeps errno. */
int journal_send(const char *text, size_t length);

/* A stream whose lines become entries with this identifier; a "<N>" at their head is their
 * priority. What is written to it blocks as a pipe does. The descriptor, or -errno as above. */
int journal_stream(const char *identifier);
