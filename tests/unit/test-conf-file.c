/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/common/conf-file.h: syntax, drop-ins and values. */

#include "conf-file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>

#include <cmocka.h>

/* What was called, as lines "Section.Key=value@line" and "!line sentence". */
typedef struct Log {
        char text[8192];
        size_t n;
        int stop_with;
} Log;

static int log_assign(const char *file, unsigned line, const char *section, const char *key,
                      const char *value, void *userdata) {
        Log *log = userdata;

        (void)file;
        log->n += (size_t)snprintf(log->text + log->n, sizeof(log->text) - log->n, "%s.%s=%s@%u\n",
                                   section, key, value, line);
        return log->stop_with;
}

static void log_warn(const char *file, unsigned line, const char *sentence, void *userdata) {
        Log *log = userdata;

        (void)file;
        log->n += (size_t)snprintf(log->text + log->n, sizeof(log->text) - log->n, "!%u %.24s\n",
                                   line, sentence);
}

static void check(const char *text, const char *expected) {
        Log log = { 0 };

        assert_int_equal(conf_parse_text("x", text, strlen(text), log_assign, log_warn, &log), 0);
        assert_string_equal(log.text, expected);
}

static void test_syntax(void **state) {
        (void)state;
        check("", "");
        check("[A]\nK=v", "A.K=v@2\n");
        check("[A]\nK=v\n", "A.K=v@2\n");
        check("\xef\xbb\xbf[A]\r\nK = v \r\n", "A.K=v@2\n");
        check("  [A B]  \n  K\t=  a b  \n", "A B.K=a b@2\n");
        check("[A]\nK=\nK=a=b\nK=c ; d # e\n", "A.K=@2\nA.K=a=b@3\nA.K=c ; d # e@4\n");
        check("# a\n; b\n [A]\n  # K=1\nK=2\n", "A.K=2@5\n");
        check("[A]\nK=a\\\nb \\\n  c\nL=1\n", "A.K=a b    c@2\nA.L=1@5\n");
        check("[A]\nK=a\\\n# comment\n; other\nb\n", "A.K=a b@2\n");
        check("[A]\nK=a\\\n\nL=1\n", "A.K=a@2\nA.L=1@4\n");
        check("[A]\nK=a\\", "A.K=a@2\n");
        check("[A]\nK=a\\\r\nb\n", "A.K=a b@2\n");
        check("[A]\nK=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\n",
              "A.K=\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80@2\n");
}

static void test_warnings(void **state) {
        (void)state;
        check("K=v\n", "!1 'K=' stands before any [\n");
        check("[A]\nword\n=v\nK=1\n", "!2 'word' is no assignment \n!3 '=v' is no assignment su\n"
                                      "A.K=1@4\n");
        check("[A]\nK=1\n[B\nK=2\n[C]\nK=3\n", "A.K=1@2\n!3 '[B' is no section heade\nC.K=3@6\n");
        check("[]\nK=1\n", "!1 '[]' is no section heade\n");
        check("[A]B]\nK=1\n", "!1 section 'A]B' has a brac\n");
        check("[A]\nK=\xff\nL=\xc3\nM=\xed\xa0\x80\nN=\xc0\x80\nO=1\n",
              "!2 this line is not UTF-8, \n!3 this line is not UTF-8, \n!4 this line is not UTF-8, \n"
              "!5 this line is not UTF-8, \nA.O=1@6\n");
}

static void test_nul_byte(void **state) {
        static const char text[] = "[A]\nK=a\0b\nL=1\n";
        Log log = { 0 };

        (void)state;
        assert_int_equal(conf_parse_text("x", text, sizeof(text) - 1, log_assign, log_warn, &log),
                         0);
        assert_string_equal(log.text, "!2 this line has a NUL byte\nA.L=1@3\n");
}

static int count_length(const char *file, unsigned line, const char *section, const char *key,
                        const char *value, void *userdata) {
        (void)file, (void)line, (void)section, (void)key;
        *(size_t *)userdata = strlen(value);
        return 0;
}

static void test_long(void **state) {
        size_t n = CONF_FILE_MAX, length = 0;
        char *text = malloc(n + 1);

        (void)state;
        memset(text, 'x', n + 1);
        memcpy(text, "[A]\nK=", 6);
        assert_int_equal(conf_parse_text("x", text, n, count_length, NULL, &length), 0);
        assert_int_equal(length, n - 6);
        assert_int_equal(conf_parse_text("x", text, n + 1, count_length, NULL, &length), -E2BIG);
        free(text);
}

