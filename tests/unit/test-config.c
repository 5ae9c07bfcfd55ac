/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/forkd/config.h: keys, defaults, and the warnings about what is ignored. The syntax of
 * files is tested with conf-file. */

#include "config.h"

#include "failing-alloc.h"
#include "log.h"

#include <jansson.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Tree {
        char root[64], high[80], low[80];
        char *dirs[3];
} Tree;

static int tree_make(void **state) {
        static Tree tree;

        snprintf(tree.root, sizeof(tree.root), "/tmp/test-config-XXXXXX");
        if (!mkdtemp(tree.root))
                return -1;
        snprintf(tree.high, sizeof(tree.high), "%s/high", tree.root);
        snprintf(tree.low, sizeof(tree.low), "%s/low", tree.root);
        tree.dirs[0] = tree.high;
        tree.dirs[1] = tree.low;
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

        snprintf(path, sizeof(path), "%s/forkd.conf.d", dir);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static Config *load(Tree *tree) {
        Config *c = NULL;

        assert_int_equal(config_load(&c, tree->dirs), 0);
        assert_non_null(c);
        return c;
}

/* The configuration of one file with this text. */
static Config *load_text(Tree *tree, const char *text) {
        tree_write(tree->high, "forkd.conf", text);
        return load(tree);
}

/* The i-th warning is about this place of the file, and ends so. */
static void check_warning(const Config *c, size_t i, const char *place, const char *sentence) {
        assert_non_null(c->warnings);
        for (size_t k = 0; k <= i; k++)
                assert_non_null(c->warnings[k]);
        if (!strstr(c->warnings[i], place) || !strstr(c->warnings[i], sentence))
                fail_msg("'%s' is no warning of %s that says '%s'", c->warnings[i], place,
                         sentence);
}

static void check_defaults(const Config *c) {
        cpu_set_t set;

        assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
        assert_int_equal(c->max_running, CPU_COUNT(&set));
        assert_int_equal(c->max_attached, 256);
        assert_int_equal(c->queue_max, 100000);
        assert_int_equal(c->keep_finished, 10000);
        assert_int_equal(c->output_max, 64 << 20);
        assert_int_equal(c->drain_timeout, 30 * USEC_PER_SEC);
        assert_false(c->log_to_journal);
        assert_true(!c->modules || !*c->modules);
}

static void test_defaults(void **state) {
        Config *c = load(*state);

        check_defaults(c);
        assert_null(c->warnings);
        config_free(c);
}

static void test_all_keys(void **state) {
        Config *c = load_text(*state, "[Daemon]\n"
                                      "Module=spell /x/y.so\n"
                                      "Module=numbers\n"
                                      "MaxRunning=3\n"
                                      "MaxAttached=10000\n"
                                      "QueueMax=1\n"
                                      "KeepFinished=0\n"
                                      "OutputMax=1.5K\n"
                                      "DrainTimeout=1min 1s\n"
                                      "LogTo=journal\n");

        assert_string_equal(c->modules[0], "spell");
        assert_string_equal(c->modules[1], "/x/y.so");
        assert_string_equal(c->modules[2], "numbers");
        assert_null(c->modules[3]);
        assert_int_equal(c->max_running, 3);
        assert_int_equal(c->max_attached, 10000);
        assert_int_equal(c->queue_max, 1);
        assert_int_equal(c->keep_finished, 0);
        assert_int_equal(c->output_max, 1536);
        assert_int_equal(c->drain_timeout, 61 * USEC_PER_SEC);
        assert_true(c->log_to_journal);
        assert_null(c->warnings);
        config_free(c);
}

static void test_list_starts_anew(void **state) {
        Config *c = load_text(*state, "[Daemon]\nModule=a b\nModule=\nModule=c\n");

        assert_string_equal(c->modules[0], "c");
        assert_null(c->modules[1]);
        config_free(c);

        c = load_text(*state, "[Daemon]\nModule=a\nModule=\n");
        assert_true(!c->modules || !*c->modules);
        config_free(c);
}

static void test_infinity(void **state) {
        Config *c = load_text(*state, "[Daemon]\nOutputMax=infinity\nDrainTimeout=infinity\n");

        assert_int_equal(c->output_max, UINT64_MAX);
        assert_int_equal(c->drain_timeout, USEC_INFINITY);
        config_free(c);
}

static void test_drop_ins(void **state) {
        Tree *tree = *state;
        Config *c;

        tree_write(tree->low, "forkd.conf", "[Daemon]\nMaxRunning=1\nModule=low\n");
        tree_write(tree->high, "forkd.conf", "[Daemon]\nMaxRunning=2\nQueueMax=20\nModule=a\n");
        tree_write(tree->low, "forkd.conf.d/10-q.conf", "[Daemon]\nQueueMax=30\nModule=b\n");
        tree_write(tree->high, "forkd.conf.d/20-q.conf",
                   "[Daemon]\nQueueMax=40\nOops=1\nModule=c\n");

        c = load(tree);
        assert_int_equal(c->max_running, 2);
        assert_int_equal(c->queue_max, 40);
        assert_string_equal(c->modules[0], "a");
        assert_string_equal(c->modules[1], "b");
        assert_string_equal(c->modules[2], "c");
        assert_null(c->modules[3]);
        check_warning(c, 0, "high/forkd.conf.d/20-q.conf:3: ", "Oops=");
        assert_null(c->warnings[1]);
        config_free(c);
}

/* A bad value leaves what was there, and is a warning with its place and with what would work. */
static void test_bad_values(void **state) {
        static const struct {
                const char *line, *expects;
        } bad[] = {
                { "MaxRunning=0", "a number from 1 to 10000" },
                { "MaxRunning=10001", "a number from 1 to 10000" },
                { "MaxRunning=-1", "a number from 1 to 10000" },
                { "MaxRunning=many", "a number from 1 to 10000" },
                { "MaxAttached=0", "a number from 1 to 10000" },
                { "MaxAttached=", "a number from 1 to 10000" },
                { "QueueMax=0", "a number from 1 to 10000000" },
                { "QueueMax=1.5", "a number from 1 to 10000000" },
                { "KeepFinished=10000001", "a number from 0 to 10000000" },
                { "OutputMax=64X", "a size such as 64M" },
                { "OutputMax=-1", "a size such as 64M" },
                { "DrainTimeout=soon", "a time span such as 30s" },
                { "DrainTimeout=", "a time span such as 30s" },
                { "LogTo=syslog", "file or journal" },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                char text[128], start[64];
                Config *c;

                snprintf(text, sizeof(text), "# comment\n[Daemon]\n%s\n", bad[i].line);
                c = load_text(*state, text);
                check_defaults(c);
                snprintf(start, sizeof(start), "ignoring %s: it takes", bad[i].line);
                check_warning(c, 0, "/high/forkd.conf:3: ", start);
                check_warning(c, 0, "/high/forkd.conf:3: ", bad[i].expects);
                assert_null(c->warnings[1]);
                config_free(c);
        }
}

static void test_what_is_unknown(void **state) {
        Config *c = load_text(*state, "MaxRunning=7\n"
                                      "[Daemon]\n"
                                      "maxrunning=7\n"
                                      "Max Running=7\n"
                                      "no assignment\n"
                                      "[Server]\n"
                                      "MaxRunning=7\n"
                                      "[Daemon]\n"
                                      "MaxRunning=5\n");

        assert_int_equal(c->max_running, 5);
        check_warning(c, 0, "forkd.conf:1: ", "MaxRunning=");
        check_warning(c, 1, "forkd.conf:3: ", "unknown key maxrunning=");
        check_warning(c, 2, "forkd.conf:4: ", "unknown key Max Running=");
        check_warning(c, 3, "forkd.conf:5: ", "no assignment");
        check_warning(c, 4, "forkd.conf:7: ", "section [Server]");
        assert_null(c->warnings[5]);
        config_free(c);
}

/* Very long text in a warning is cut, and nothing breaks. */
static void test_long_warning(void **state) {
        char *text = malloc(100000);
        size_t n;
        Config *c;

        n = (size_t)sprintf(text, "[Daemon]\nMaxRunning=");
        while (n < 90000)
                n += (size_t)sprintf(text + n, "\xc3\xa4");
        c = load_text(*state, text);
        check_warning(c, 0, "forkd.conf:2: ", "ignoring MaxRunning=");
        assert_true(strlen(c->warnings[0]) < 4096);
        check_defaults(c);
        config_free(c);
        free(text);
}

/* A file that is there and cannot be read is no empty configuration. */
static void test_unreadable(void **state) {
        Tree *tree = *state;
        Config *c = (Config *)state;
        char path[256];

        snprintf(path, sizeof(path), "%s/forkd.conf", tree->high);
        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(config_load(&c, tree->dirs), -EISDIR);
        assert_ptr_equal(c, state);
}

static void test_no_memory(void **state) {
        Tree *tree = *state;
        size_t n = 0, n_refused = 0;

        tree_write(tree->high, "forkd.conf",
                   "[Daemon]\nModule=a b\nMaxRunning=3\nOops=1\nQueueMax=x\n");
        for (;; n++) {
                Config *c = NULL;
                int r;

                alloc_fail_at(n);
                r = config_load(&c, tree->dirs);
                if (!alloc_failed()) {
                        assert_int_equal(r, 0);
                        config_free(c);
                        break;
                }
                if (r < 0) {
                        assert_int_equal(r, -ENOMEM);
                        assert_null(c);
                        n_refused++;
                        continue;
                }
                /* only a warning may have been lost */
                assert_int_equal(c->max_running, 3);
                assert_string_equal(c->modules[1], "b");
                config_free(c);
        }
        assert_true(n_refused > 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_defaults, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_all_keys, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_list_starts_anew, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_infinity, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_drop_ins, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_bad_values, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_what_is_unknown, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_long_warning, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_unreadable, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_no_memory, tree_make, tree_remove),
        };

        log_set_level(LOG_CRIT); /* the warnings are looked at, not read */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
