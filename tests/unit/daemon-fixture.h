/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A daemon inside the test: all of forkd but main(), in private directories, its loop turned by the
 * test; and clients on plain sockets. Every step asserts, and whoever waits turns the loop. */

#include "attempt.h"
#include "daemon.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct DaemonFixture {
        Daemon *daemon;
        char root[64];
        size_t n_fds_before;
        uint64_t deadline; /* CLOCK_MONOTONIC: the test has failed then */
} DaemonFixture;

/* conf is the text of [Daemon] in forkd.conf. With Module= in it there is a twin, so that the
 * test's main() must begin with fixture_twin(). */
void fixture_start(DaemonFixture *f, const char *conf);
/* The same for cmocka: *state is the fixture. */
int fixture_setup(void **state, const char *conf);
int fixture_teardown(void **state);
/* From now on attempts have no cgroups, as on a system without cgroup2. */
void fixture_drop_cgroups(DaemonFixture *f);
/* Ends all jobs, frees the daemon, and asserts that no process, descriptor or file is left. */
void fixture_end(DaemonFixture *f);
/* A restarted twin is this program once more: does not return then. */
void fixture_twin(int argc, char **argv);

/* Turns the loop once; that something happens is due before the deadline. */
void fixture_turn(DaemonFixture *f);
/* Turns it until nothing is to be done now. */
void fixture_settle(DaemonFixture *f);
#define fixture_until(f, condition)                                                                \
        do                                                                                         \
                while (!(condition))                                                               \
                        fixture_turn(f);                                                           \
        while (false)

/* ---- jobs, past the wire. format gives a specification in JSON, with ' for ". */

/* Made but not given to the queue. */
Job *fixture_new_job(DaemonFixture *f, const char *format, ...) _printf_(2, 3);
/* Accepted as by Submit. */
uint64_t fixture_submit(DaemonFixture *f, const char *format, ...) _printf_(2, 3);
Job *fixture_job(DaemonFixture *f, uint64_t id); /* it is there */
void fixture_wait_state(DaemonFixture *f, uint64_t id, JobState state);
const Certificate *fixture_wait(DaemonFixture *f, uint64_t id); /* until it is finished */
/* Ends it at once. */
void fixture_stop(DaemonFixture *f, uint64_t id);
/* The whole of its output file, NUL-terminated, to be freed. */
char *fixture_output(DaemonFixture *f, uint64_t id, const char *suffix);
/* The first spawner. */
struct Server *fixture_spawner(DaemonFixture *f);

/* ---- clients */

typedef struct Client {
        DaemonFixture *fixture; /* borrowed */
        int fd;
        char *text; /* received and not handed out */
        size_t length;
        int fds[4]; /* received with it, the test's */
        size_t n_fds;
} Client;

void client_open(DaemonFixture *f, Client *c);
void client_open_as(DaemonFixture *f, Client *c, uid_t uid); /* as root only */
void client_close(DaemonFixture *f, Client *c); /* and waits until the daemon has noticed */
/* method without "org.forkd."; format gives the parameters in JSON, with ' for ". */
void client_send(Client *c, const char *method, bool more, const char *format, ...) _printf_(4, 5);
/* The next reply: {"parameters": …, "error": …, "continues": …}, the caller's. */
json_t *client_receive(DaemonFixture *f, Client *c);
/* Whether one has come by the time the daemon has nothing to do. */
bool client_has_reply(DaemonFixture *f, Client *c);
/* The next reply is this error, without "org."; returns its sentence, to be freed. */
char *client_expect_error(DaemonFixture *f, Client *c, const char *error);

/* Members of the parameters of a reply, which must be there. */
json_int_t reply_integer(const json_t *reply, const char *name);
const char *reply_string(const json_t *reply, const char *name);
const json_t *reply_member(const json_t *reply, const char *name); /* or NULL */
bool reply_continues(const json_t *reply);