static void test_assign_ends_it(void **state) {
        Log log = { .stop_with = -EDOM };

        (void)state;
        assert_int_equal(conf_parse_text("x", "[A]\nK=1\nK=2\n", 12, log_assign, log_warn, &log),
                         -EDOM);
        assert_string_equal(log.text, "A.K=1@2\n");
}

/* ---- files */

typedef struct Tree {
        char root[64], high[80], low[80];
} Tree;

static int tree_make(void **state) {
        static Tree tree;

        snprintf(tree.root, sizeof(tree.root), "/tmp/test-conf-XXXXXX");
        if (!mkdtemp(tree.root))
                return -1;
        snprintf(tree.high, sizeof(tree.high), "%s/high", tree.root);
        snprintf(tree.low, sizeof(tree.low), "%s/low", tree.root);
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

        snprintf(path, sizeof(path), "%s/f.conf.d", dir);
        mkdir(path, 0755);
        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "we");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void tree_check(Tree *tree, int result, const char *expected) {
        const char *dirs[] = { tree->high, tree->low, NULL };
        Log log = { 0 };

        assert_int_equal(conf_parse("f.conf", dirs, log_assign, log_warn, &log), result);
        assert_string_equal(log.text, expected);
}

static void test_no_files(void **state) {
        tree_check(*state, 0, "");
}

static void test_precedence(void **state) {
        Tree *tree = *state;

        tree_write(tree->low, "f.conf", "[A]\nmain=low\n");
        tree_check(tree, 0, "A.main=low@2\n");
        tree_write(tree->high, "f.conf", "[A]\nmain=high\n");
        tree_write(tree->high, "f.conf.d/50-b.conf", "[A]\nb=high\n");
        tree_write(tree->low, "f.conf.d/50-b.conf", "[A]\nb=low\n");
        tree_write(tree->low, "f.conf.d/10-a.conf", "[A]\na=low\n");
        tree_write(tree->high, "f.conf.d/90-c.conf", "[A]\nc=high\n");
        tree_write(tree->high, "f.conf.d/not-read.txt", "[A]\nx=1\n");
        tree_write(tree->high, "f.conf.d/.hidden.conf", "[A]\nx=1\n");
        tree_write(tree->high, "f.conf.d/.conf", "[A]\nx=1\n");
        tree_check(tree, 0, "A.main=high@2\nA.a=low@2\nA.b=high@2\nA.c=high@2\n");
}

static void test_masks(void **state) {
        Tree *tree = *state;
        char path[256];

        tree_write(tree->high, "f.conf", "");
        tree_write(tree->low, "f.conf", "[A]\nmain=low\n");
        tree_write(tree->low, "f.conf.d/1.conf", "[A]\na=low\n");
        snprintf(path, sizeof(path), "%s/f.conf.d/1.conf", tree->high);
        assert_int_equal(symlink("/dev/null", path), 0);
        tree_check(tree, 0, "");
}

/* What is there and cannot be read is said, and the rest is read. */
static void test_unreadable(void **state) {
        Tree *tree = *state;
        char path[256];

        tree_write(tree->low, "f.conf", "[A]\nmain=low\n");
        tree_write(tree->low, "f.conf.d/2.conf", "[A]\na=low\n");
        snprintf(path, sizeof(path), "%s/f.conf.d/1.conf", tree->low);
        assert_int_equal(mkfifo(path, 0600), 0); /* must not be waited for */
        tree_check(tree, -EINVAL, "A.main=low@2\n!0 cannot read this file: I\nA.a=low@2\n");
        unlink(path);
        assert_int_equal(mkdir(path, 0700), 0);
        tree_check(tree, -EISDIR, "A.main=low@2\n!0 cannot read this file: I\nA.a=low@2\n");
}

/* ---- values */

static void test_bool(void **state) {
        bool b = false;

        (void)state;
        assert_int_equal(conf_parse_bool("Yes", &b), 0);
        assert_true(b);
        assert_int_equal(conf_parse_bool("off", &b), 0);
        assert_false(b);
        assert_int_equal(conf_parse_bool("", &b), -EINVAL);
        assert_int_equal(conf_parse_bool("maybe", &b), -EINVAL);
}

