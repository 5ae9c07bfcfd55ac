/* SPDX-License-Identifier: Apache-2.0 */

/* forkd-server: the host of modules. forkd has the spawner start it, with its channel in
 * FORKD_CHANNEL, or as a one-shot host with that of its one worker in FORKD_WORKER; it ends with
 * the channel. */

#include "host-main.h"

typedef struct Options {
        bool huge_pages;
        const char *module_path;
        char *const *modules; /* NULL-terminated */
} Options;

static bool options_parse(Options *ret, char **argv, char **ret_reason) {
        Options o = { .module_path = secure_getenv("FORKD_MODULE_PATH") };
        static const char path[] = "--module-path=";
        int i = 1;

        for (; argv[i] && argv[i][0] == '-'; i++) {
                if (streq(argv[i], "--")) {
                        i++;
                        break;
                }
                if (streq(argv[i], "--huge-pages"))
                        o.huge_pages = true;
                else if (strncmp(argv[i], path, strlen(path)) == 0)
                        o.module_path = argv[i] + strlen(path);
                else {
                        if (asprintf(ret_reason,
                                     "unknown option '%s': there are --huge-pages and "
                                     "--module-path=FOLDERS",
                                     argv[i]) < 0)
                                *ret_reason = NULL;
                        return false;
                }
        }
        o.modules = argv + i;
        if (!o.modules[0]) {
                *ret_reason = strdup("no module is named, so there is nothing to preload: name at "
                                     "least one");
                return false;
        }
        *ret = o;
        return true;
}

int main(int argc, char **argv) {
        _cleanup_(freep) char *reason = NULL;
        ModuleSet *modules = NULL;
        HostMain host;
        Options o;
        int r;

        (void)argc;
        r = host_main_read(&host, &reason);
        if (r != 0) {
                fprintf(stderr, "forkd-server: %s\n",
                        r == HOST_MAIN_E_ALONE ? "FORKD_CHANNEL is not set: forkd starts this "
                                                 "program, people do not"
                                               : reason ?: strerror(-r));
                return EXIT_FAILURE;
        }
        if (!options_parse(&o, argv, &reason))
                host_main_refuse(&host, EINVAL, reason ?: strerror(ENOMEM));
        host.huge_pages = host.huge_pages || o.huge_pages;

        r = modules_load_from(&modules, o.modules, o.module_path, &reason);
        if (r != 0)
                host_main_refuse(&host, r < 0 ? -r : ENOEXEC, reason ?: strerror(-r));
        /* not the way of exit(): preloaded code may have handlers that expect to be in a worker */
        _exit(host_main_serve(&host, modules, NULL));
}
