/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Workers of entries for tests: a forkserver that has preloaded the module misbehave, and calls of
 * its entries. Every step asserts. */

#include "server-fixture.h"

typedef struct WorkerState {
        Fixture fixture;
        ModuleSet *modules;
} WorkerState;

/* One call: what was answered ("" when the channel just ended), and how the worker ended. */
typedef struct Answer {
        Packet packet;
        char method[16];
        Outcome outcome;
} Answer;

/* For cmocka: modules are loaded once, each test has a forkserver of its own. */
int worker_setup_group(void **state);
int worker_teardown_group(void **state);
int worker_setup(void **state);
int worker_teardown(void **state);
json_t *plan_of_entry(void);
/* Orders a worker and has it adopted; *ret_channel is the caller's end. */
void entry_order(Fixture *f, json_t *plan, int *ret_channel);
/* The answer, or the end of the channel. Progress is counted. */
int entry_receive(int channel, Answer *ret);
void entry_finish(Fixture *f, int channel, Answer *ret);
int entry_run(void **state, json_t *plan, const char *entry, json_t *arguments, Answer *ret);
json_t *answer_value(const Answer *a);
void answer_assert_end(Answer *a, const char *code, int status);
/* A step has failed: the worker says so, and ends. */
void worker_assert_failed(Fixture *f, int channel, const char *stage, int error, const char *text);
void answer_assert_raised(Answer *a, const char *code, const char *text);
void answer_assert_value(Answer *a, const char *text);
json_t *plan_with(const char *name, json_t *value);
