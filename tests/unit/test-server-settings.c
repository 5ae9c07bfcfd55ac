/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/server-settings.h: servers/NAME.conf, its keys, and what is wrong with it. */

#include "server-settings.h"

#include "environment.h"
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Tree {
        char root[64], high[80], low[80];
        char *dirs[3];
} Tree;

static int tree_make(void **state) {
        static Tree tree;

        snprintf(tree.root, sizeof(tree.root), "/tmp/test-settings-XXXXXX");
        if (!mkdtemp(tree.root))
                return -1;
        snprintf(tree.high, sizeof(tree.high), "%s/high", tree.root);
        snprintf(tree.low, sizeof(tree.low), "%s/low", tree.root);
        tree.dirs[0] = tree.high;
        tree.dirs[1] = tree.low;
        log_set_level(LOG_CRIT);
        *state = &tree;
        return mkdir(tree.high, 0755) < 0 || mkdir(tree.low, 0755) < 0 ? -1 : 0;
}

static int tree_remove(void **state) {
        Tree *tree = *state;
        char command[128];

        snprintf(command, sizeof(command), "rm -r %s", tree->root);
        return system(command);
}

static void tree_write(const char *dir, const char *name, const char *text) {
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/servers", dir);
        mkdir(path, 0755);
        if (strchr(name, '/')) {
                snprintf(path, sizeof(path), "%s/servers/%.*s", dir,
                         (int)(strchr(name, '/') - name), name);
                mkdir(path, 0755);
        }
        snprintf(path, sizeof(path), "%s/servers/%s", dir, name);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

typedef struct Loaded {
        ServerSettings *settings;
        char **warnings;
        char *reason;
} Loaded;

static void loaded_done(Loaded *l) {
        server_settings_free(l->settings);
        strings_free(l->warnings);
        free(l->reason);
        *l = (Loaded){ 0 };
}

/* Of one text, which is the only file. */
static int load(Tree *tree, const char *text, Loaded *l) {
        tree_write(tree->high, "spell.conf", text);
        loaded_done(l);
        return server_settings_load(&l->settings, "spell", tree->dirs, &l->warnings, &l->reason);
}

static void test_defaults(void **state) {
        _cleanup_(loaded_done) Loaded l = { 0 };
        ServerSettings *s;

        assert_int_equal(load(*state, "[Server]\nModule=spell\n", &l), 0);
        assert_null(l.warnings);
        assert_null(l.reason);
        s = l.settings;
        assert_string_equal(s->name, "spell");
        assert_int_equal(s->origin, SERVER_FROM_CONFIGURATION);
        assert_string_equal(s->modules[0], "spell");
        assert_null(s->modules[1]);
        assert_null(s->command);
        assert_null(s->arguments);
        assert_null(s->environment);
        assert_int_equal(s->user.uid, geteuid());
        assert_false(s->start_at_boot || s->huge_pages || s->allow_all);
        assert_int_equal(s->preload_timeout, 60 * USEC_PER_SEC);
        assert_int_equal(s->spare, 1);
        assert_int_equal(s->n_limits, 0);
}

static void test_all(void **state) {
        _cleanup_(loaded_done) Loaded l = { 0 };
        ServerSettings *s;
        char text[1024];

        snprintf(text, sizeof(text),
                 "[Server]\n"
                 "Command=python3 '/a b/host.py' \"-x y\"\n"
                 "Arguments={\"dictionary\": \\\n \"/x\"}\n"
                 "Environment=A=1 'B=2 3'\nEnvironment=C=\n"
                 "User=%u\nAllowUsers=root *\nStart=boot\nPreloadTimeout=2min\n"
                 "HugePages=yes\n"
                 "[Pool]\nSpare=4\n"
                 "[Limits]\nLimitNOFILE=1024:4096\nLimitCORE=0\nLimitAS=1G:infinity\n",
                 geteuid());
        assert_int_equal(load(*state, text, &l), 0);
        assert_null(l.warnings);
        s = l.settings;
        assert_null(s->modules);
        assert_string_equal(s->command[0], "python3");
        assert_string_equal(s->command[1], "/a b/host.py");
        assert_string_equal(s->command[2], "-x y");
        assert_null(s->command[3]);
        assert_non_null(strstr(s->arguments, "\"dictionary\""));
        assert_string_equal(s->environment[0], "A=1");
        assert_string_equal(s->environment[1], "B=2 3");
        assert_string_equal(s->environment[2], "C=");
        assert_null(s->environment[3]);
        assert_true(s->start_at_boot && s->huge_pages && s->allow_all);
        assert_int_equal(s->n_allowed, 1);
        assert_int_equal(s->allowed[0], 0);
        assert_int_equal(s->preload_timeout, 120 * USEC_PER_SEC);
        assert_int_equal(s->spare, 4);
        assert_int_equal(s->n_limits, 3);
        assert_int_equal(s->limits[0].resource, RLIMIT_NOFILE);
        assert_int_equal(s->limits[0].soft, 1024);
        assert_int_equal(s->limits[0].hard, 4096);
        assert_int_equal(s->limits[1].hard, 0);
        assert_int_equal(s->limits[2].soft, (uint64_t)1 << 30);
        assert_int_equal(s->limits[2].hard, UINT64_MAX);
}

/* An empty value starts a list anew. */
static void test_lists(void **state) {
        _cleanup_(loaded_done) Loaded l = { 0 };

        assert_int_equal(load(*state,
                              "[Server]\nModule=a b\nModule=\nModule=c\nModule=/d.so\n"
                              "Environment=A=1\nEnvironment=\nEnvironment=B=1\n"
                              "AllowUsers=*\nAllowUsers=\nArguments={}\nArguments=\n",
                              &l),
                         0);
        assert_string_equal(l.settings->modules[0], "c");
        assert_string_equal(l.settings->modules[1], "/d.so");
        assert_null(l.settings->modules[2]);
        assert_string_equal(l.settings->environment[0], "B=1");
        assert_null(l.settings->environment[1]);
        assert_false(l.settings->allow_all);
        assert_null(l.settings->arguments);
        assert_int_equal(load(*state, "[Server]\nModule=a\nCommand=/b\nCommand=\n", &l), 0);
}

/* What is ignored is said, and the rest counts. */
static void test_warnings(void **state) {
        static const struct {
                const char *line, *warning;
        } lines[] = {
                { "Modul=x", "spell.conf:3: ignoring the unknown key Modul= in section [Server]" },
                { "Start=never", "ignoring Start=never: it takes boot or use" },
                { "PreloadTimeout=0", "ignoring PreloadTimeout=0: it takes a time span" },
                { "HugePages=some", "ignoring HugePages=some: it takes yes or no" },
                { "Spare=1", "ignoring Spare= in section [Server]: it belongs into [Pool]" },
                { "Environment=1A=x", "ignoring Environment=1A=x: it takes assignments" },
                { "Environment=A", "ignoring Environment=A: it takes assignments" },
                { "Environment='A=1", "ignoring Environment='A=1: it takes assignments" },
                { "AllowUsers=no-such-user-here", "it takes users that exist, or *" },
                { "[Pool]\nSpare=65", "ignoring Spare=65: it takes a number from 0 to 64" },
                { "[Limits]\nLimitX=1", "ignoring the unknown limit LimitX=" },
                { "[Limits]\nLimitNOFILE=2:1", "ignoring LimitNOFILE=2:1: it takes a number" },
                { "[Limits]\nLimitNOFILE=x", "ignoring LimitNOFILE=x: it takes a number" },
                { "[Other]\nX=1", "ignoring the unknown key X= in section [Other]" },
        };
        char text[256];

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                _cleanup_(loaded_done) Loaded l = { 0 };

                snprintf(text, sizeof(text), "[Server]\nModule=spell\n%s\n", lines[i].line);
                assert_int_equal(load(*state, text, &l), 0);
                assert_non_null(l.warnings);
                if (!strstr(l.warnings[0], lines[i].warning))
                        fail_msg("'%s' is not in: %s", lines[i].warning, l.warnings[0]);
                assert_null(l.warnings[1]);
                assert_string_equal(l.settings->modules[0], "spell");
                assert_int_equal(l.settings->spare, 1);
        }
}

