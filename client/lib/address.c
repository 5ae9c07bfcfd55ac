/* SPDX-License-Identifier: Apache-2.0 */

/* Where the daemon listens, as a client looks for it. RUNTIME_DIRECTORY is not looked at, unlike in
 * the daemon: in a service that uses libforkd it names that service's directory. Lives in clients.
 */

#include "connection.h"

#include <sys/un.h>

#define SOCKET_NAME   "forkd/org.forkd"
#define SYSTEM_SOCKET "/run/" SOCKET_NAME

int address_parse(const char *address, char **ret_path) {
        char *path;

        if (strncmp(address, "unix:", 5) == 0)
                address += 5;
        else if (!strchr(address, '/'))
                return -EINVAL; /* most likely another kind of address, not a file in this directory
                                 */
        if (address[0] == '\0' || address[0] == '@')
                return -EINVAL;

        /* so that a path is always an address too */
        if (asprintf(&path, "%s%s", strchr(address, '/') ? "" : "./", address) < 0)
                return -ENOMEM;
        if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
                free(path);
                return -EINVAL;
        }
        *ret_path = path;
        return 0;
}

static int user_socket(char **ret) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");
        char *path;

        if (!runtime || runtime[0] != '/')
                return -ENOENT;
        if (asprintf(&path, "%s/%s", runtime, SOCKET_NAME) < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

int forkd_find_address(ForkdMode mode, char **ret) {
        _cleanup_(freep) char *path = NULL;
        const char *e;
        int r;

        if (mode == FORKD_MODE_USER)
                return user_socket(ret);

        if (mode == FORKD_MODE_AUTO) {
                e = getenv("FORKD_ADDRESS");
                if (e && e[0] != '\0')
                        return address_parse(e, ret);

                r = user_socket(&path);
                if (r == -ENOMEM)
                        return r;
                if (r == 0 && access(path, F_OK) == 0) {
                        *ret = steal(path);
                        return 0;
                }
        }

        return address_parse(SYSTEM_SOCKET, ret);
}
