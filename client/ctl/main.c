/* SPDX-License-Identifier: Apache-2.0 */

/* forkctl: reads the command line, connects, and runs one verb. */

#include "display.h"
#include "verb.h"

#include <signal.h>

/* Before a verb there are only general options; with one, as many arguments as it takes. */
static int check_usage(const Ctl *ctl) {
        const Options *o = &ctl->options;

        if (!ctl->verb)
                return ctl_usage(ctl, "say what to do, as in `forkctl run -- echo hello`");
        if (o->n_arguments < ctl->verb->min)
                return ctl_usage(ctl, "%s needs the id of a job", ctl->verb->name);
        if (o->n_arguments > ctl->verb->max)
                return ctl_usage(ctl, "'%s' is one argument too many",
                                 o->arguments[ctl->verb->max]);
        if (options_has(o, OPTION_SYSTEM) + options_has(o, OPTION_USER) +
                    options_has(o, OPTION_ADDRESS) >
            1)
                return ctl_usage(ctl, "--system, --user and --address exclude one another");
        if (options_has(o, OPTION_JSON) && options_has(o, OPTION_FOLLOW))
                return ctl_usage(ctl, "--json prints one object, so it cannot --follow");
        return 0;
}

static void look_at_terminal(Ctl *ctl) {
        const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

        ctl->terminal = isatty(STDOUT_FILENO);
        ctl->colour = ctl->terminal && term && term[0] != '\0' && !streq(term, "dumb") &&
                      (!no_color || no_color[0] == '\0');
}

/* Output that could not be written is an error like any other: `forkctl list >/dev/full`. */
static int finish_output(int status) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        if (errno == EPIPE)
                return status;
        if (status == STATUS_OK)
                return ctl_error("cannot write to standard output: %s", strerror(errno));
        return status;
}

static int run(Ctl *ctl) {
        int status;

        if (options_has(&ctl->options, OPTION_HELP)) {
                help_print(stdout, ctl->verb);
                return STATUS_OK;
        }
        if (options_has(&ctl->options, OPTION_VERSION)) {
                puts("forkctl " FORKD_VERSION);
                return STATUS_OK;
        }
        status = check_usage(ctl);
        if (status == 0)
                status = ctl_connect(ctl, &ctl->forkd);
        return status ?: ctl->verb->function(ctl);
}

/* A closed standard stream would become our socket, and `run` would give that to the job. */
static void open_standard_streams(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= STDERR_FILENO);
        close_fd(fd);
}

int main(int argc, char **argv) {
        _cleanup_(freep) char *sentence = NULL;
        Ctl ctl = { 0 };
        int r, status;

        /* A closed pipe ends us quietly, whatever whoever started us has ignored. */
        signal(SIGPIPE, SIG_DFL);
        open_standard_streams();
        display_init();
        look_at_terminal(&ctl);

        r = options_parse(&ctl.options, &ctl.verb, argc, argv, &sentence);
        if (r != 0)
                return ctl_usage(&ctl, "%s", r > 0 && sentence ? sentence : "out of memory");
        ctl.json = options_has(&ctl.options, OPTION_JSON);
        ctl.quiet = options_has(&ctl.options, OPTION_QUIET);

        status = finish_output(run(&ctl));
        forkd_free(ctl.forkd);
        options_done(&ctl.options);
        return status;
}
