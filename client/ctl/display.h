/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text of strangers (names, commands, sentences) on a terminal: measured in columns, cut to fit,
 * and with nothing left in it that a terminal would obey. Needs a UTF-8 locale: display_init(). */

#include "basic.h"

/* LC_CTYPE as the environment says; when that is no UTF-8, C.UTF-8 for measuring, and "..." for
 * "…". */
void display_init(void);
/* "…" or "...". */
const char *display_ellipsis(void);
/* A copy in which control characters, other unprintable ones and bytes that are no UTF-8 are
 * written as \n, \t, \x1b, \u{202e}. NULL when out of memory. */
char *display_escape(const char *s);
/* Columns of a text that has been escaped. */
size_t display_width(const char *s);
/* How many bytes of an escaped text fit in so many columns; *ret_width: what they take. */
size_t display_fit(const char *s, size_t columns, size_t *ret_width);
