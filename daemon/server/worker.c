/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a worker of an entry: it waits for a job, does the job's part of the plan, then
 * worker_start(), one call, its answer, worker_stop(), _exit(). Lives in a fresh fork of a
 * forkserver, all of whose memory it has; handlers of atexit() are the forkserver's and never run
 * here. Or in a one-shot host, which is its own forkserver. */

#include "worker.h"

#include "call.h"
#include "json-text.h"

#include <sys/random.h>
#include <sys/stat.h>

#define EXIT_RETURNED 0
#define EXIT_RAISED   1

/* Room for any Failed: a limit that the plan sets may leave no memory for it. */
#define FAILED_SIZE (8 * sizeof(((ChildReport *)NULL)->object))

typedef struct Worker {
        const WorkerOptions *options;
        WorkerChannel channel;
        Packet adoption; /* kept for good: the environment and the title are in it … */
        Plan *plan;      /* … and in what was made of it */
        bool one_shot;
        bool cancelled;            /* before the call came */
        const ForkdModule *failed; /* its worker_start() did */
        int start_error;
} Worker;

/* Siblings must not draw the same numbers. glibc's arc4random() and OpenSSL look after themselves.
 */
static void reseed(void) {
        struct {
                unsigned random;
                unsigned short rand48[3];
        } seed = { .random = (unsigned)getpid() ^ (unsigned)now_usec(CLOCK_MONOTONIC) };

        if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
                memcpy(seed.rand48, &seed.random, sizeof(seed.random));
        srandom(seed.random); /* rand() too: they are one generator in glibc */
        seed48(seed.rand48);
}

static void worker_start_modules(Worker *w) {
        for (size_t i = 0; i < modules_count(w->options->modules); i++) {
                const ForkdModule *module = modules_get(w->options->modules, i);
                int r = module->worker_start ? module->worker_start() : 0;

                if (r != 0) {
                        w->failed = module;
                        w->start_error = r;
                        return;
                }
        }
}

static void worker_stop_modules(Worker *w) {
        for (size_t i = modules_count(w->options->modules); i-- > 0;) {
                const ForkdModule *module = modules_get(w->options->modules, i);

                if (module->worker_stop)
                        module->worker_stop();
        }
}

/* The text of a memfd; nothing that somebody could still change or cut. */
static int read_memfd(int fd, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *text = NULL;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size <= 0)
                return -EINVAL;
        if ((uint64_t)st.st_size > PACKET_MAX)
                return -EFBIG;
        text = malloc((size_t)st.st_size);
        if (!text)
                return -ENOMEM;
        if (pread(fd, text, (size_t)st.st_size, 0) != st.st_size)
                return -EIO;
        *ret = steal(text);
        *ret_length = (size_t)st.st_size;
        return 0;
}

/* A new reference to an object, or NULL with *ret_reason. */
static json_t *read_arguments(Packet *packet, const char **ret_reason) {
        _cleanup_(close_fdp) int fd = packet_take_fd(packet, "argumentsDescriptor");
        const json_t *plain = json_object_get(packet->parameters, "arguments");
        _cleanup_(freep) char *text = NULL;
        const char *bytes = packet->captured;
        size_t length = packet->captured_length;
        json_t *object;

        if (fd == -EBADF) {
                *ret_reason = "argumentsDescriptor is no descriptor of the packet";
                return NULL;
        }
        if (fd >= 0) {
                if (read_memfd(fd, &text, &length) < 0) {
                        *ret_reason =
                                "the descriptor of the arguments is no file of at most 64 MiB";
                        return NULL;
                }
                bytes = text;
        } else if (!bytes) {
                if (!plain || json_is_null(plain))
                        return json_object();
                *ret_reason = "the arguments are no JSON object";
                return NULL;
        }

        object = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object)) {
                json_decref(object);
                *ret_reason = "the arguments are no JSON object, or one that has a member twice";
                return NULL;
        }
        return object;
}

/* An answer that is no value: the worker ends with EXIT_RAISED. */
static int worker_raise(ForkdCall *call, const char *code, const char *text) {
        return call_raise(call, code, text) ?: 1;
}

