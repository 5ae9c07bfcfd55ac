/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl wait`: until jobs have finished. Lives in forkctl. */

#include "format.h"
#include "verb.h"

#include <inttypes.h>

typedef struct WaitVerb {
        Ctl *ctl;
        const uint64_t *ids;
        size_t n_ids;
        int *statuses; /* one each; -1: not yet */
        json_t *certificates;
} WaitVerb;

static int on_finished(const ForkdChange *change, void *userdata) {
        WaitVerb *w = userdata;

        for (size_t i = 0; i < w->n_ids; i++)
                if (w->ids[i] == change->id)
                        w->statuses[i] = certificate_status(change->certificate);
        if (w->ctl->json) {
                json_array_append(w->certificates, change->certificate);
        } else if (!w->ctl->quiet) {
                printf("%" PRIu64 ": ", change->id);
                ctl_print_escaped(stdout, certificate_sentence(change->certificate));
                putchar('\n');
                fflush(stdout);
        }
        return 0;
}

static int wait_for_all(WaitVerb *w, uint64_t timeout) {
        Ctl *ctl = w->ctl;
        int r;

        r = forkd_wait(ctl->forkd, w->ids, w->n_ids, timeout, on_finished, w);
        if (ctl->json && r >= 0)
                ctl_print_json(ctl, w->certificates);
        if (r == FORKD_E_TIMED_OUT && !forkd_error_name(ctl->forkd)) {
                char span[FORMAT_MAX];

                (void)ctl_error("not all of the jobs have finished within %s",
                                format_span(span, timeout));
                return STATUS_TIMEOUT;
        }
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        for (size_t i = 0; options_has(&ctl->options, OPTION_EXIT) && i < w->n_ids; i++)
                if (w->statuses[i] != 0)
                        return w->statuses[i] < 0
                                       ? ctl_error(
                                                 "forkd ended the wait without telling how job %" PRIu64
                                                 " ended",
                                                 w->ids[i])
                                       : w->statuses[i];
        return STATUS_OK;
}

int verb_wait(Ctl *ctl) {
        const char *text = options_get(&ctl->options, OPTION_WAIT_TIMEOUT);
        _cleanup_(freep) uint64_t *ids = NULL;
        _cleanup_(freep) int *statuses = NULL;
        uint64_t timeout = USEC_INFINITY;
        WaitVerb w;
        int r;

        if (text && parse_span(text, &timeout) < 0)
                return ctl_usage(
                        ctl, "--timeout=%s is no span of time; write 30s, 1min 20s or 500ms", text);
        r = ctl_ids(ctl, &ids);
        if (r != 0)
                return r;
        statuses = malloc(ctl->options.n_arguments * sizeof(*statuses));
        if (!statuses)
                return ctl_errno(-ENOMEM, "cannot wait");
        memset(statuses, 0xff, ctl->options.n_arguments * sizeof(*statuses));

        w = (WaitVerb){ ctl, ids, ctl->options.n_arguments, statuses, json_array() };
        r = wait_for_all(&w, timeout);
        json_decref(w.certificates);
        return r;
}
