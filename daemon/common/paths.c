/* SPDX-License-Identifier: Apache-2.0 */

/* Where things are. A Paths belongs to the main program that made it: forkd, forkd-keeper, or a
 * client through libforkd. */

#include "paths.h"

#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>

/* A directory from the environment; only absolute ones count, as the XDG specification says. */
static const char *env_absolute(const char *name) {
        const char *s = secure_getenv(name);

        return s && s[0] == '/' ? s : NULL;
}

/* Makes an override absolute, as processes of ours change their directory. */
static int path_absolute(const char *path, char **ret) {
        char *absolute;

        if (path[0] == '/')
                absolute = strdup(path);
        else {
                _cleanup_(freep) char *cwd = getcwd(NULL, 0);

                if (!cwd)
                        return -errno;
                if (asprintf(&absolute, "%s/%s", cwd, path) < 0)
                        absolute = NULL;
        }
        if (!absolute)
                return -ENOMEM;

        for (size_t n = strlen(absolute); n > 1 && absolute[n - 1] == '/'; n--)
                absolute[n - 1] = '\0';
        *ret = absolute;
        return 0;
}

/* What overrides the default: the option, else the first of the service manager's list. 1: *ret is
 * set. */
static int path_override(const char *option, const char *env, char **ret) {
        _cleanup_(freep) char *first = NULL;
        const char *list;
        int r;

        if (option) {
                r = path_absolute(option, ret);
                return r < 0 ? r : 1;
        }
        list = env_absolute(env);
        if (!list)
                return 0;
        first = strndup(list, strcspn(list, ":"));
        if (!first)
                return -ENOMEM;
        r = path_absolute(first, ret);
        return r < 0 ? r : 1;
}

/* $XDG/forkd, else $HOME/BELOW/forkd (BELOW may be NULL); -ENOENT when neither is known. */
static int path_user(const char *xdg, const char *below, char **ret) {
        const char *dir = env_absolute(xdg), *home = env_absolute("HOME");
        char *path = NULL;
        int k;

        if (dir)
                k = asprintf(&path, "%s/forkd", dir);
        else if (below && home)
                k = asprintf(&path, "%s/%s/forkd", streq(home, "/") ? "" : home, below);
        else
                return -ENOENT;
        if (k < 0)
                return -ENOMEM;
        *ret = path;
        return 0;
}

static int paths_set_directory(const Paths *p, char **ret, const char *option, const char *env,
                               const char *system, const char *xdg, const char *below) {
        int r = path_override(option, env, ret);

        if (r != 0)
                return r < 0 ? r : 0;
        if (!p->system)
                return path_user(xdg, below, ret);
        *ret = strdup(system);
        return *ret ? 0 : -ENOMEM;
}

/* A unit with ConfigurationDirectory=forkd names a folder that is one of ours anyway, and means no
 * other: the rest stay in force. */
static bool config_is_usual(const Paths *p, const char *dir) {
        _cleanup_(freep) char *own = NULL;

        if (p->system)
                return streq(dir, FORKD_SYSCONF_DIR);
        return path_user("XDG_CONFIG_HOME", ".config", &own) == 0 && streq(dir, own);
}

static int paths_set_config(Paths *p, const char *option) {
        static const char *const dirs[] = { "/run/forkd", FORKD_SYSCONF_DIR, FORKD_LIB_DIR };
        size_t n = 0;
        int r;

        p->config = calloc(ELEMENTSOF(dirs) + 2, sizeof(char *));
        if (!p->config)
                return -ENOMEM;

        r = path_override(option, "CONFIGURATION_DIRECTORY", &p->config[0]);
        if (r < 0)
                return r;
        if (r > 0) {
                if (option || !config_is_usual(p, p->config[0]))
                        return 0;
                free(steal(p->config[0]));
        }

        if (!p->system) {
                r = path_user("XDG_CONFIG_HOME", ".config", &p->config[n]);
                if (r == 0)
                        n++;
                else if (r != -ENOENT)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
                p->config[n] = strdup(dirs[i]);
                if (!p->config[n++])
                        return -ENOMEM;
        }
        return 0;
}