static void test_unsigned(void **state) {
        unsigned v = 7;

        (void)state;
        assert_int_equal(conf_parse_unsigned("", 0, 9, &v), -EINVAL);
        assert_int_equal(conf_parse_unsigned("-1", 0, 9, &v), -EINVAL);
        assert_int_equal(conf_parse_unsigned("1x", 0, 9, &v), -EINVAL);
        assert_int_equal(conf_parse_unsigned("99999999999999999999999x", 0, 9, &v), -EINVAL);
        assert_int_equal(conf_parse_unsigned("10", 0, 9, &v), -ERANGE);
        assert_int_equal(conf_parse_unsigned("0", 1, 9, &v), -ERANGE);
        assert_int_equal(conf_parse_unsigned("99999999999999999999999", 0, 9, &v), -ERANGE);
        assert_int_equal(v, 7);
        assert_int_equal(conf_parse_unsigned("9", 1, 9, &v), 0);
        assert_int_equal(v, 9);
}

typedef struct Value {
        const char *text;
        int r;
        uint64_t v;
} Value;

static void check_values(const Value *values, size_t n, int (*parse)(const char *, uint64_t *)) {
        for (size_t i = 0; i < n; i++) {
                uint64_t v = 42;
                int r = parse(values[i].text, &v);

                if (r != values[i].r || v != (r < 0 ? 42 : values[i].v))
                        fail_msg("'%s': %d, %llu", values[i].text, r, (unsigned long long)v);
        }
}

static void test_bytes(void **state) {
        static const Value values[] = {
                { "0", 0, 0 },
                { "64M", 0, 64 << 20 },
                { "1K", 0, 1024 },
                { "1 G", 0, 1 << 30 },
                { "1GiB", 0, 1 << 30 },
                { "1GB", 0, 1 << 30 },
                { "7B", 0, 7 },
                { "1.5K", 0, 1536 },
                { "15E", 0, UINT64_C(15) << 60 },
                { "infinity", 0, UINT64_MAX },
                { "18446744073709551614", 0, UINT64_MAX - 1 },
                { "16E", -ERANGE },
                { "18446744073709551615", -ERANGE },
                { "99999999999999999999", -ERANGE },
                { "", -EINVAL },
                { "M", -EINVAL },
                { "-1", -EINVAL },
                { "1X", -EINVAL },
                { "1MM", -EINVAL },
                { "1.2.3M", -EINVAL },
                { "1.M", -EINVAL },
        };

        (void)state;
        check_values(values, ELEMENTSOF(values), conf_parse_bytes);
}

static void test_usec(void **state) {
        static const Value values[] = {
                { "30s", 0, 30000000 },
                { "30", 0, 30000000 },
                { "1min 20s", 0, 80000000 },
                { "1min20s", 0, 80000000 },
                { "500ms", 0, 500000 },
                { " 2 h ", 0, UINT64_C(7200000000) },
                { "1.5s", 0, 1500000 },
                { "0.000001s", 0, 1 },
                { "3us", 0, 3 },
                { "3\xc2\xb5s", 0, 3 },
                { "1d 1w", 0, UINT64_C(691200000000) },
                { "1M", 0, UINT64_C(2629800000000) },
                { "1y", 0, UINT64_C(31557600000000) },
                { "1 2", 0, 3000000 },
                { "infinity", 0, UINT64_MAX },
                { "", -EINVAL },
                { "s", -EINVAL },
                { "1x", -EINVAL },
                { "-1s", -EINVAL },
                { "1.2.3s", -EINVAL },
                { "1.s", -EINVAL },
                { "infinity 1s", -EINVAL },
                { "99999999999999999999s", -ERANGE },
                { "1000000000y", -ERANGE },
        };

        (void)state;
        check_values(values, ELEMENTSOF(values), conf_parse_usec);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_syntax),
                cmocka_unit_test(test_warnings),
                cmocka_unit_test(test_nul_byte),
                cmocka_unit_test(test_long),
                cmocka_unit_test(test_assign_ends_it),
                cmocka_unit_test_setup_teardown(test_no_files, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_precedence, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_masks, tree_make, tree_remove),
                cmocka_unit_test_setup_teardown(test_unreadable, tree_make, tree_remove),
                cmocka_unit_test(test_bool),
                cmocka_unit_test(test_unsigned),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_usec),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
