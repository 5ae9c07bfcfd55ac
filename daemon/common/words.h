/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Splits a line into words as a shell does, without expanding anything: blanks separate, '…' is
 * literal, in "…" a backslash quotes '"' and '\', elsewhere it quotes any character. */

#include "basic.h"

#define WORDS_MAX 1024

/* NULL-terminated, owned by the caller; no words are an empty list. -EINVAL: a quote is not closed,
 * or a backslash ends the line; -E2BIG: more than WORDS_MAX. */
int words_split(const char *line, char ***ret);