int paths_new(Paths **ret, PathMode mode, const char *runtime, const char *state,
              const char *config) {
        _cleanup_(paths_freep) Paths *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->system = mode == PATH_MODE_SYSTEM || (mode == PATH_MODE_AUTO && geteuid() == 0);

        r = paths_set_directory(p, &p->runtime, runtime, "RUNTIME_DIRECTORY", "/run/forkd",
                                "XDG_RUNTIME_DIR", NULL);
        if (r < 0)
                return r;
        r = paths_set_directory(p, &p->state, state, "STATE_DIRECTORY", "/var/lib/forkd",
                                "XDG_STATE_HOME", ".local/state");
        if (r < 0)
                return r;
        r = paths_set_config(p, config);
        if (r < 0)
                return r;
        if (asprintf(&p->socket, "%s/org.forkd", p->runtime) < 0) {
                p->socket = NULL;
                return -ENOMEM;
        }

        *ret = steal(p);
        return 0;
}

Paths *paths_free(Paths *p) {
        if (!p)
                return NULL;
        if (p->config)
                for (char **s = p->config; *s; s++)
                        free(*s);
        free(p->config);
        free(p->runtime);
        free(p->state);
        free(p->socket);
        free(p);
        return NULL;
}

/* ---- helpers */

/* 0 and *ret when format names a program, -ENOENT when not. */
_printf_(2, 3) static int helper_try(char **ret, const char *format, ...) {
        _cleanup_(freep) char *path = NULL;
        struct stat st;
        va_list ap;
        int k;

        va_start(ap, format);
        k = vasprintf(&path, format, ap);
        va_end(ap);
        if (k < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || access(path, X_OK) < 0)
                return -ENOENT;
        *ret = steal(path);
        return 0;
}

/* The folder of the build tree that a program is made in: "forkd-keeper" in "keeper", "forkd" in
 * "forkd"; the spawner is the plainest of forkservers. */
static const char *helper_folder(const char *name) {
        if (streq(name, "forkd-spawner"))
                return "server";
        return strncmp(name, "forkd-", 6) == 0 ? name + 6 : name;
}

/* exe is this program's path. A sibling folder only counts when this program stands in its own one,
 * as it does in the build tree and nowhere else. */
static int helper_try_beside(const char *name, char *exe, char **ret) {
        char *slash = strrchr(exe, '/'), *folder;
        const char *self;
        int r;

        if (!slash)
                return -ENOENT;
        *slash = '\0';
        self = slash + 1;

        r = helper_try(ret, "%s/%s", exe, name);
        if (r != -ENOENT)
                return r;

        folder = strrchr(exe, '/');
        if (!folder || !streq(folder + 1, helper_folder(self)))
                return -ENOENT;
        return helper_try(ret, "%.*s/%s/%s", (int)(folder - exe), exe, helper_folder(name), name);
}

int paths_find_helper(const char *name, char **ret) {
        const char *dir = env_absolute("FORKD_LIBEXEC_DIR");
        char exe[PATH_MAX];
        ssize_t n;
        int r;

        if (dir) {
                r = helper_try(ret, "%s/%s", dir, name);
                if (r != -ENOENT)
                        return r;
        }
        n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        if (n > 0) {
                exe[n] = '\0';
                r = helper_try_beside(name, exe, ret);
                if (r != -ENOENT)
                        return r;
        }
        return helper_try(ret, "%s/%s", FORKD_LIBEXEC_DIR, name);
}

/* ---- directories */

static int directory_make(const char *path, unsigned mode) {
        if (mkdir(path, mode) < 0)
                return errno == EEXIST ? 0 : -errno;
        /* the mode that was asked for, whatever the umask */
        return chmod(path, mode) < 0 ? -errno : 0;
}

/* The parents of path that are missing, at most depth of them. */
static int parents_make(const char *path, unsigned mode, unsigned depth) {
        const char *slash = strrchr(path, '/');
        _cleanup_(freep) char *parent = NULL;
        int r;

        if (!slash || slash == path || depth == 0)
                return 0;
        parent = strndup(path, (size_t)(slash - path));
        if (!parent)
                return -ENOMEM;
        if (access(parent, F_OK) == 0)
                return 0;
        r = parents_make(parent, mode, depth - 1);
        if (r < 0)
                return r;
        return directory_make(parent, mode);
}

int paths_make_directory(const char *path, unsigned mode) {
        struct stat st;
        int r;

        r = parents_make(path, mode, 2);
        if (r < 0)
                return r;
        r = directory_make(path, mode);
        if (r < 0)
                return r;
        if (stat(path, &st) < 0)
                return -errno;
        if (!S_ISDIR(st.st_mode))
                return -ENOTDIR;
        if (st.st_uid != geteuid())
                return -EPERM;
        return access(path, W_OK | X_OK) < 0 ? -errno : 0;
}
