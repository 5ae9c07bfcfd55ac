/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text of complaints: sentences of bounded length that stay valid UTF-8, and what a misspelt name
 * may have meant. s is taken to be UTF-8. */

#include "basic.h"

#include <stdarg.h>

/* snprintf() that never leaves half a character of several bytes at a cut. */
void text_format(char *buffer, size_t size, const char *format, ...) _printf_(3, 4);
void text_formatv(char *buffer, size_t size, const char *format, va_list ap) _printf_(3, 0);
/* How much of s to print, in bytes, when it shall be at most max: for "%.*s". */
int text_cut(const char *s, size_t max);
/* names ends with NULL. */
bool text_in_list(const char *s, const char *const *names);
/* The name that s may have meant, or NULL when none is close. */
const char *text_nearest(const char *s, const char *const *names);
