/* SPDX-License-Identifier: Apache-2.0 */

/* Default environments and user names; stateless, in forkd. */

#include "environment.h"

#include <grp.h>
#include <pwd.h>

#define KEEP_USEC    (10 * USEC_PER_SEC)
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void strings_free(char **list) {
        for (char **s = list; s && *s; s++)
                free(*s);
        free(list);
}

int strings_append(char ***list, const char *string) {
        size_t n = 0;
        char **grown, *copy;

        while (*list && (*list)[n])
                n++;
        grown = realloc(*list, (n + 2) * sizeof(char *));
        if (!grown)
                return -ENOMEM;
        *list = grown;
        copy = strdup(string);
        grown[n] = copy;
        grown[n + 1] = NULL;
        return copy ? 0 : -ENOMEM;
}

static int environment_make(uid_t uid, char ***ret) {
        char buffer[4096];
        struct passwd entry, *user = NULL;
        char **list = calloc(6, sizeof(char *));
        const char *lang = getenv("LANG");
        int n = 0;

        if (!list)
                return -ENOMEM;

        (void)getpwuid_r(uid, &entry, buffer, sizeof(buffer), &user);
        if (asprintf(&list[n++], "PATH=%s", DEFAULT_PATH) < 0 ||
            asprintf(&list[n++], "LANG=%s", lang ?: "C.UTF-8") < 0 ||
            asprintf(&list[n++], "HOME=%s", user ? user->pw_dir : "/") < 0 ||
            asprintf(&list[n++], "SHELL=%s", user && *user->pw_shell ? user->pw_shell : "/bin/sh") <
                    0 ||
            (user && asprintf(&list[n++], "USER=%s", user->pw_name) < 0)) {
                list[n - 1] = NULL;
                strings_free(list);
                return -ENOMEM;
        }

        *ret = list;
        return 0;
}

int environment_default(EnvironmentCache *cache, uid_t uid, char *const **ret) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        char **list;
        int r;

        if (!cache->list || cache->uid != uid || now - cache->since > KEEP_USEC) {
                r = environment_make(uid, &list);
                if (r < 0)
                        return r;
                strings_free(cache->list);
                *cache = (EnvironmentCache){ .list = list, .uid = uid, .since = now };
        }

        *ret = cache->list;
        return 0;
}

void environment_cache_done(EnvironmentCache *cache) {
        strings_free(cache->list);
        *cache = (EnvironmentCache){ 0 };
}

int user_lookup(const char *name, UserIdentity *ret) {
        char buffer[4096], *end;
        struct passwd entry, *user = NULL;
        UserIdentity u = { 0 };
        int n = 64;

        (void)getpwnam_r(name, &entry, buffer, sizeof(buffer), &user);
        if (!user && *name >= '0' && *name <= '9') {
                unsigned long uid = strtoul(name, &end, 10);

                if (*end == '\0' && uid < UINT32_MAX)
                        (void)getpwuid_r((uid_t)uid, &entry, buffer, sizeof(buffer), &user);
        }
        if (!user)
                return -ESRCH;

        u.uid = user->pw_uid;
        u.gid = user->pw_gid;
        for (;;) {
                gid_t *groups = realloc(u.groups, (size_t)n * sizeof(gid_t));
                int had = n;

                if (!groups) {
                        free(u.groups);
                        return -ENOMEM;
                }
                u.groups = groups;
                if (getgrouplist(user->pw_name, user->pw_gid, groups, &n) >= 0)
                        break;
                if (n <= had)
                        n = had * 2;
        }
        u.n_groups = (size_t)n;

        *ret = u;
        return 0;
}

void user_identity_done(UserIdentity *u) {
        free(u->groups);
        *u = (UserIdentity){ 0 };
}
