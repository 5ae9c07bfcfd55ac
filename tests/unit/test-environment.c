/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/environment.h: default environments, users, lists of strings. */

#include "environment.h"

#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOBODY_HAS_IT 3999999999u

static const char *find(char *const *list, const char *name) {
        const char *found = NULL;
        size_t n = strlen(name);

        for (char *const *s = list; *s; s++)
                if (strncmp(*s, name, n) == 0 && (*s)[n] == '=') {
                        assert_null(found); /* once only */
                        found = *s + n + 1;
                }
        return found;
}

static size_t length(char *const *list) {
        size_t n = 0;

        while (list[n])
                n++;
        return n;
}

static void test_default_of_user(void **state) {
        const struct passwd *user = getpwnam("daemon");
        EnvironmentCache cache = { 0 };
        char *const *list = NULL, *const *again = NULL;
        char home[256];

        (void)state;
        assert_non_null(user);
        snprintf(home, sizeof(home), "%s", user->pw_dir);
        setenv("LANG", "de_DE.UTF-8", 1);
        setenv("SECRET_OF_FORKD", "x", 1);
        assert_int_equal(environment_default(&cache, user->pw_uid, &list), 0);
        assert_int_equal(length(list), 5);
        assert_non_null(strstr(find(list, "PATH"), "/usr/bin"));
        assert_string_equal(find(list, "HOME"), home);
        assert_string_equal(find(list, "USER"), "daemon");
        assert_non_null(find(list, "SHELL"));
        assert_true(*find(list, "SHELL") == '/');
        assert_string_equal(find(list, "LANG"), "de_DE.UTF-8");

        /* asked again it is the same answer; of another user it is another */
        assert_int_equal(environment_default(&cache, user->pw_uid, &again), 0);
        assert_ptr_equal(again, list);
        assert_int_equal(environment_default(&cache, 0, &again), 0);
        assert_string_equal(find(again, "USER"), "root");
        environment_cache_done(&cache);
}

/* A uid without an entry is a user, too. */
static void test_default_of_stranger(void **state) {
        EnvironmentCache cache = { 0 };
        char *const *list = NULL;

        (void)state;
        unsetenv("LANG");
        assert_null(getpwuid(NOBODY_HAS_IT));
        assert_int_equal(environment_default(&cache, NOBODY_HAS_IT, &list), 0);
        assert_int_equal(length(list), 4);
        assert_string_equal(find(list, "HOME"), "/");
        assert_string_equal(find(list, "SHELL"), "/bin/sh");
        assert_string_equal(find(list, "LANG"), "C.UTF-8");
        assert_null(find(list, "USER"));
        environment_cache_done(&cache);
}

static void test_user_by_name_and_number(void **state) {
        const struct passwd *user = getpwnam("daemon");
        uid_t uid = user->pw_uid;
        gid_t gid = user->pw_gid;
        UserIdentity u = { 0 };
        char number[16];

        (void)state;
        assert_int_equal(user_lookup("daemon", &u), 0);
        assert_int_equal(u.uid, uid);
        assert_int_equal(u.gid, gid);
        assert_true(u.n_groups >= 1);
        user_identity_done(&u);
        assert_null(u.groups);
        user_identity_done(&u);

        snprintf(number, sizeof(number), "%u", uid);
        assert_int_equal(user_lookup(number, &u), 0);
        assert_int_equal(u.uid, uid);
        user_identity_done(&u);
        assert_int_equal(user_lookup("0", &u), 0);
        assert_int_equal(u.uid, 0);
        user_identity_done(&u);
}

/* Every group of everybody is found, and nothing else. */
static void test_groups_of_all(void **state) {
        const struct passwd *user;
        char names[64][64];
        size_t n = 0;

        (void)state;
        setpwent();
        while ((user = getpwent()) && n < ELEMENTSOF(names))
                snprintf(names[n++], sizeof(names[0]), "%s", user->pw_name);
        endpwent();
        assert_true(n > 3);

        for (size_t i = 0; i < n; i++) {
                UserIdentity u = { 0 };
                gid_t groups[1024];
                int k = 1024;

                assert_int_equal(user_lookup(names[i], &u), 0);
                assert_true(getgrouplist(names[i], u.gid, groups, &k) > 0);
                assert_int_equal(u.n_groups, k);
                assert_memory_equal(u.groups, groups, (size_t)k * sizeof(gid_t));
                user_identity_done(&u);
        }
}

static void test_no_such_user(void **state) {
        static const char *const names[] = {
                "",           "no-such-user-here",
                "3999999999", "4294967295",
                "4294967296", "-1",
                "0x0",        "1x",
                " 1",         "99999999999999999999999999",
        };

        (void)state;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                UserIdentity u = { .uid = 77 };

                assert_int_equal(user_lookup(names[i], &u), -ESRCH);
                assert_int_equal(u.uid, 77);
        }
}

static void test_strings(void **state) {
        char **list = NULL;

        (void)state;
        strings_free(NULL);
        for (int i = 0; i < 100; i++) {
                char text[16];

                snprintf(text, sizeof(text), "%d", i);
                assert_int_equal(strings_append(&list, text), 0);
                assert_int_equal(length(list), i + 1);
        }
        assert_string_equal(list[0], "0");
        assert_string_equal(list[99], "99");
        strings_free(list);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_default_of_user),
                cmocka_unit_test(test_default_of_stranger),
                cmocka_unit_test(test_user_by_name_and_number),
                cmocka_unit_test(test_groups_of_all),
                cmocka_unit_test(test_no_such_user),
                cmocka_unit_test(test_strings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
