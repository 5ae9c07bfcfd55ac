/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/paths.h: modes, environment, overrides, helpers and directories. */

#include "paths.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

static int clear_environment(void **state) {
        (void)state;
        clearenv();
        return 0;
}

static void test_system(void **state) {
        _cleanup_(paths_freep) Paths *p = NULL;

        (void)state;
        assert_int_equal(paths_new(&p, PATH_MODE_SYSTEM, NULL, NULL, NULL), 0);
        assert_true(p->system);
        assert_string_equal(p->runtime, "/run/forkd");
        assert_string_equal(p->state, "/var/lib/forkd");
        assert_string_equal(p->socket, "/run/forkd/org.forkd");
        assert_string_equal(p->config[0], "/run/forkd");
        assert_string_equal(p->config[1], FORKD_SYSCONF_DIR);
        assert_string_equal(p->config[2], FORKD_LIB_DIR);
        assert_null(p->config[3]);
}

static void test_auto_is_by_uid(void **state) {
        _cleanup_(paths_freep) Paths *p = NULL;

        (void)state;
        setenv("XDG_RUNTIME_DIR", "/r", 1);
        setenv("HOME", "/h", 1);
        assert_int_equal(paths_new(&p, PATH_MODE_AUTO, NULL, NULL, NULL), 0);
        assert_int_equal(p->system, geteuid() == 0);
}

static void test_user(void **state) {
        _cleanup_(paths_freep) Paths *p = NULL, *q = NULL;

        (void)state;
        setenv("HOME", "/home/x", 1);
        assert_int_equal(paths_new(&p, PATH_MODE_USER, NULL, NULL, NULL), -ENOENT);
        setenv("XDG_RUNTIME_DIR", "relative", 1); /* does not count */
        assert_int_equal(paths_new(&p, PATH_MODE_USER, NULL, NULL, NULL), -ENOENT);
        assert_null(p);
        setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
        assert_int_equal(paths_new(&p, PATH_MODE_USER, NULL, NULL, NULL), 0);
        assert_false(p->system);
        assert_string_equal(p->runtime, "/run/user/7/forkd");
        assert_string_equal(p->state, "/home/x/.local/state/forkd");
        assert_string_equal(p->config[0], "/home/x/.config/forkd");
        assert_string_equal(p->config[1], "/run/forkd");

        setenv("XDG_STATE_HOME", "/s", 1);
        setenv("XDG_CONFIG_HOME", "/c", 1);
        assert_int_equal(paths_new(&q, PATH_MODE_USER, NULL, NULL, NULL), 0);
        assert_string_equal(q->state, "/s/forkd");
        assert_string_equal(q->config[0], "/c/forkd");
}

static void test_overrides(void **state) {
        _cleanup_(paths_freep) Paths *p = NULL, *q = NULL;
        char cwd[PATH_MAX], expected[PATH_MAX + 16];

        (void)state;
        setenv("RUNTIME_DIRECTORY", "/run/a:/run/b", 1);
        setenv("STATE_DIRECTORY", "/var/lib/a", 1);
        setenv("CONFIGURATION_DIRECTORY", "/etc/a:/etc/b", 1);
        assert_int_equal(paths_new(&p, PATH_MODE_USER, NULL, NULL, NULL), 0);
        assert_string_equal(p->runtime, "/run/a");
        assert_string_equal(p->state, "/var/lib/a");
        assert_string_equal(p->config[0], "/etc/a");
        assert_null(p->config[1]);

        assert_int_equal(paths_new(&q, PATH_MODE_SYSTEM, "/x//", "y/z", "/c"), 0);
        assert_string_equal(q->runtime, "/x");
        assert_string_equal(q->socket, "/x/org.forkd");
        assert_string_equal(q->config[0], "/c");
        assert_null(q->config[1]);
        assert_non_null(getcwd(cwd, sizeof(cwd)));
        snprintf(expected, sizeof(expected), "%s/y/z", cwd);
        assert_string_equal(q->state, expected);
}