/* Where ignoring a line would start something else than was meant, nothing is started. */
static void test_unusable(void **state) {
        static const struct {
                const char *text, *reason;
        } files[] = {
                { "[Pool]\nSpare=0", "it has neither Module= nor Command=" },
                { "[Server]\nModule=a\nCommand=/b", "it has both Module= and Command=" },
                { "[Server]\nModule=a\nUser=no-such-user-here",
                  "User=no-such-user-here: it takes a user" },
                { "[Server]\nModule=../a.so", "Module=../a.so: it takes names or absolute paths" },
                { "[Server]\nCommand=bin/host", "Command=bin/host: it takes a program" },
                { "[Server]\nCommand=/bin/x '", "Command=/bin/x ': it takes a program" },
                { "[Server]\nModule=a\nArguments=[1]", "Arguments=[1]: it takes a JSON object" },
                { "[Server]\nModule=a\nArguments={\"a\":1,\"a\":2}", "it takes a JSON object" },
        };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                _cleanup_(loaded_done) Loaded l = { 0 };

                assert_int_equal(load(*state, files[i].text, &l), SERVER_SETTINGS_E_INVALID);
                if (!strstr(l.reason, files[i].reason))
                        fail_msg("'%s' is not in: %s", files[i].reason, l.reason);
                assert_non_null(l.warnings); /* --check fails */
                assert_string_equal(l.settings->name, "spell");
        }
}

