/* SPDX-License-Identifier: Apache-2.0 */

/* The channel of an entry's worker, seen from forkd: part of its attempt, in forkd. The Call waits
 * in it before there is a worker; the answer stays with the attempt until the worker has ended. */

#include "answer.h"

#include "daemon.h"
#include "order.h"
#include "text.h"

#define CHANNEL_PACKETS 16  /* of one worker in one turn of the loop */
#define RAISED_CODE_MAX 255 /* bytes; what is more is cut, as a certificate must fit a message */
#define RAISED_TEXT_MAX (16 * 1024)

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
                const char *code = json_string_value(json_object_get(p->parameters, "code"));
                const char *text = json_string_value(json_object_get(p->parameters, "text"));

                code = code ?: "error";
                text = text ?: "";
                a->raised_code = strndup(code, (size_t)text_cut(code, RAISED_CODE_MAX));
                a->raised_text = strndup(text, (size_t)text_cut(text, RAISED_TEXT_MAX));
                if (!a->raised_code || !a->raised_text)
                        return -ENOMEM;
        }
        a->answered = true;
        return 0;
}

static void tell_progress(const Attempt *a, const Packet *p) {
        _cleanup_(json_text_done) JsonText t = JSON_TEXT_NULL;

        if (!a->job || !a->job->call || !call_wants_more(a->job->call) || !p->captured)
                return;
        json_text_open(&t, NULL, '{');
        json_text_int(&t, "id", (int64_t)a->job_id);
        json_text_string(&t, "state", job_state_to_string(a->job->state));
        json_text_raw(&t, "progress", p->captured, p->captured_length);
        json_text_close(&t, '}');
        if (json_text_finish(&t) == 0)
                (void)call_reply_text(a->job->call, t.text, t.length, true);
}

void answer_read(Attempt *a, unsigned max) {
        for (unsigned n = 0; a->channel >= 0 && n < max; n++) {
                _cleanup_(packet_done) Packet p = PACKET_NULL;
                int r = packet_receive(a->channel, &p);

                if (r == PACKET_E_AGAIN)
                        return;
                if (r == 0 && (streq(p.method, "Returned") || streq(p.method, "Raised")))
                        r = keep_answer(a, &p);
                else if (r == 0 && streq(p.method, "Progress"))
                        tell_progress(a, &p);
                if (r != 0) {
                        /* end-of-file, or what no worker of ours would send: its exit tells the
                         * rest */
                        a->channel_source = sd_event_source_disable_unref(a->channel_source);
                        close_fdp(&a->channel);
                        return;
                }
        }
}

static int on_channel(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        (void)source;
        (void)fd;
        (void)events;
        answer_read(userdata, CHANNEL_PACKETS);
        return 0;
}

int answer_open(Attempt *a, const Job *job, int *ret_worker_end) {
        _cleanup_(json_text_done) JsonText call = JSON_TEXT_NULL;
        _cleanup_(close_fdp) int ours = -1, theirs = -1;
        int r;

        r = packet_pair(&ours, &theirs);
        if (r < 0)
                return r;
        r = order_write_call(&call, job);
        if (r < 0)
                return r;
        r = packet_send_text(ours, call.text, call.length, &job->arguments_fd,
                             job->arguments_fd >= 0);
        if (r != 0)
                return r < 0 ? r : -EIO;

        r = sd_event_add_io(a->daemon->event, &a->channel_source, ours, EPOLLIN, on_channel, a);
        if (r < 0)
                return r;
        (void)sd_event_source_set_priority(a->channel_source, PRIORITY_RESULT);
        a->channel = steal_fd(&ours);
        *ret_worker_end = steal_fd(&theirs);
        return 0;
}
