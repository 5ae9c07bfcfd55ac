/* SPDX-License-Identifier: Apache-2.0 */

/* The keeper's command line: its few options, and forkd's, which are passed on as they are. An
 * Arguments belongs to main(). */

#include "arguments.h"

void arguments_done(Arguments *a) {
        free(a->argv);
        free(a->forkd_found);
}

static void help(void) {
        printf("forkd-keeper [OPTIONS] [OPTIONS OF FORKD]\n"
               "forkd-keeper [OPTIONS] -- COMMAND [ARGUMENTS]\n"
               "\n"
               "Starts forkd, starts it again when it dies, and keeps its sockets and jobs meanwhile.\n"
               "\n"
               "  --forkd=PATH     the forkd to start (default: the one beside this program)\n"
               "  --watchdog=USEC  microseconds that forkd may be silent before it is ended and\n"
               "                   started again (default: half of $WATCHDOG_USEC, else 30000000;\n"
               "                   0: for ever)\n"
               "  --help           this text\n"
               "  --version        the version\n"
               "\n"
               "Other options are passed to forkd, or COMMAND is started in its place. TERM, INT, QUIT\n"
               "and HUP are passed on. The exit status is forkd's, or 128 and the signal that killed it.\n");
}

static int parse_watchdog(const char *s, uint64_t *ret) {
        char *end;
        unsigned long long v;

        errno = 0;
        v = strtoull(s, &end, 10);
        if (s[0] < '0' || s[0] > '9' || *end != '\0' || errno != 0 || v > INT64_MAX) {
                fprintf(stderr,
                        "forkd-keeper: --watchdog=%s is no number of microseconds; 30000000 is half a "
                        "minute, 0 switches it off\n",
                        s);
                return ARGUMENTS_E_WRONG;
        }
        *ret = v;
        return 0;
}

/* *ret_own says whether s is an option of ours. */
static int parse_own(Arguments *a, const char *s, bool *ret_own) {
        *ret_own = true;
        if (streq(s, "--help") || streq(s, "-h")) {
                help();
                return ARGUMENTS_E_DONE;
        }
        if (streq(s, "--version")) {
                puts("forkd-keeper " FORKD_VERSION);
                return ARGUMENTS_E_DONE;
        }
        if (strncmp(s, "--forkd=", 8) == 0) {
                a->forkd = s + 8;
                if (a->forkd[0] != '\0')
                        return 0;
                fputs("forkd-keeper: --forkd= names no program; leave it out for the one beside "
                      "forkd-keeper\n",
                      stderr);
                return ARGUMENTS_E_WRONG;
        }
        if (strncmp(s, "--watchdog=", 11) == 0) {
                a->watchdog_given = true;
                return parse_watchdog(s + 11, &a->watchdog_usec);
        }
        if (streq(s, "--forkd") || streq(s, "--watchdog")) {
                fprintf(stderr, "forkd-keeper: %s has no value; write %s=VALUE\n", s, s);
                return ARGUMENTS_E_WRONG;
        }
        *ret_own = false;
        return 0;
}

int arguments_parse(int argc, char **argv, Arguments *a) {
        size_t n = 1;
        bool own;
        int r;

        a->argv = calloc((size_t)argc + 2, sizeof(char *));
        if (!a->argv)
                return -ENOMEM;
        for (int i = 1; i < argc; i++) {
                if (streq(argv[i], "--")) {
                        if (!argv[i + 1] || n > 1 || a->forkd) {
                                fprintf(stderr, "forkd-keeper: %s; write forkd-keeper -- COMMAND\n",
                                        !argv[i + 1]
                                                ? "no command comes after --"
                                                : "options of forkd stand before -- and a command after it");
                                return ARGUMENTS_E_WRONG;
                        }
                        memcpy(a->argv, argv + i + 1, (size_t)(argc - i - 1) * sizeof(char *));
                        return 0;
                }
                r = parse_own(a, argv[i], &own);
                if (r != 0)
                        return r;
                if (!own)
                        a->argv[n++] = argv[i];
        }
        return 0;
}
