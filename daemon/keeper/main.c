/* SPDX-License-Identifier: Apache-2.0 */

/* forkd-keeper: parent of last resort. Options, descriptors of the service manager, then
 * keeper_run(). It links no JSON, serves no client and runs no user code. */

#include "keeper.h"
#include "log.h"
#include "paths.h"

#include <systemd/sd-daemon.h>

typedef struct Arguments {
        const char *forkd;   /* --forkd= */
        bool watchdog_given; /* --watchdog= */
        uint64_t watchdog_usec;
        char **argv;       /* of forkd; [0] is NULL until the path is known */
        char *forkd_found; /* owned */
} Arguments;

enum {
        ARGUMENTS_E_DONE = 1, /* --help and --version */
        ARGUMENTS_E_WRONG,    /* said so */
};

static void arguments_done(Arguments *a) {
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

/* 1 when s was an option of ours, ARGUMENTS_E_* + 1 … see arguments_parse(). */
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

static int arguments_parse(int argc, char **argv, Arguments *a) {
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

/* Which forkd. */
static int arguments_find_forkd(Arguments *a) {
        int r;

        if (a->argv[0])
                return 0;
        a->forkd_found = a->forkd ? strdup(a->forkd) : NULL;
        if (!a->forkd) {
                r = paths_find_helper("forkd", &a->forkd_found);
                if (r < 0)
                        return log_error_errno(r,
                                               "cannot find forkd; --forkd=PATH says where it is");
        }
        a->argv[0] = a->forkd_found;
        return a->argv[0] ? 0 : -ENOMEM;
}

/* Sockets of the service manager, as "listen", "listen-2", … */
static int store_listening(Store *store) {
        int n = sd_listen_fds(1), r;

        for (int i = 0; i < n; i++) {
                char name[32];

                if (i == 0)
                        snprintf(name, sizeof(name), "listen");
                else
                        snprintf(name, sizeof(name), "listen-%d", i + 1);
                r = store_put(store, name, SD_LISTEN_FDS_START + i);
                if (r < 0)
                        return r;
        }
        return n < 0 ? n : 0;
}

static int run(const Arguments *a) {
        _cleanup_(notify_freep) Notify *notify = NULL;
        _cleanup_(store_freep) Store *store = NULL;
        KeeperOptions options = KEEPER_OPTIONS_DEFAULT;
        int r;

        options.argv = a->argv;
        sd_watchdog_enabled(1, &options.manager_watchdog_usec);
        /* half of it, so that forkd is ended and started again before the manager loses patience */
        if (options.manager_watchdog_usec > 0)
                options.watchdog_usec = options.manager_watchdog_usec / 2;
        if (a->watchdog_given)
                options.watchdog_usec = a->watchdog_usec;

        r = keeper_prepare();
        if (r < 0)
                return log_error_errno(r, "cannot become the parent of orphans");
        r = store_new(&store);
        if (r >= 0)
                r = store_listening(store);
        if (r < 0)
                return log_error_errno(r, "cannot keep the sockets of the service manager");
        r = notify_new(&notify);
        if (r < 0)
                return log_error_errno(r, "cannot use NOTIFY_SOCKET");

        r = keeper_run(&options, notify, store);
        if (r < 0)
                return log_error_errno(r, "cannot go on");
        return r;
}

int main(int argc, char **argv) {
        _cleanup_(arguments_done) Arguments a = { 0 };
        int r;

        log_open("forkd-keeper", LOG_INFO);
        r = arguments_parse(argc, argv, &a);
        if (r == ARGUMENTS_E_DONE)
                return fflush(stdout) == 0 ? 0 : 1;
        if (r == ARGUMENTS_E_WRONG)
                return FORKD_EXIT_USAGE;
        if (r == 0)
                r = arguments_find_forkd(&a);
        if (r == 0)
                r = run(&a);
        log_close();
        return r < 0 ? 125 : r;
}
