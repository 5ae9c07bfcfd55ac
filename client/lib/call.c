/* SPDX-License-Identifier: Apache-2.0 */

/* Calls: started, and left to the caller's loop; or started and waited for. Lives in clients. */

#include "connection.h"

#include <poll.h>

static int request_write(Forkd *f, const ForkdRequest *request) {
        int r;

        r = request_begin(f, request->method);
        if (r < 0)
                return r;
        r = request->parameters ? text_add_json(&f->request, request->parameters)
                                : text_add_string(&f->request, "{}");
        if (r < 0)
                return connection_fault(f, r, "out of memory");
        return request_end(f, request->flags);
}

int forkd_start(Forkd *f, const ForkdRequest *request, ForkdAnswer answer, void *userdata) {
        int r;

        r = request_write(f, request);
        return r < 0 ? r : request_send(f, request, answer, userdata);
}

static void on_waiting_answer(Forkd *f, ForkdReply *reply, void *userdata) {
        Waiting *w = userdata;

        w->heard_usec = now_usec(CLOCK_MONOTONIC);
        if (!reply->continues) {
                w->done = true;
                w->reply = *reply;
                reply->parameters = NULL;
                reply->n_fds = 0;
                return;
        }
        if (w->each && !w->stopped) {
                int r = w->each(reply->parameters, w->userdata);

                if (r != 0) {
                        w->stopped = true;
                        w->stop_result = r < 0 ? r : 0;
                        if (r < 0)
                                connection_fault(f, r, "stopped by the caller: %s", strerror(-r));
                }
        }
}

/* Milliseconds until the wait is over, -1 for never. */
static int waiting_poll_timeout(const Waiting *w) {
        uint64_t now, end = w->deadline_usec;

        if (w->timeout_usec < USEC_INFINITY - w->heard_usec &&
            w->heard_usec + w->timeout_usec < end)
                end = w->heard_usec + w->timeout_usec;
        if (end == USEC_INFINITY)
                return -1;
        now = now_usec(CLOCK_MONOTONIC);
        if (now >= end)
                return 0;
        end = (end - now + 999) / 1000;
        return end > INT32_MAX ? INT32_MAX : (int)end;
}

static int waiting_timed_out(Forkd *f, const Waiting *w) {
        int r;

        if (now_usec(CLOCK_MONOTONIC) >= w->deadline_usec) {
                connection_break(f, -ECANCELED);
                return connection_fault(f, FORKD_E_TIMED_OUT, "it took longer than the timeout");
        }
        r = connection_fault(f, -ETIMEDOUT, "forkd has said nothing for %llu s, which is too long",
                             (unsigned long long)(w->timeout_usec / USEC_PER_SEC));
        return connection_break(f, r);
}

/* Waits for the socket: 1, 0 when the time has passed, or -errno. */
static int connection_poll(Forkd *f, int timeout_msec) {
        struct pollfd p = { .fd = forkd_fd(f), .events = forkd_events(f) };
        int r;

        do
                r = poll(&p, 1, timeout_msec);
        while (r < 0 && errno == EINTR && timeout_msec < 0);

        if (r < 0 && errno == EINTR)
                return 0; /* the caller looks at its clock */
        if (r < 0)
                return connection_break(f,
                                        connection_fault(f, -errno, "poll: %s", strerror(errno)));
        return r;
}

int call_wait_until(Forkd *f, const bool *done) {
        int r;

        while (!*done) {
                r = connection_poll(f, -1);
                if (r >= 0)
                        r = forkd_process(f);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int waiting_finish(Forkd *f, Waiting *w) {
        while (!w->done) {
                int r;

                r = connection_poll(f, waiting_poll_timeout(w));
                if (r < 0)
                        return r;
                if (r == 0) {
                        if (waiting_poll_timeout(w) != 0)
                                continue;
                        return waiting_timed_out(f, w);
                }

                r = forkd_process(f);
                if (w->stopped && !w->done) {
                        connection_break(f, -ECANCELED);
                        return w->stop_result;
                }
                if (r < 0 && !w->done)
                        return r;
        }

        if (w->reply.outcome < 0)
                return w->reply.outcome;
        if (w->stopped)
                return w->stop_result;
        return w->reply.outcome;
}

static void waiting_begin(Forkd *f, Waiting *w) {
        w->heard_usec = now_usec(CLOCK_MONOTONIC);
        if (w->timeout_usec == 0)
                w->timeout_usec = f->timeout_usec;
        if (w->deadline_usec == 0)
                w->deadline_usec = USEC_INFINITY;
}

int call_wait(Forkd *f, const ForkdRequest *request, Waiting *w) {
        int r;

        if (f->processing)
                return connection_fault(f, -EBUSY, "a callback cannot wait for an answer");
        waiting_begin(f, w);
        r = request->method ? forkd_start(f, request, on_waiting_answer, w)
                            : request_send(f, request, on_waiting_answer, w);
        if (r < 0)
                return r;
        if (request->flags & FORKD_CALL_ONEWAY)
                return 0;
        return waiting_finish(f, w);
}

int forkd_call(Forkd *f, const ForkdRequest *request, ForkdEach each, void *userdata,
               ForkdReply *ret) {
        Waiting w = { .each = each, .userdata = userdata };
        int r;

        r = call_wait(f, request, &w);
        if (r < 0 || !ret)
                forkd_reply_done(&w.reply);
        else if (w.reply.outcome >= 0)
                *ret = w.reply;
        else
                *ret = (ForkdReply){ 0 }; /* each has stopped it */
        return r;
}