static void test_bounds(void **state) {
        _cleanup_(loaded_done) Loaded l = { 0 };
        char text[70000], *p;

        p = stpcpy(text, "[Server]\n");
        for (int i = 0; i < SERVER_MODULES_MAX; i++)
                p = stpcpy(p, "Module=a\n");
        assert_int_equal(load(*state, text, &l), 0);
        stpcpy(p, "Module=a\n");
        assert_int_equal(load(*state, text, &l), SERVER_SETTINGS_E_INVALID);

        p = stpcpy(text, "[Server]\nModule=a\nArguments={\"a\":\"");
        memset(p, 'x', 64 * 1024);
        strcpy(p + 64 * 1024, "\"}\n");
        assert_int_equal(load(*state, text, &l), SERVER_SETTINGS_E_INVALID);
        strcpy(p + 64 * 1024 - 9, "\"}\n");
        assert_int_equal(load(*state, text, &l), 0);
}

static void test_drop_ins(void **state) {
        Tree *tree = *state;
        _cleanup_(loaded_done) Loaded l = { 0 };

        tree_write(tree->low, "spell.conf", "[Server]\nModule=low\n");
        tree_write(tree->low, "spell.conf.d/10-x.conf", "[Pool]\nSpare=7\n");
        assert_int_equal(load(tree, "[Server]\nModule=high\n", &l), 0);
        assert_string_equal(l.settings->modules[0], "high");
        assert_null(l.settings->modules[1]);
        assert_int_equal(l.settings->spare, 7);
}

static void test_names(void **state) {
        Tree *tree = *state;
        char **names = NULL, **warnings = NULL, path[128];

        assert_int_equal(server_settings_names(&names, tree->dirs, &warnings), 0);
        assert_null(names[0]);
        strings_free(names);

        tree_write(tree->high, "b.conf", "x");
        tree_write(tree->low, "b.conf", "x");
        tree_write(tree->low, "a.conf", "x");
        tree_write(tree->low, "masked.conf", "x");
        snprintf(path, sizeof(path), "%s/servers/masked.conf", tree->high);
        assert_int_equal(symlink("/dev/null", path), 0);
        tree_write(tree->low, "empty.conf", "");
        tree_write(tree->low, "9.conf", "x");
        tree_write(tree->low, "other.txt", "x");
        tree_write(tree->low, "only.conf.d/x.conf", "x");
        assert_int_equal(server_settings_names(&names, tree->dirs, &warnings), 0);
        assert_string_equal(names[0], "a");
        assert_string_equal(names[1], "b");
        assert_null(names[2]);
        assert_non_null(strstr(warnings[0], "/9.conf: ignoring this file"));
        assert_null(warnings[1]);
        strings_free(names);
        strings_free(warnings);

        {
                _cleanup_(loaded_done) Loaded l = { 0 };
                static const char *const none[] = { "no-such", "masked", "../b", "" };

                for (size_t i = 0; i < ELEMENTSOF(none); i++)
                        assert_int_equal(server_settings_load(&l.settings, none[i], tree->dirs,
                                                              &l.warnings, &l.reason),
                                         SERVER_SETTINGS_E_NONE);
        }
}

static void test_valid_names(void **state) {
        char name[SERVER_NAME_MAX + 2];

        (void)state;
        memset(name, 'x', sizeof(name));
        name[SERVER_NAME_MAX + 1] = '\0';
        assert_false(server_name_valid(name));
        name[SERVER_NAME_MAX] = '\0';
        assert_true(server_name_valid(name));
        assert_true(server_name_valid("a") && server_name_valid("Spell-2.en_GB"));
        assert_false(server_name_valid("") || server_name_valid("2a") || server_name_valid(".a") ||
                     server_name_valid("a/b") || server_name_valid("a b") ||
                     server_name_valid("\xc3\xa4") || server_name_valid("a\n"));
}

static void test_equal(void **state) {
        static const char *const changes[] = {
                "[Server]\nModule=b\n",
                "[Server]\nArguments={}\n",
                "[Server]\nEnvironment=A=1\n",
                "[Server]\nHugePages=yes\n",
                "[Limits]\nLimitCPU=1\n",
                /* from here on the process need not be started again */
                "[Server]\nStart=boot\n",
                "[Server]\nPreloadTimeout=1\n",
                "[Server]\nAllowUsers=*\n",
                "[Pool]\nSpare=2\n",
        };
        char text[128];

        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_(loaded_done) Loaded a = { 0 }, b = { 0 }, c = { 0 };

                assert_int_equal(load(*state, "[Server]\nModule=a\n", &a), 0);
                assert_int_equal(load(*state, "[Server]\nModule=a\n", &b), 0);
                assert_true(server_settings_equal(a.settings, b.settings));
                snprintf(text, sizeof(text), "[Server]\nModule=a\n%s", changes[i]);
                assert_int_equal(load(*state, text, &c), 0);
                assert_false(server_settings_equal(a.settings, c.settings));
                assert_int_equal(server_settings_same_process(a.settings, c.settings), i >= 5);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_defaults, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_all, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_lists, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_warnings, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_unusable, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_bounds, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_drop_ins, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_names, tree_make, tree_remove),
                cmocka_unit_test(test_valid_names),
                cmocka_unit_test_setup_teardown(test_equal, tree_make, tree_remove),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
