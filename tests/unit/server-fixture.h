/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The tests' forkd: a process that runs serve(), and the other end of its channel. Every step
 * asserts. */

#include "basic.h"

#include "packet.h"
#include "serve.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Fixture {
        int channel;
        pid_t pid;
        int n_fds; /* of this process, before */
} Fixture;

/* What came of an attempt. */
typedef struct Outcome {
        bool failed;
        bool started;
        char code[16]; /* exited, killed, dumped; or the stage */
        int status;    /* or the errno */
        int pid;
        char text[256];
} Outcome;

/* One start of a command: descriptors are duplicated into the packet as 0 (the token), then those
 * of fds. */
typedef struct Order {
        uint64_t id;
        json_t *plan; /* taken over */
        const int *fds;
        size_t n_fds;
        int cgroup;       /* 1 + index in fds; 0: none */
        bool token_taken; /* before the order is sent */
} Order;

/* One start of a worker of entries, and what it is adopted with: descriptors as above. */
typedef struct WorkerOrder {
        uint64_t id;
        const char *title; /* at birth */
        int cgroup;        /* a descriptor; 0: none */
        bool tell;
        json_t *plan; /* taken over */
        const int *fds;
        size_t n_fds;
        bool token_taken;
} WorkerOrder;

/* What a test's program goes on with. */
typedef int (*ProgramMain)(int argc, char **argv);

void fixture_start(Fixture *f, const char *name, const ModuleSet *modules);
/* serve() as these say, on a channel of the fixture's. */
void fixture_start_options(Fixture *f, const ServeOptions *options, ProgramMain program);
/* The same with serve_worker(), on the channel of one worker. */
void fixture_start_worker(Fixture *f, const ServeOptions *options, ProgramMain program);
/* Closes the channel and waits for serve(), whose exit status it returns. Asserts that no
 * descriptor is left. */
int fixture_end(Fixture *f);

void fixture_send(Fixture *f, const char *method, json_t *parameters, const int *fds, size_t n_fds);
void fixture_receive(Fixture *f, Packet *ret);
/* Sends Fork; returns the token, the caller's. */
int fixture_order(Fixture *f, const Order *order);
/* Sends Fork of a worker; returns its channel, the caller's. */
int fixture_fork(Fixture *f, const WorkerOrder *order);
/* Sends Adopt on it; returns the token, the caller's. */
int channel_adopt(int channel, const WorkerOrder *order);
/* Of a one-shot host. plan: JSON. */
void channel_adopt_one_shot(int channel, const char *plan);
void channel_send(int channel, const char *method, json_t *parameters);
void fixture_acknowledge(Fixture *f, uint64_t id);
/* Waits for Exited or Failed, noting Started. Not acknowledged. */
void fixture_outcome(Fixture *f, uint64_t id, Outcome *ret);
/* All of it: order, outcome, acknowledge. */
void fixture_run(Fixture *f, const Order *order, Outcome *ret);
void fixture_run_plan(Fixture *f, json_t *plan, Outcome *ret);
void outcome_assert_exited(const Outcome *o, int status);
void outcome_assert_failed(const Outcome *o, const char *stage, int error, const char *text);
/* For cmocka: a forkserver without modules, whose Ready has been read; *state is its Fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* A plan of a command with an empty environment in "/", its streams /dev/null. */
json_t *plan_of_command(const char *argument, ...);
/* Runs it with output to a pipe and returns what it wrote, to be freed. */
char *fixture_output(Fixture *f, json_t *plan, Outcome *ret);
/* A fresh cgroup below our own, as an O_PATH descriptor, with its path to rmdir() and free; -1 and
 * NULL where there is no cgroup2 to write to. */
int make_cgroup(char **ret_path);
/* The number of open descriptors of this process. */
int count_fds(void);
/* Waits until poll() says that fd is readable. */
void wait_readable(int fd);
