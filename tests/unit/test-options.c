/* SPDX-License-Identifier: Apache-2.0 */

/* client/ctl/options.c and the tables of options and verbs. */

#include "verb.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct Parsed {
        Options options;
        const Verb *verb;
        char *sentence;
        int r;
        char *words;
        char *argv[32];
} Parsed;

/* Words are separated by '|'. */
static Parsed parse(const char *words) {
        Parsed p = { .words = strdup(words) };
        char *rest = p.words, *word;
        int argc = 0;

        p.argv[argc++] = (char *)"forkctl";
        while (*words && (word = strsep(&rest, "|")))
                p.argv[argc++] = word;
        p.r = options_parse(&p.options, &p.verb, argc, p.argv, &p.sentence);
        return p;
}

static void parsed_done(Parsed *p) {
        options_done(&p->options);
        free(p->sentence);
        free(p->words);
}

static void refused(const char *words, const char *why) {
        _cleanup_(parsed_done) Parsed p = parse(words);

        assert_int_equal(p.r, OPTIONS_E_INVALID);
        if (!strstr(p.sentence, why))
                fail_msg("'%s' does not say '%s'", p.sentence, why);
}

static void test_forms(void **state) {
        _cleanup_(parsed_done) Parsed p =
                parse("-q|--address=a|list|--state|queued,running|-nx|-jl5|--name=");

        (void)state;
        assert_int_equal(p.r, 0);
        assert_string_equal(p.verb->name, "list");
        assert_true(options_has(&p.options, OPTION_QUIET));
        assert_true(options_has(&p.options, OPTION_JSON));
        assert_string_equal(options_get(&p.options, OPTION_ADDRESS), "a");
        assert_string_equal(options_get(&p.options, OPTION_STATE), "queued,running");
        assert_string_equal(options_get(&p.options, OPTION_NAME), "");
        assert_string_equal(options_get_nth(&p.options, OPTION_NAME, 0), "x");
        assert_null(options_get_nth(&p.options, OPTION_NAME, 2));
        assert_string_equal(options_get(&p.options, OPTION_MAX), "5");
        assert_false(options_has(&p.options, OPTION_LIMIT)); /* of the same name, of another verb */
}

static void test_commands_keep_their_options(void **state) {
        _cleanup_(parsed_done) Parsed p = parse("run|-t|5s|ls|-l|--json|--"),
                                      q = parse("submit|--|-x|--help");

        (void)state;
        assert_int_equal(p.r, 0);
        assert_int_equal(p.options.n_arguments, 4);
        assert_string_equal(p.options.arguments[3], "--");
        assert_false(options_has(&p.options, OPTION_JSON));
        assert_int_equal(q.options.n_arguments, 2);
        assert_false(options_has(&q.options, OPTION_HELP));
}

static void test_entries_do_not(void **state) {
        _cleanup_(parsed_done)
                Parsed p = parse("run|--method=fork|check|text=a|--timeout=3s|--|-x"),
                       q = parse("submit|--server|s|e|-n|name");

        (void)state;
        assert_int_equal(p.r, 0);
        assert_string_equal(options_get(&p.options, OPTION_TIMEOUT), "3s");
        assert_int_equal(p.options.n_arguments, 3);
        assert_int_equal(q.options.n_arguments, 1);
        assert_string_equal(options_get(&q.options, OPTION_NAME), "name");
}

