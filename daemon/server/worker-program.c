/* SPDX-License-Identifier: Apache-2.0 */

/* Programs as workers. Lives in a fresh fork of somebody's program, whose main() goes on with the
 * job's arguments. What was registered with atexit() before the fork is the forkserver's business:
 * our handler, the first of the worker's and so the last to run, ends the process before it. */

#include "worker-program.h"

/* on_exit() hands a pointer over, but it outlives whoever could own this. */
static WorkerChannel the_channel;

static char **program_argv_new(const json_t *texts) {
        size_t n = json_array_size(texts);
        char **argv = calloc(n + 2, sizeof(char *));

        if (!argv)
                return NULL;
        argv[0] = strdup(program_invocation_name);
        for (size_t i = 0; i < n; i++)
                argv[i + 1] = strdup(json_string_value(json_array_get(texts, i)));
        for (size_t i = 0; i <= n; i++)
                if (!argv[i])
                        return NULL; /* the worker ends anyway */
        return argv;
}

int worker_program_read(WorkerProgram *ret, const json_t *arguments, const char **ret_reason) {
        const json_t *texts = json_object_get(arguments, "argv");
        char **argv;

        if (json_object_size(arguments) > (texts ? 1 : 0)) {
                *ret_reason = "the program takes nothing but argv, an array of texts";
                return WORKER_PROGRAM_E_INVALID;
        }
        if (texts && !json_is_array(texts)) {
                *ret_reason = "argv is no array of texts";
                return WORKER_PROGRAM_E_INVALID;
        }
        for (size_t i = 0; i < json_array_size(texts); i++)
                if (!json_is_string(json_array_get(texts, i))) {
                        *ret_reason = "argv is no array of texts";
                        return WORKER_PROGRAM_E_INVALID;
                }

        argv = program_argv_new(texts);
        if (!argv)
                return -ENOMEM;
        *ret = (WorkerProgram){ .argc = (int)json_array_size(texts) + 1, .argv = argv };
        return 0;
}

static void on_program_exit(int status, void *userdata) {
        const WorkerChannel *channel = userdata;

        status &= 0xff; /* what the parent gets to see */
        fflush(NULL);   /* the output is there when the answer is */
        /* children of the program, which have this handler too, are told apart by the channel */
        if (status == 0) {
                json_t *parameters = json_pack("{s{}}", "value");

                if (parameters)
                        (void)worker_channel_send(channel, "Returned", parameters);
        }
        _exit(status);
}

int worker_program_begin(const WorkerChannel *channel) {
        the_channel = *channel;
        return on_exit(on_program_exit, &the_channel) == 0 ? 0 : -ENOMEM;
}