/* systemd sets it for ConfigurationDirectory=forkd, which is where forkd looks anyway. */
static void test_the_usual_configuration_directory(void **state) {
        _cleanup_(paths_freep) Paths *p = NULL, *q = NULL, *given = NULL;

        (void)state;
        setenv("CONFIGURATION_DIRECTORY", FORKD_SYSCONF_DIR, 1);
        assert_int_equal(paths_new(&p, PATH_MODE_SYSTEM, NULL, NULL, NULL), 0);
        assert_string_equal(p->config[0], "/run/forkd");
        assert_string_equal(p->config[1], FORKD_SYSCONF_DIR);
        assert_string_equal(p->config[2], FORKD_LIB_DIR);
        assert_null(p->config[3]);

        setenv("XDG_CONFIG_HOME", "/c", 1);
        setenv("CONFIGURATION_DIRECTORY", "/c/forkd", 1);
        assert_int_equal(paths_new(&q, PATH_MODE_USER, "/r", "/s", NULL), 0);
        assert_string_equal(q->config[0], "/c/forkd");
        assert_string_equal(q->config[1], "/run/forkd");

        /* the option means it */
        assert_int_equal(paths_new(&given, PATH_MODE_USER, "/r", "/s", "/c/forkd"), 0);
        assert_string_equal(given->config[0], "/c/forkd");
        assert_null(given->config[1]);
}

static void test_find_helper(void **state) {
        char dir[] = "/tmp/test-paths-XXXXXX", path[128], *found = NULL;
        char exe[PATH_MAX];
        ssize_t n;
        int fd;

        (void)state;
        assert_int_equal(paths_find_helper("forkd-no-such-helper", &found), -ENOENT);
        assert_null(found);

        /* beside this program stands at least this program */
        n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        exe[n] = '\0';
        assert_int_equal(paths_find_helper(strrchr(exe, '/') + 1, &found), 0);
        assert_string_equal(found, exe);
        free(found);
        found = NULL;

        assert_non_null(mkdtemp(dir));
        setenv("FORKD_LIBEXEC_DIR", dir, 1);
        snprintf(path, sizeof(path), "%s/forkd-x", dir);
        fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        assert_int_equal(paths_find_helper("forkd-x", &found), -ENOENT); /* not executable */
        assert_int_equal(chmod(path, 0700), 0);
        assert_int_equal(paths_find_helper("forkd-x", &found), 0);
        assert_string_equal(found, path);
        free(found);
        unlink(path);
        rmdir(dir);
}

static void test_make_directory(void **state) {
        char dir[] = "/tmp/test-paths-XXXXXX", path[128];
        struct stat st;

        (void)state;
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/a/b/c", dir);
        umask(0077);
        assert_int_equal(paths_make_directory(path, 0755), 0);
        assert_int_equal(paths_make_directory(path, 0700),
                         0); /* again is fine, and changes nothing */
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0755);
        rmdir(path);
        snprintf(path, sizeof(path), "%s/a/b", dir);
        rmdir(path);
        snprintf(path, sizeof(path), "%s/a", dir);
        rmdir(path);

        snprintf(path, sizeof(path), "%s/a/b/c/d", dir); /* rather a mistyped path */
        assert_int_equal(paths_make_directory(path, 0755), -ENOENT);
        snprintf(path, sizeof(path), "%s/f", dir);
        close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(paths_make_directory(path, 0755), -ENOTDIR);
        unlink(path);
        if (geteuid() == 0) {
                assert_int_equal(mkdir(path, 0755), 0);
                assert_int_equal(chown(path, 12345, 0), 0);
                assert_int_equal(paths_make_directory(path, 0755), -EPERM);
                rmdir(path);
        }
        assert_int_equal(rmdir(dir), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_system, clear_environment),
                cmocka_unit_test_setup(test_auto_is_by_uid, clear_environment),
                cmocka_unit_test_setup(test_user, clear_environment),
                cmocka_unit_test_setup(test_overrides, clear_environment),
                cmocka_unit_test_setup(test_the_usual_configuration_directory, clear_environment),
                cmocka_unit_test_setup(test_find_helper, clear_environment),
                cmocka_unit_test_setup(test_make_directory, clear_environment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