static int worker_call_entry(Worker *w, ForkdCall *call, Packet *packet) {
        const char *name = json_string_value(json_object_get(packet->parameters, "entry"));
        const ForkdEntry *entry = name ? modules_find(w->options->modules, name, NULL) : NULL;
        json_t *arguments, *value = NULL;
        const char *reason = NULL;
        char text[256];
        int r;

        if (w->failed) {
                snprintf(text, sizeof(text), "worker_start() of module %s failed: %s",
                         w->failed->name,
                         strerror(w->start_error < 0 ? -w->start_error : w->start_error));
                return worker_raise(call, "WorkerStart", text);
        }
        if (!entry) {
                snprintf(text, sizeof(text), "no module here has an entry '%s'", name ?: "");
                return worker_raise(call, "NoSuchEntry", text);
        }
        arguments = read_arguments(packet, &reason);
        if (!arguments)
                return worker_raise(call, "BadArguments", reason);

        r = entry->function(call, arguments, &value);
        fflush(stdout); /* the output is there when the answer is */
        fflush(stderr);
        r = call_answer(call, r, value);
        json_decref(value);
        json_decref(arguments);
        return r;
}

/* 0: the program may go on. */
static int worker_call_program(ForkdCall *call, Packet *packet, WorkerProgram *ret) {
        const char *name = json_string_value(json_object_get(packet->parameters, "entry"));
        const char *reason = NULL;
        json_t *arguments;
        char text[256];
        int r;

        if (!name || !streq(name, WORKER_PROGRAM_ENTRY)) {
                snprintf(text, sizeof(text),
                         "there is no entry '%s' here: a program's only one is 'main'", name ?: "");
                return worker_raise(call, "NoSuchEntry", text);
        }
        arguments = read_arguments(packet, &reason);
        if (!arguments)
                return worker_raise(call, "BadArguments", reason);
        r = worker_program_read(ret, arguments, &reason);
        json_decref(arguments);
        return r == WORKER_PROGRAM_E_INVALID ? worker_raise(call, "BadArguments", reason) : r;
}

static uint64_t read_deadline(const Packet *packet) {
        const json_t *deadline = json_object_get(packet->parameters, "deadlineUSec");

        return json_is_integer(deadline) && json_integer_value(deadline) >= 0
                       ? (uint64_t)json_integer_value(deadline)
                       : USEC_INFINITY;
}

/* Waits for the call; a Cancel that comes first is kept for it. */
static int worker_receive_call(Worker *w, Packet *ret) {
        for (;;) {
                int r;

                r = worker_channel_receive(&w->channel, ret);
                if (r != 0 || streq(ret->method, "Call"))
                        return r;
                w->cancelled = w->cancelled || streq(ret->method, "Cancel");
                packet_done(ret);
        }
}

/* 0 when the answer was Returned, or the program may go on. */
static int worker_serve(Worker *w, WorkerProgram *ret_program) {
        _cleanup_(packet_done) Packet packet = PACKET_NULL;
        ForkdCall call;
        int r;

        r = worker_receive_call(w, &packet);
        if (r != 0)
                return r;
        call_init(&call, &w->channel, read_deadline(&packet));
        call.cancelled = w->cancelled;
        r = w->options->program ? worker_call_program(&call, &packet, ret_program)
                                : worker_call_entry(w, &call, &packet);
        call_done(&call);
        return r;
}

/* ---- what comes before the call */

static void send_failed(int channel, const ChildReport *failure, JsonText *t) {
        WorkerChannel c;

        json_text_open(t, NULL, '{');
        json_text_string(t, "method", "Failed");
        json_text_open(t, "parameters", '{');
        json_text_string(t, "stage", child_stage_to_string(failure->stage));
        json_text_int(t, "errno", failure->error);
        json_text_string(t, "text", *failure->object ? failure->object : NULL);
        json_text_close(t, '}');
        json_text_close(t, '}');
        if (json_text_finish(t) == 0 && worker_channel_init(&c, channel) == 0)
                (void)worker_channel_send_text(&c, t->text, t->length);
}

