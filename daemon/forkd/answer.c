/* SPDX-License-Identifier: Apache-2.0 */

/* The channel of an entry's worker, seen from forkd: part of its attempt, in forkd. Adopt and Call
 * wait in it before there is a worker, unless that one has to be looked at first; the answer stays
 * with the attempt until the worker has ended. */

#include "answer.h"

#include "daemon.h"
#include "order.h"
#include "spare.h"
#include "text.h"

#include <limits.h>

#define CHANNEL_PACKETS  16                    /* of one worker in one turn of the loop */
#define PROGRESS_MAX     ((size_t)1024 * 1024) /* bytes: what is longer is dropped … */
#define TURN_BYTES       PROGRESS_MAX     /* … and what one worker may have said in one turn */
#define LAST_BYTES       (2 * PACKET_MAX) /* after its end: an answer behind some progress */
#define RAISED_CODE_MAX  255 /* bytes; what is more is cut, as a certificate must fit a message */
#define RAISED_TEXT_MAX  (16 * 1024)
#define FAILURE_TEXT_MAX 1024

static char *member_text(const Packet *p, const char *name, const char *otherwise, size_t max) {
        const char *text = json_string_value(json_object_get(p->parameters, name)) ?: otherwise;

        return strndup(text, (size_t)text_cut(text, max));
}

static int keep_answer(Attempt *a, Packet *p) {
        if (a->answered)
                return 0; /* the first answer counts */

        if (streq(p->method, "Returned")) {
                if (!p->captured)
                        return -EBADMSG;
                a->value = strndup(p->captured, p->captured_length);
                if (!a->value)
                        return -ENOMEM;
                a->value_length = p->captured_length;
        } else {
                a->raised_code = member_text(p, "code", "error", RAISED_CODE_MAX);
                a->raised_text = member_text(p, "text", "", RAISED_TEXT_MAX);
                if (!a->raised_code || !a->raised_text)
                        return -ENOMEM;
        }
        a->answered = true;
        return 0;
}

static int keep_failure(Attempt *a, const Packet *p) {
        if (a->failure.stage)
                return 0;
        a->failure.stage = member_text(p, "stage", "plan", RAISED_CODE_MAX);
        if (!a->failure.stage)
                return -ENOMEM;
        if (json_object_get(p->parameters, "text"))
                a->failure.text = member_text(p, "text", "", FAILURE_TEXT_MAX);
        a->failure.error = (int)json_integer_value(json_object_get(p->parameters, "errno"));
        return 0;
}

static int tell_progress(const Attempt *a, const Packet *p) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        if (!a->job || !a->job->call || !call_wants_more(a->job->call) || !p->captured ||
            p->captured_length > PROGRESS_MAX)
                return 0;
        json_text_open(&t, NULL, '{');
        json_text_int(&t, "id", (int64_t)a->job_id);
        json_text_string(&t, "state", job_state_to_string(a->job->state));
        json_text_raw(&t, "progress", p->captured, p->captured_length);
        json_text_close(&t, '}');
        if (json_text_finish(&t) == 0)
                (void)call_reply_text(a->job->call, t.text, t.length, true);
        return 0;
}

static int answer_dispatch(Attempt *a, Packet *p) {
        if (a->kind == ATTEMPT_SPARE)
                return -EBADMSG; /* nobody has asked it anything */
        if (streq(p->method, "Returned") || streq(p->method, "Raised"))
                return keep_answer(a, p);
        if (streq(p->method, "Failed"))
                return keep_failure(a, p);
        if (streq(p->method, "Progress"))
                return tell_progress(a, p);
        return 0;
}

static void answer_close(Attempt *a) {
        a->channel_source = sd_event_source_disable_unref(a->channel_source);
        close_fdp(&a->channel);
        if (a->kind == ATTEMPT_SPARE)
                spare_spoiled(a);
}

bool answer_read(Attempt *a, unsigned max) {
        size_t bytes = 0, bytes_max = max == UINT_MAX ? LAST_BYTES : TURN_BYTES;

        for (unsigned n = 0; a->channel >= 0 && n < max && bytes < bytes_max; n++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                int r = packet_receive(a->channel, &p);

                if (r == PACKET_E_AGAIN)
                        return false;
                bytes += p.length;
                if (r == 0)
                        r = answer_dispatch(a, &p);
                /* end-of-file, or what no worker of ours would send: its exit tells the rest */
                if (r != 0)
                        answer_close(a);
        }
        return a->channel >= 0;
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Attempt *a = userdata;
        bool more = answer_read(a, CHANNEL_PACKETS);

        (void)source;
        (void)fd;
        (void)events;
        /* whoever never stops must not keep all others from their turn */
        if (a->channel_source)
                (void)sd_event_source_set_priority(a->channel_source,
                                                   more ? PRIORITY_FLOOD : PRIORITY_RESULT);
        return 0;
}

int answer_open(Attempt *a, int *ret_worker_end) {
        _cleanup_(close_fdp) int ours = -1, theirs = -1;
        int r;

        r = packet_pair(&ours, &theirs);
        if (r < 0)
                return r;
        r = sd_event_add_io(a->daemon->event, &a->channel_source, ours, EPOLLIN, on_channel, a);
        if (r < 0)
                return r;
        (void)sd_event_source_set_priority(a->channel_source, PRIORITY_RESULT);
        a->channel = steal_fd(&ours);
        *ret_worker_end = steal_fd(&theirs);
        return 0;
}

/* The channel takes two packets whatever their size: large ones travel in memfds. */
static int send_text(const Attempt *a, const JsonText *t, const int *fds, size_t n_fds) {
        int r = packet_send_text(a->channel, t->text, t->length, fds, n_fds);

        if (r == PACKET_E_CLOSED)
                return ANSWER_E_GONE;
        return r > 0 ? -EIO : r;
}

static int send_both(const Attempt *a, const Order *adopt, const Job *job) {
        _cleanup_(json_text_done) JsonText call = JSON_TEXT_NULL;
        int r;

        if (a->channel < 0)
                return ANSWER_E_GONE;
        r = order_write_call(&call, job);
        if (r < 0)
                return r;
        r = send_text(a, &adopt->text, adopt->fds, adopt->n_fds);
        return r != 0 ? r : send_text(a, &call, &job->arguments_fd, job->arguments_fd >= 0);
}

int answer_send(Attempt *a, const Job *job, const Server *server) {
        _cleanup_(order_donep) Order adopt = ORDER_NULL;
        int r = order_write_adopt(&adopt, job, a, server);

        return r < 0 ? r : send_both(a, &adopt, job);
}

int answer_send_one_shot(Attempt *a, const Job *job, const ServerSettings *settings) {
        _cleanup_(order_donep) Order adopt = ORDER_NULL;
        int r = order_write_adopt_one_shot(&adopt, job, a, settings);

        return r < 0 ? r : send_both(a, &adopt, job);
}
