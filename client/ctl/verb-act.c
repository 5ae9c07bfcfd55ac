/* SPDX-License-Identifier: Apache-2.0 */

/* `forkctl kill`, `cancel`, `pause`, `resume`, `forget`: the same for each of the jobs named, so
 * that one that cannot be acted on leaves the others alone. Lives in forkctl. */

#include "format.h"
#include "verb.h"

#include <inttypes.h>

typedef int (*Action)(Forkd *f, const uint64_t *id, int signal);

static int act_on_all(Ctl *ctl, Action action, int signal) {
        _cleanup_(freep) uint64_t *ids = NULL;
        json_t *done = json_array(), *out;
        int r, status = STATUS_OK;

        r = ctl_ids(ctl, &ids);
        for (size_t i = 0; r == 0 && i < ctl->options.n_arguments; i++) {
                int q = action(ctl->forkd, &ids[i], signal);

                if (q != 0)
                        status = ctl_fault(ctl->forkd, q);
                else
                        json_array_append_new(done, json_integer((json_int_t)ids[i]));
                if (q < 0)
                        break; /* no connection, no further jobs */
        }
        if (r == 0 && ctl->json) {
                out = json_pack("{s:O}", "ids", done);
                ctl_print_json(ctl, out);
                json_decref(out);
        }
        json_decref(done);
        return r ?: status;
}

static int kill_one(Forkd *f, const uint64_t *id, int signal) {
        return forkd_kill(f, id, 1, signal);
}

static int cancel_one(Forkd *f, const uint64_t *id, int signal _unused_) {
        return forkd_cancel(f, id, 1);
}

static int pause_one(Forkd *f, const uint64_t *id, int signal _unused_) {
        return forkd_pause(f, id, 1);
}

static int resume_one(Forkd *f, const uint64_t *id, int signal _unused_) {
        return forkd_resume(f, id, 1);
}

int verb_kill(Ctl *ctl) {
        const char *text = options_get(&ctl->options, OPTION_SIGNAL) ?: "TERM";
        int signal = parse_signal(text);

        if (signal < 0)
                return ctl_usage(ctl, "'%s' is no signal; give a name such as TERM, or 1 to 64",
                                 text);
        return act_on_all(ctl, kill_one, signal);
}

int verb_cancel(Ctl *ctl) {
        return act_on_all(ctl, cancel_one, 0);
}

int verb_pause(Ctl *ctl) {
        return act_on_all(ctl, pause_one, 0);
}

int verb_resume(Ctl *ctl) {
        return act_on_all(ctl, resume_one, 0);
}

static int forget_one(Forkd *f, const uint64_t *id, int signal _unused_) {
        return forkd_forget(f, id, 1, NULL);
}

int verb_forget(Ctl *ctl) {
        uint64_t n;
        int r;

        if (!options_has(&ctl->options, OPTION_FINISHED)) {
                if (ctl->options.n_arguments == 0)
                        return ctl_usage(ctl,
                                         "name jobs, or --finished for all that have finished");
                return act_on_all(ctl, forget_one, 0);
        }

        if (ctl->options.n_arguments > 0)
                return ctl_usage(ctl, "give either ids or --finished");
        r = forkd_forget(ctl->forkd, NULL, 0, &n);
        if (r != 0)
                return ctl_fault(ctl->forkd, r);
        if (ctl->json)
                printf("{\"forgotten\":%" PRIu64 "}\n", n);
        else if (!ctl->quiet)
                printf("%" PRIu64 " %s forgotten\n", n, n == 1 ? "job" : "jobs");
        return STATUS_OK;
}
