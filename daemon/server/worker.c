/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a worker of an entry: environment, random generators, worker_start(), one call, its
 * answer, worker_stop(), _exit(). Lives in a fresh fork of a forkserver, all of whose memory it
 * has; handlers of atexit() are the forkserver's and never run here. */

#include "worker.h"

#include "call.h"
#include "child.h"

#include <sys/random.h>
#include <sys/stat.h>

#define EXIT_RETURNED 0
#define EXIT_RAISED   1

typedef struct Worker {
        const ModuleSet *modules;
        WorkerChannel channel;
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
        for (size_t i = 0; i < modules_count(w->modules); i++) {
                const ForkdModule *module = modules_get(w->modules, i);
                int r = module->worker_start ? module->worker_start() : 0;

                if (r != 0) {
                        w->failed = module;
                        w->start_error = r;
                        return;
                }
        }
}

static void worker_stop_modules(Worker *w) {
        for (size_t i = modules_count(w->modules); i-- > 0;) {
                const ForkdModule *module = modules_get(w->modules, i);

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

static int worker_call_entry(Worker *w, ForkdCall *call, Packet *packet) {
        const char *name = json_string_value(json_object_get(packet->parameters, "entry"));
        const ForkdEntry *entry = name ? modules_find(w->modules, name, NULL) : NULL;
        json_t *arguments, *value = NULL;
        const char *reason = NULL;
        char text[256];
        int r;

        if (w->failed) {
                snprintf(text, sizeof(text), "worker_start() of module %s failed: %s",
                         w->failed->name,
                         strerror(w->start_error < 0 ? -w->start_error : w->start_error));
                return call_raise(call, "WorkerStart", text) ?: 1;
        }
        if (!entry) {
                snprintf(text, sizeof(text), "no module here has an entry '%s'", name ?: "");
                return call_raise(call, "NoSuchEntry", text) ?: 1;
        }
        arguments = read_arguments(packet, &reason);
        if (!arguments)
                return call_raise(call, "BadArguments", reason) ?: 1;

        r = entry->function(call, arguments, &value);
        fflush(stdout); /* the output is there when the answer is */
        fflush(stderr);
        r = call_answer(call, r, value);
        json_decref(value);
        json_decref(arguments);
        return r;
}

static uint64_t read_deadline(const Packet *packet) {
        const json_t *deadline = json_object_get(packet->parameters, "deadlineUSec");

        return json_is_integer(deadline) && json_integer_value(deadline) >= 0
                       ? (uint64_t)json_integer_value(deadline)
                       : USEC_INFINITY;
}

/* Waits for the call and runs it; a Cancel that comes first is kept for it. */
static int worker_serve(Worker *w) {
        bool cancelled = false;

        for (;;) {
                _cleanup_(packet_done) Packet packet = PACKET_NULL;
                ForkdCall call;
                int r;

                r = worker_channel_receive(&w->channel, &packet);
                if (r != 0)
                        return r;
                cancelled = cancelled || streq(packet.method, "Cancel");
                if (!streq(packet.method, "Call"))
                        continue;

                call_init(&call, &w->channel, read_deadline(&packet));
                call.cancelled = cancelled;
                r = worker_call_entry(w, &call, &packet);
                call_done(&call);
                return r;
        }
}

void worker_run(const ModuleSet *modules, const Plan *plan, const TitleArea *area) {
        Worker w = { .modules = modules };
        int r;

        environ = (char **)plan->envp;
        if (plan->title)
                title_set(area, plan->title);
        reseed();

        r = worker_channel_init(&w.channel, CHILD_CHANNEL_FD);
        if (r == 0) {
                worker_start_modules(&w);
                r = worker_serve(&w);
                if (r < 0)
                        fprintf(stderr,
                                "forkd: the worker's channel is unusable, so there is no answer: %s\n",
                                strerror(-r));
                if (!w.failed)
                        worker_stop_modules(&w);
        }
        fflush(stdout);
        fflush(stderr);
        _exit(r == 0 ? EXIT_RETURNED : EXIT_RAISED);
}
