/* SPDX-License-Identifier: Apache-2.0 */

/* What every verb uses: complaints, connections, output. Lives in forkctl. */

#include "display.h"
#include "format.h"
#include "table.h"
#include "verb.h"

#include <stdarg.h>

/* One write, so that lines of several forkctls do not mix. */
static void complain(const char *format, va_list ap, const char *end) {
        _cleanup_(freep) char *sentence = NULL, *safe = NULL;

        if (vasprintf(&sentence, format, ap) < 0)
                sentence = NULL;
        if (sentence)
                safe = display_escape(sentence);
        /* a question says already where to go */
        if (!safe || (safe[0] != '\0' && safe[strlen(safe) - 1] == '?'))
                end = "";
        fflush(stdout);
        fprintf(stderr, "forkctl: %s%s\n", safe ?: "out of memory", end);
}

int ctl_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        complain(format, ap, "");
        va_end(ap);
        return STATUS_FORKD;
}

int ctl_errno(int r, const char *what) {
        return ctl_error("%s: %s", what, strerror(-r));
}

int ctl_fault(const Forkd *f, int r) {
        (void)ctl_error("%s", forkd_error_sentence(f));
        return r == FORKD_E_TIMED_OUT || r == -ETIMEDOUT ? STATUS_TIMEOUT : STATUS_FORKD;
}

int ctl_usage(const Ctl *ctl, const char *format, ...) {
        char end[96];
        va_list ap;

        snprintf(end, sizeof(end), "; see `forkctl %s%s--help`", ctl->verb ? ctl->verb->name : "",
                 ctl->verb ? " " : "");
        va_start(ap, format);
        complain(format, ap, end);
        va_end(ap);
        return STATUS_FORKD;
}

void ctl_note(const Ctl *ctl, const char *format, ...) {
        va_list ap;

        if (ctl->quiet)
                return;
        va_start(ap, format);
        complain(format, ap, "");
        va_end(ap);
}

/* What would start the daemon that was looked for. */
static const char *start_advice(const Options *o, bool found) {
        if (!found)
                return "start it with `forkd-keeper`, or name its socket with --address";
        if (options_has(o, OPTION_USER))
                return "start it with `systemctl --user start forkd.socket` or `forkd-keeper`";
        if (options_has(o, OPTION_SYSTEM) || geteuid() == 0)
                return "start it with `systemctl start forkd.socket` or `forkd-keeper`";
        return "start the system's with `systemctl start forkd.socket`, or your own with "
               "`systemctl --user start forkd.socket` or `forkd-keeper`";
}

static int connect_error(const Options *o, int r, const char *address, bool found) {
        switch (r) {
        case -ENOENT:
        case -ECONNREFUSED:
                return ctl_error("cannot connect to %s: %s; is forkd running? %s", address,
                                 strerror(-r), start_advice(o, found));
        case -EACCES:
        case -EPERM:
                return ctl_error(
                        "cannot connect to %s: %s; it belongs to another user; try --user, or "
                        "name another socket with --address",
                        address, strerror(-r));
        case -EINVAL:
                return ctl_error("'%s' is no address; give the path of a socket, or unix:PATH",
                                 address);
        default:
                return ctl_error("cannot connect to %s: %s", address, strerror(-r));
        }
}

int ctl_connect(const Ctl *ctl, Forkd **ret) {
        const Options *o = &ctl->options;
        const char *address = options_get(o, OPTION_ADDRESS);
        const bool mode = options_has(o, OPTION_SYSTEM) || options_has(o, OPTION_USER);
        _cleanup_(freep) char *found = NULL;
        int r;

        if (!address) {
                r = forkd_find_address(options_has(o, OPTION_SYSTEM) ? FORKD_MODE_SYSTEM
                                       : options_has(o, OPTION_USER) ? FORKD_MODE_USER
                                                                     : FORKD_MODE_AUTO,
                                       &found);
                if (r == -ENOENT)
                        return ctl_error(
                                "XDG_RUNTIME_DIR is not set, so the user's daemon cannot be found; "
                                "name its socket with --address");
                if (r == -EINVAL)
                        return ctl_error(
                                "FORKD_ADDRESS is '%s', which is no address; set it to the path "
                                "of a socket, or unix:PATH",
                                getenv("FORKD_ADDRESS"));
                if (r < 0)
                        return ctl_errno(r, "cannot find the daemon");

                address = found;
        }

        r = forkd_connect(ret, address);
        if (r < 0)
                return connect_error(o, r,
                                     strncmp(address, "unix:", 5) == 0 ? address + 5 : address,
                                     found && (mode || !getenv("FORKD_ADDRESS")));
        return 0;
}

void ctl_print_json(const Ctl *ctl, const json_t *json) {
        size_t columns = ctl->terminal ? table_terminal_width(STDOUT_FILENO) : SIZE_MAX, flags;

        /* bytes where columns are meant: never too wide */
        flags = json_dumpb(json, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) <= columns
                        ? JSON_COMPACT
                        : JSON_INDENT(2);
        (void)json_dumpf(json, stdout, flags | JSON_ENCODE_ANY);
        fputc('\n', stdout);
}

void ctl_print_escaped(FILE *out, const char *text) {
        _cleanup_(freep) char *safe = display_escape(text);

        fputs(safe ?: "", out);
}

int ctl_ids(const Ctl *ctl, uint64_t **ret) {
        const Options *o = &ctl->options;
        _cleanup_(freep) uint64_t *ids = NULL;

        ids = calloc(o->n_arguments + 1, sizeof(*ids));
        if (!ids)
                return ctl_errno(-ENOMEM, "cannot read the ids");
        for (size_t i = 0; i < o->n_arguments; i++) {
                int64_t n;

                if (parse_integer(o->arguments[i], 1, INT64_MAX, &n) < 0)
                        return ctl_usage(
                                ctl,
                                "'%s' is no id of a job; ids are numbers, as `forkctl list` prints them",
                                o->arguments[i]);
                ids[i] = (uint64_t)n;
        }
        *ret = steal(ids);
        return 0;
}