void worker_send_failed(int channel, const ChildReport *failure) {
        JsonText t = JSON_TEXT_NULL;

        send_failed(channel, failure, &t);
        json_text_done(&t);
}

void worker_fail(int channel, const ChildReport *failure) {
        worker_send_failed(channel, failure);
        _exit(CHILD_EXIT_STATUS);
}

static noreturn void worker_fail_plan(const Worker *w, int error, const char *reason) {
        ChildReport failure;

        child_report_fill(&failure, CHILD_STAGE_PLAN, error, reason);
        worker_fail(w->channel.fd, &failure);
}

/* Becomes the job's. */
static void worker_adopt(Worker *w) {
        const char *title = json_string_value(json_object_get(w->adoption.parameters, "title"));
        JsonText room = { .text = malloc(FAILED_SIZE), .room = FAILED_SIZE };
        ChildReport failure = { 0 };
        const char *reason = NULL;
        int r;

        r = room.text ? plan_new(&w->plan, &w->adoption, w->one_shot ? PLAN_ONE_SHOT : PLAN_ENTRY,
                                 &reason)
                      : -ENOMEM;
        if (r != 0)
                worker_fail_plan(w, r < 0 ? -r : EINVAL, reason);
        w->plan->reset_oom_score = w->options->reset_oom_score;
        plan_default_descriptors(w->plan, &w->options->descriptors);

        r = w->one_shot ? child_prepare_one_shot(w->plan, &failure)
                        : child_prepare(w->plan, &failure);
        if (r < 0) {
                send_failed(w->channel.fd, &failure, &room);
                _exit(CHILD_EXIT_STATUS);
        }
        json_text_done(&room);
        for (; w->adoption.n_fds > 0; w->adoption.n_fds--)
                close_fd(w->adoption.fds[w->adoption.n_fds - 1]);
        environ = (char **)w->plan->envp;
        if (title)
                title_set(w->options->title, title);
}

/* A spare waits here, maybe for ever. */
static void worker_await_adoption(Worker *w) {
        for (;;) {
                Packet packet = PACKET_NULL;
                int r;

                r = worker_channel_receive(&w->channel, &packet);
                if (r != 0)
                        _exit(r == PACKET_E_CLOSED && !w->one_shot ? EXIT_SUCCESS : EXIT_FAILURE);
                if (streq(packet.method, "Adopt")) {
                        w->adoption = packet;
                        worker_adopt(w);
                        return;
                }
                if (streq(packet.method, "Call"))
                        worker_fail_plan(w, EINVAL, "Call has come before Adopt");
                packet_done(&packet); /* of a later version */
        }
}

static noreturn void worker_end(int r) {
        if (r < 0)
                fprintf(stderr,
                        "forkd: the worker's channel is unusable, so there is no answer: %s\n",
                        strerror(-r));
        fflush(stdout);
        fflush(stderr);
        _exit(r == 0 ? EXIT_RETURNED : EXIT_RAISED);
}

/* The worker has its job. */
static int worker_work(Worker *w, WorkerProgram *ret_program) {
        int r;

        if (w->options->program) {
                r = worker_serve(w, ret_program);
                if (r == 0)
                        r = worker_program_begin(&w->channel);
                if (r != 0)
                        worker_end(r);
                return WORKER_E_PROGRAM;
        }

        worker_start_modules(w);
        r = worker_serve(w, NULL);
        if (!w->failed)
                worker_stop_modules(w);
        worker_end(r);
}

int worker_run(const WorkerOptions *options, WorkerProgram *ret_program) {
        Worker w = { .options = options };
        int r;

        r = worker_channel_init(&w.channel, CHILD_CHANNEL_FD);
        if (r < 0)
                worker_end(r);
        reseed();
        worker_await_adoption(&w);
        return worker_work(&w, ret_program);
}

int worker_run_one_shot(const WorkerOptions *options, int channel, WorkerProgram *ret_program) {
        Worker w = { .options = options, .one_shot = true };
        int r;

        r = worker_channel_init(&w.channel, channel);
        if (r < 0)
                worker_end(r);
        worker_await_adoption(&w);
        return worker_work(&w, ret_program);
}
