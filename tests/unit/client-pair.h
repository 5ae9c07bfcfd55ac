/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A connection of libforkd whose other end has said beforehand what it has to say. Each function
 * fails the test by itself. */

#include "connection.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A client and the daemon's end of its connection. */
typedef struct Pair {
        Forkd *f;
        Stream *peer;
} Pair;

#define CALL ((ForkdRequest){ .method = "a.b.C" })

void pair_open(Pair *p);
void pair_close(Pair *p);
/* *state is a Pair. */
int pair_setup(void **state);
int pair_teardown(void **state);
void say_fds(Pair *p, const char *text, const int *fds, size_t n_fds);
void say(Pair *p, const char *text);
void hear_message(Pair *p, StreamMessage *ret);
/* The next request, and nothing with it. */
void hear(Pair *p, const char *expected);
void hear_nothing(Pair *p);
/* A memfd that holds the text. */
int memfd_with(const char *text);
/* Group setup and teardown: no descriptor more than before. */
int descriptors_remember(void **state);
int descriptors_compare(void **state);