static void test_dashes(void **state) {
        _cleanup_(parsed_done) Parsed p = parse("run|-m|spawn|e|-t|3s|--|-x|--|--json"),
                                      q = parse("run|ls|--|-x"), s = parse("submit|--server=s|--"),
                                      t = parse("servers|start|a|--spare=2|--|host|--kill"),
                                      u = parse("servers|stop|--kill|a");

        (void)state;
        assert_true(p.options.dashes);
        assert_int_equal(p.options.n_before, 1);
        assert_int_equal(p.options.n_arguments, 4);
        assert_string_equal(options_get(&p.options, OPTION_TIMEOUT), "3s");
        assert_false(options_has(&p.options, OPTION_JSON));

        /* it is the command's */
        assert_false(q.options.dashes);
        assert_int_equal(q.options.n_before, 3);

        assert_true(s.options.dashes);
        assert_int_equal(s.options.n_before, 0);
        assert_int_equal(s.options.n_arguments, 0);

        assert_int_equal(t.options.n_before, 2);
        assert_int_equal(t.options.n_arguments, 4);
        assert_true(options_has(&t.options, OPTION_SPARE));
        assert_false(options_has(&t.options, OPTION_KILL));

        assert_false(u.options.dashes);
        assert_int_equal(u.options.n_before, 2);
        assert_true(options_has(&u.options, OPTION_KILL));
}

static void test_kill_as_fingers_know_it(void **state) {
        _cleanup_(parsed_done) Parsed p = parse("kill|-9|3"), q = parse("kill|-SIGKILL|3|4"),
                                      s = parse("kill|-s|9|3");

        (void)state;
        assert_string_equal(options_get(&p.options, OPTION_SIGNAL), "9");
        assert_string_equal(options_get(&q.options, OPTION_SIGNAL), "SIGKILL");
        assert_int_equal(q.options.n_arguments, 2);
        assert_string_equal(options_get(&s.options, OPTION_SIGNAL), "9");
}

static void test_refusals(void **state) {
        (void)state;
        refused("lits", "did you mean 'list'?");
        refused("sub", "did you mean 'submit'?");
        refused("frobnicate", "there is no verb 'frobnicate'");
        refused("submit|--timout=3", "did you mean --timeout?");
        refused("list|--timeout=3", "it belongs to submit");
        refused("--timeout=3|submit", "belongs behind a verb");
        refused("list|--json=yes", "takes no value");
        refused("list|--state", "needs a value: --state=STATES");
        refused("list|-s", "needs a value");
        refused("list|-y", "there is no option -y");
        refused("server", "did you mean 'servers'?");
        refused("servers|start|a|--modul=x", "did you mean --module?");
        refused("servers|start|a|--preload-timeout", "needs a value: --preload-timeout=SPAN");
        refused("submit|--progress", "it belongs to run");
        refused("list|--zzzzzz", "there is no option --zzzzzz");
}

static void test_nothing(void **state) {
        _cleanup_(parsed_done) Parsed p = parse(""), q = parse("--help");

        (void)state;
        assert_int_equal(p.r, 0);
        assert_null(p.verb);
        assert_true(options_has(&q.options, OPTION_HELP));
}

/* No verb has two options of one name or letter, and every option belongs to some verb. */
static void test_tables(void **state) {
        unsigned all = 0;

        (void)state;
        for (size_t i = 0; i < n_verbs; i++) {
                assert_int_equal(verbs[i].id, 1u << i);
                assert_non_null(verbs[i].function);
                assert_non_null(verbs[i].example);
                all |= verbs[i].id;
        }
        assert_int_equal(all, VERB_ANY);

        for (size_t i = 0; i < n_option_definitions; i++) {
                const OptionDefinition *a = &option_definitions[i];

                assert_true(a->verbs != 0);
                for (size_t k = 0; k < i; k++) {
                        const OptionDefinition *b = &option_definitions[k];

                        assert_true(a->id != b->id || a->argument == b->argument ||
                                    strcmp(a->argument, b->argument) == 0);
                        if (!(a->verbs & b->verbs))
                                continue;
                        assert_string_not_equal(a->name, b->name);
                        assert_true(!a->letter || a->letter != b->letter);
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_commands_keep_their_options),
                cmocka_unit_test(test_entries_do_not),
                cmocka_unit_test(test_dashes),
                cmocka_unit_test(test_kill_as_fingers_know_it),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_tables),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
