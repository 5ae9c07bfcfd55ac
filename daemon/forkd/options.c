/* SPDX-License-Identifier: Apache-2.0 */

/* The command line of forkd; read once by main(). */

#include "options.h"

#include <getopt.h>

static const char help[] =
        "forkd [OPTION…]\n"
        "\n"
        "Keep programs warm and hand out forks of them as supervised jobs.\n"
        "\n"
        "      --system        system mode: /run/forkd, /var/lib/forkd, /etc/forkd (default as root)\n"
        "      --user          user mode: $XDG_RUNTIME_DIR/forkd, $XDG_STATE_HOME/forkd, $XDG_CONFIG_HOME/forkd\n"
        "      --runtime=DIR   where the socket org.forkd is\n"
        "      --state=DIR     where ids and output are kept\n"
        "      --config=DIR    where forkd.conf is\n"
        "      --check         read the configuration, preload the modules, say what is wrong, and leave\n"
        "      --debug         log more\n"
        "  -h, --help          show this help\n"
        "      --version       show the version\n"
        "\n"
        "To be restarted after a crash, run forkd-keeper instead; it takes the same options.\n"
        "See forkd(8). Clients: forkctl(1).\n";

enum {
        OPTION_SYSTEM = 256,
        OPTION_USER,
        OPTION_RUNTIME,
        OPTION_STATE,
        OPTION_CONFIG,
        OPTION_CHECK,
        OPTION_DEBUG,
        OPTION_VERSION,
        OPTION_TWIN,
};

static const struct option options[] = {
        { "system", no_argument, NULL, OPTION_SYSTEM },
        { "user", no_argument, NULL, OPTION_USER },
        { "runtime", required_argument, NULL, OPTION_RUNTIME },
        { "state", required_argument, NULL, OPTION_STATE },
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "check", no_argument, NULL, OPTION_CHECK },
        { "debug", no_argument, NULL, OPTION_DEBUG },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "twin", no_argument, NULL, OPTION_TWIN }, /* internal, not in the help: see twin.c */
        { NULL, 0, NULL, 0 },
};

static int absolute(const char *option, const char *value, const char **ret) {
        if (*value != '/') {
                fprintf(stderr, "forkd: --%s=%s is no absolute path\n", option, value);
                return -EINVAL;
        }
        *ret = value;
        return 0;
}

int options_parse(Options *ret, int argc, char *const *argv) {
        Options o = { 0 };
        bool twin = false;
        int c, r = 0;

        optind = 0; /* glibc: start afresh */
        while (r == 0 && (c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case OPTION_SYSTEM:
                        o.mode = PATH_MODE_SYSTEM;
                        break;
                case OPTION_USER:
                        o.mode = PATH_MODE_USER;
                        break;
                case OPTION_RUNTIME:
                        r = absolute("runtime", optarg, &o.runtime);
                        break;
                case OPTION_STATE:
                        r = absolute("state", optarg, &o.state);
                        break;
                case OPTION_CONFIG:
                        r = absolute("config", optarg, &o.config);
                        break;
                case OPTION_CHECK:
                        o.check = true;
                        break;
                case OPTION_DEBUG:
                        o.debug = true;
                        break;
                case OPTION_TWIN:
                        twin = true;
                        break;
                case 'h':
                        fputs(help, stdout);
                        return OPTIONS_E_EXIT;
                case OPTION_VERSION:
                        puts("forkd " FORKD_VERSION);
                        return OPTIONS_E_EXIT;
                default:
                        fprintf(stderr, "Try 'forkd --help'.\n");
                        r = -EINVAL;
                }

        if (r == 0 && twin)
                o.twin = argv + optind;
        else if (r == 0 && optind < argc) {
                fprintf(stderr,
                        "forkd: there is nothing to do with '%s': forkd takes options only; "
                        "jobs are submitted with forkctl(1)\n",
                        argv[optind]);
                r = -EINVAL;
        }
        if (r == 0)
                *ret = o;
        return r;
}
