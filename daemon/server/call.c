/* SPDX-License-Identifier: Apache-2.0 */

/* A call of an entry and its answer. A ForkdCall belongs to the worker that runs it, on its stack.
 * Lives in workers; the functions named forkd_call_… are what modules link against. */

#include "call.h"

#include "plain-text.h"

#include <poll.h>
#include <stdarg.h>
#include <sys/stat.h>

#define LOOK_EVERY_USEC (1 * USEC_PER_MSEC)

int worker_channel_init(WorkerChannel *ret, int fd) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return -errno;
        *ret = (WorkerChannel){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino, .pid = getpid() };
        return 0;
}

static bool worker_channel_is_ours(const WorkerChannel *channel) {
        struct stat st;

        return getpid() == channel->pid && fstat(channel->fd, &st) == 0 &&
               st.st_dev == channel->dev && st.st_ino == channel->ino;
}

static int worker_channel_wait(const WorkerChannel *channel, short events, int timeout) {
        struct pollfd p = { .fd = channel->fd, .events = events };
        int r;

        do
                r = poll(&p, 1, timeout);
        while (r < 0 && errno == EINTR);
        return r < 0 ? -errno : r;
}

int worker_channel_receive(const WorkerChannel *channel, Packet *ret) {
        for (;;) {
                int r;

                if (!worker_channel_is_ours(channel))
                        return -EBADF;
                r = packet_receive(channel->fd, ret);
                if (r != PACKET_E_AGAIN)
                        return r;
                r = worker_channel_wait(channel, POLLIN, -1);
                if (r < 0)
                        return r;
        }
}

int worker_channel_send_text(const WorkerChannel *channel, const char *text, size_t length) {
        for (;;) {
                int r;

                if (!worker_channel_is_ours(channel))
                        return -EBADF;
                r = packet_send_text(channel->fd, text, length, NULL, 0);
                if (r != PACKET_E_AGAIN)
                        return r;
                r = worker_channel_wait(channel, POLLOUT, -1);
                if (r < 0)
                        return r;
        }
}

int worker_channel_send(const WorkerChannel *channel, const char *method, json_t *parameters) {
        for (;;) {
                int r;

                if (!worker_channel_is_ours(channel))
                        return -EBADF;
                r = packet_send(channel->fd, method, parameters, NULL, 0);
                if (r != PACKET_E_AGAIN)
                        return r;
                r = worker_channel_wait(channel, POLLOUT, -1);
                if (r < 0)
                        return r;
        }
}

void call_init(ForkdCall *call, const WorkerChannel *channel, uint64_t deadline) {
        *call = (ForkdCall){ .channel = channel, .deadline = deadline };
}

void call_done(ForkdCall *call) {
        free(call->code);
        free(call->text);
        *call = (ForkdCall){ 0 };
}

int call_raise(ForkdCall *call, const char *code, const char *text) {
        json_t *parameters =
                json_pack("{so,so}", "code", plain_text(code), "text", plain_text(text));
        int r = parameters ? worker_channel_send(call->channel, "Raised", parameters) : -ENOMEM;

        json_decref(parameters);
        return r;
}

/* {"value": value}, with the value itself an object. */
static json_t *value_parameters(json_t *value) {
        if (!value)
                return json_pack("{s{}}", "value");
        if (json_is_object(value))
                return json_pack("{sO}", "value", value);
        return json_pack("{s{sO}}", "value", "value", value);
}

static int call_return(ForkdCall *call, json_t *value) {
        json_t *parameters = value_parameters(value);
        int r = parameters ? worker_channel_send(call->channel, "Returned", parameters) : -ENOMEM;

        json_decref(parameters);
        if (r == -EMSGSIZE)
                return call_raise(call, "TooLarge",
                                  "the value is larger than 64 MiB as JSON: write it to a file")
                               ?: 1;
        if (r == -ENOMEM)
                return call_raise(call, "BadValue",
                                  "the value cannot be written as JSON: it is too deep, refers to "
                                  "itself, or memory is short")
                               ?: 1;
        return r;
}

int call_answer(ForkdCall *call, int result, json_t *value) {
        char text[128];
        const char *name;
        int r;

        if (result == 0)
                return call_return(call, value);

        if (call->code)
                r = call_raise(call, call->code, call->text ?: call->code);
        else if (result > 0) {
                snprintf(text, sizeof(text),
                         "the entry returned %d, neither 0 nor a negative errno", result);
                r = call_raise(call, "BadResult", text);
        } else {
                name = strerrorname_np(-result);
                r = call_raise(call, name ?: "errno", strerror(-result));
        }
        return r ?: 1;
}

int forkd_call_fail(ForkdCall *call, const char *code, const char *format, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0)
                text = NULL;
        va_end(ap);

        free(call->code);
        free(call->text);
        call->code = strdup(code);
        call->text = text;
        return -ECANCELED;
}

int forkd_call_progress(ForkdCall *call, json_t *value) {
        json_t *parameters = value_parameters(value);
        int r = parameters ? worker_channel_send(call->channel, "Progress", parameters) : -ENOMEM;

        json_decref(parameters);
        return r == PACKET_E_CLOSED ? -EPIPE : r;
}

/* Takes what has come; only Cancel and the end mean something while a call runs. */
static void call_look(ForkdCall *call) {
        while (!call->cancelled && worker_channel_is_ours(call->channel) &&
               worker_channel_wait(call->channel, POLLIN, 0) > 0) {
                Packet packet = PACKET_NULL;
                int r = packet_receive(call->channel->fd, &packet);

                if (r == PACKET_E_AGAIN)
                        return;
                call->cancelled = r != 0 || streq(packet.method, "Cancel");
                packet_done(&packet);
        }
}

bool forkd_call_cancelled(ForkdCall *call) {
        uint64_t now;

        if (call->cancelled)
                return true;
        now = now_usec(CLOCK_BOOTTIME);
        if (now >= call->deadline)
                call->cancelled = true;
        else if (now - call->looked >= LOOK_EVERY_USEC) {
                call->looked = now;
                call_look(call);
        }
        return call->cancelled;
}
