/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A keeper in a child process with a fake forkd and a fake service manager, and what tests say to
 * them and hear of them. What does not come within 20 s fails the test. */

#include "keeper-internal.h"

#include <limits.h>

typedef struct Fixture {
        char dir[64];
        int listener; /* for fake forkds */
        int manager;  /* NOTIFY_SOCKET */
        int forkd;    /* the fake that is running */
        pid_t keeper, forkd_pid;
        int n_fds;
        KeeperOptions options;
        char *argv[3];
        char exe[PATH_MAX];
} Fixture;

/* cmocka's setup and teardown. At the end nothing may be left, not even a zombie: the test program
 * is a child subreaper. */
int fixture_make(void **state);
int fixture_end(void **state);
/* A keeper that has "listen" in its store. */
void start_keeper(Fixture *f);
/* The next line of the fake forkd. */
const char *hear(Fixture *f);
void expect(Fixture *f, const char *expected);
/* Waits for the next forkd to come; hears its first line. */
void expect_start(Fixture *f);
/* The same, and the first records of the handing over. */
void expect_hello(Fixture *f, int number);
/* A start with nothing special to hand over. */
void expect_begin(Fixture *f, int number);
/* An order to the fake forkd. */
void say(Fixture *f, const char *format, ...) _printf_(2, 3);
/* Lets it make an orphan that lives: kind is "sleeper" or, ignoring SIGTERM, "stubborn". */
pid_t make_sleeper(Fixture *f, const char *kind);
/* The next datagram to the service manager that begins with start. */
void expect_notify(Fixture *f, const char *start);
/* The keeper exits with that status. */
void expect_end(Fixture *f, int expected);
/* The fake forkd ends cleanly, and so does the keeper. */
void end_well(Fixture *f);
