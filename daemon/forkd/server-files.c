/* SPDX-License-Identifier: Apache-2.0 */

/* Which files of forkservers there are, what warnings about them look like, and whether one has
 * changed; stateless, in forkd. */

#include "environment.h"
#include "log.h"
#include "server-settings.h"
#include "text.h"

#include <dirent.h>
#include <sys/stat.h>

void server_file_warn(char ***warnings, const char *file, unsigned line, const char *sentence) {
        _cleanup_(freep) char *warning = NULL;

        if ((line > 0 ? asprintf(&warning, "%s:%u: %s", file, line, sentence)
                      : asprintf(&warning, "%s: %s", file, sentence)) < 0) {
                warning = NULL;
                return;
        }
        log_about(LOG_WARNING, 0, LOG_EVENT(CONFIG_IGNORED), "%s", warning);
        /* one forkserver may be read again and again */
        if (!*warnings || !text_in_list(warning, (const char *const *)*warnings))
                (void)strings_append(warnings, warning);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

static bool is_built_in(const char *name) {
        return streq(name, "spawner") || streq(name, "twin");
}

static void warn_name(const char *folder, const char *file, char ***warnings) {
        char path[4096];

        if (!warnings)
                return;
        snprintf(path, sizeof(path), "%s/%s", folder, file);
        server_file_warn(warnings, path, 0,
                         "ignoring this file: the name of a forkserver is a letter and then "
                         "letters, digits, '.', '_' and '-', at most 47 in all, and neither 'twin' "
                         "nor 'spawner'");
}

/* Adds those of one directory; hidden has all names that a higher one decides on. */
static int names_add(char ***names, char ***hidden, const char *folder, char ***warnings) {
        _cleanup_(closedirp) DIR *dir = opendir(folder);
        struct dirent *e;

        while (dir && (e = readdir(dir))) {
                size_t n = strlen(e->d_name);
                _cleanup_(freep) char *name = NULL;
                struct stat st;
                int r;

                if (*e->d_name == '.' || n < 6 || !streq(e->d_name + n - 5, ".conf"))
                        continue;
                name = strndup(e->d_name, n - 5);
                if (!name)
                        return -ENOMEM;
                if (!server_name_valid(name) || is_built_in(name)) {
                        warn_name(folder, e->d_name, warnings);
                        continue;
                }
                if (text_in_list(name, (const char *const *)*hidden) ||
                    fstatat(dirfd(dir), e->d_name, &st, 0) < 0 || S_ISDIR(st.st_mode))
                        continue;
                r = strings_append(hidden, name);
                /* a link to /dev/null or an empty file masks */
                if (r >= 0 && !S_ISCHR(st.st_mode) && !(S_ISREG(st.st_mode) && st.st_size == 0))
                        r = strings_append(names, name);
                if (r < 0)
                        return r;
        }
        return 0;
}

int server_settings_names(char ***ret, char *const *dirs, char ***warnings) {
        _cleanup_(strings_freep) char **names = calloc(1, sizeof(char *));
        _cleanup_(strings_freep) char **hidden = calloc(1, sizeof(char *));
        size_t n = 0;

        if (!names || !hidden)
                return -ENOMEM;
        for (; *dirs; dirs++) {
                _cleanup_(freep) char *folder = NULL;
                int r;

                if (asprintf(&folder, "%s/servers", *dirs) < 0) {
                        folder = NULL;
                        return -ENOMEM;
                }
                r = names_add(&names, &hidden, folder, warnings);
                if (r < 0)
                        return r;
        }
        while (names[n])
                n++;
        qsort(names, n, sizeof(char *), compare_names);
        *ret = steal(names);
        return 0;
}

bool server_name_valid(const char *name) {
        static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        static const char others[] =
                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

        return strlen(name) <= SERVER_NAME_MAX && strspn(name, letters) > 0 &&
               name[strspn(name, others)] == '\0' && !streq(name, "spawner") &&
               !streq(name, "twin");
}

/* ---- comparison */

static bool lists_equal(char *const *a, char *const *b) {
        while (a && b && *a && *b && streq(*a, *b)) {
                a++;
                b++;
        }
        return (!a || !*a) && (!b || !*b);
}

static bool limits_equal(const ServerSettings *a, const ServerSettings *b) {
        if (a->n_limits != b->n_limits)
                return false;
        for (size_t i = 0; i < a->n_limits; i++)
                if (a->limits[i].resource != b->limits[i].resource ||
                    a->limits[i].soft != b->limits[i].soft ||
                    a->limits[i].hard != b->limits[i].hard)
                        return false;
        return true;
}

static bool users_equal(const Owner *a, const Owner *b) {
        return a->uid == b->uid && a->gid == b->gid && a->n_groups == b->n_groups &&
               (a->n_groups == 0 || memcmp(a->groups, b->groups, a->n_groups * sizeof(gid_t)) == 0);
}

bool server_settings_equal(const ServerSettings *a, const ServerSettings *b) {
        return streq(a->name, b->name) && a->origin == b->origin &&
               lists_equal(a->modules, b->modules) && lists_equal(a->command, b->command) &&
               streq_null(a->arguments, b->arguments) &&
               lists_equal(a->environment, b->environment) && users_equal(&a->user, &b->user) &&
               lists_equal(a->allow_users, b->allow_users) &&
               a->start_at_boot == b->start_at_boot && a->preload_timeout == b->preload_timeout &&
               a->huge_pages == b->huge_pages && a->spare == b->spare && limits_equal(a, b);
}

/* Nothing that the process itself would notice is different. */
bool server_settings_same_process(const ServerSettings *a, const ServerSettings *b) {
        return lists_equal(a->modules, b->modules) && lists_equal(a->command, b->command) &&
               streq_null(a->arguments, b->arguments) &&
               lists_equal(a->environment, b->environment) && users_equal(&a->user, &b->user) &&
               a->huge_pages == b->huge_pages && limits_equal(a, b);
}
