/* SPDX-License-Identifier: Apache-2.0 */

/* The command line, read by the table of options. Texts stay argv's. Lives in forkctl. */

#include "options.h"

#include "verb.h"

#include <stdarg.h>

typedef struct Parser {
        Options options;
        const Verb *verb;
        char **argv;
        int argc, i;
        bool only_arguments; /* behind "--", or behind the first word of a command */
        char *sentence;
} Parser;

static int invalid(Parser *p, const char *format, ...) _printf_(2, 3);

static int invalid(Parser *p, const char *format, ...) {
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&p->sentence, format, ap);
        va_end(ap);
        if (n < 0) {
                p->sentence = NULL;
                return -ENOMEM;
        }
        return OPTIONS_E_INVALID;
}

bool options_has(const Options *o, OptionId id) {
        for (size_t i = 0; i < o->n_values; i++)
                if (o->values[i].id == id)
                        return true;
        return false;
}

const char *options_get(const Options *o, OptionId id) {
        for (size_t i = o->n_values; i-- > 0;)
                if (o->values[i].id == id)
                        return o->values[i].text;
        return NULL;
}

const char *options_get_nth(const Options *o, OptionId id, size_t nth) {
        for (size_t i = 0; i < o->n_values; i++)
                if (o->values[i].id == id && nth-- == 0)
                        return o->values[i].text;
        return NULL;
}

void options_done(Options *o) {
        free(o->values);
        free(o->arguments);
        *o = (Options){ 0 };
}

/* ---- what may have been meant */

/* Changes, insertions, omissions and swaps of neighbours that make one of the other. */
static size_t distance(const char *a, const char *b) {
        size_t n = strlen(a), m = strlen(b), rows[3][64];

        if (n >= 64 || m >= 64)
                return SIZE_MAX;
        for (size_t j = 0; j <= m; j++)
                rows[0][j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *higher = rows[(i + 1) % 3];

                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);

                        best = above[j] + 1 < best ? above[j] + 1 : best;
                        best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            higher[j - 2] + 1 < best)
                                best = higher[j - 2] + 1;
                        row[j] = best;
                }
        }
        return rows[n % 3][m];
}

const char *nearest_name(const char *s, size_t n,
                         const char *(*name)(size_t i, const void *userdata),
                         const void *userdata) {
        const char *nearest = NULL;
        size_t least = SIZE_MAX;

        for (size_t i = 0; i < n; i++) {
                const char *candidate = name(i, userdata);
                size_t d;

                if (!candidate)
                        continue;
                d = distance(s, candidate);
                /* half a word is no typing error, but its beginning is an abbreviation */
                if (strlen(s) >= 2 && strncmp(candidate, s, strlen(s)) == 0)
                        d = 1;
                if (d < least && (d <= 1 || (d <= 2 && strlen(s) >= 4))) {
                        least = d;
                        nearest = candidate;
                }
        }
        return nearest;
}

static const char *verb_name(size_t i, const void *userdata _unused_) {
        return verbs[i].name;
}

static unsigned parser_scope(const Parser *p) {
        return p->verb ? p->verb->id : VERB_NONE;
}

static const char *option_name_in_scope(size_t i, const void *userdata) {
        const Parser *p = userdata;

        return option_definitions[i].verbs & parser_scope(p) ? option_definitions[i].name : NULL;
}

static const char *option_owner(const char *name) {
        for (size_t i = 0; i < n_option_definitions; i++)
                for (size_t k = 0; streq(option_definitions[i].name, name) && k < n_verbs; k++)
                        if (option_definitions[i].verbs & verbs[k].id)
                                return verbs[k].name;
        return NULL;
}

static int unknown_option(Parser *p, const char *name) {
        const char *owner = option_owner(name);
        const char *nearest = nearest_name(name, n_option_definitions, option_name_in_scope, p);

        if (owner && !p->verb)
                return invalid(p, "the option --%s belongs behind a verb, as in `forkctl %s --%s`",
                               name, owner, name);
        if (owner)
                return invalid(p, "%s has no option --%s; it belongs to %s", p->verb->name, name,
                               owner);
        if (nearest)
                return invalid(p, "there is no option --%s; did you mean --%s?", name, nearest);
        return invalid(p, "there is no option --%s", name);
}

/* ---- reading */

static int parser_add(Parser *p, OptionId id, const char *text) {
        OptionValue *values =
                reallocarray(p->options.values, p->options.n_values + 1, sizeof(*values));

        if (!values)
                return -ENOMEM;
        values[p->options.n_values++] = (OptionValue){ id, text };
        p->options.values = values;
        return 0;
}

static int parse_long(Parser *p, char *word) {
        const char *name = word + 2, *equals = strchr(name, '=');
        size_t n = equals ? (size_t)(equals - name) : strlen(name);

        for (size_t i = 0; i < n_option_definitions; i++) {
                const OptionDefinition *d = &option_definitions[i];

                if (!(d->verbs & parser_scope(p)) || strlen(d->name) != n ||
                    strncmp(d->name, name, n) != 0)
                        continue;
                if (!d->argument && equals)
                        return invalid(p, "the option --%s takes no value", d->name);
                if (!d->argument || equals)
                        return parser_add(p, d->id, equals ? equals + 1 : NULL);
                if (p->i >= p->argc)
                        return invalid(p, "the option --%s needs a value: --%s=%s", d->name,
                                       d->name, d->argument);
                return parser_add(p, d->id, p->argv[p->i++]);
        }

        if (equals)
                word[n + 2] = '\0';
        return unknown_option(p, name);
}

/* `kill -9`, `kill -TERM`: as fingers know it. */
static bool is_signal_option(const Parser *p, const char *word) {
        return p->verb && p->verb->id == VERB_KILL &&
               strspn(word + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+") > 0;
}

static int parse_short(Parser *p, const char *word) {
        if (is_signal_option(p, word))
                return parser_add(p, OPTION_SIGNAL, word + 1);

        for (const char *c = word + 1; *c; c++) {
                const OptionDefinition *d = NULL;
                int r;

                for (size_t i = 0; i < n_option_definitions && !d; i++)
                        if (option_definitions[i].letter == *c &&
                            (option_definitions[i].verbs & parser_scope(p)))
                                d = &option_definitions[i];
                if (!d)
                        return invalid(p, "there is no option -%c", *c);
                if (!d->argument) {
                        r = parser_add(p, d->id, NULL);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (c[1] != '\0')
                        return parser_add(p, d->id, c + 1);
                if (p->i >= p->argc)
                        return invalid(p, "the option -%c needs a value: -%c %s", *c, *c,
                                       d->argument);
                return parser_add(p, d->id, p->argv[p->i++]);
        }
        return 0;
}

/* Are the arguments those of an entry, and not a command with options of its own? Every start
 * method has entries; a command behind --method=spawn needs "--". */
static bool names_an_entry(const Options *o) {
        return options_has(o, OPTION_SERVER) || options_has(o, OPTION_METHOD);
}

static int parse_word(Parser *p, char *word) {
        if (!p->verb && !p->only_arguments) {
                const char *nearest;

                for (size_t i = 0; i < n_verbs; i++)
                        if (streq(verbs[i].name, word)) {
                                p->verb = &verbs[i];
                                return 0;
                        }
                nearest = nearest_name(word, n_verbs, verb_name, NULL);
                return nearest ? invalid(p, "there is no verb '%s'; did you mean '%s'?", word,
                                         nearest)
                               : invalid(p, "there is no verb '%s'", word);
        }
        p->options.arguments[p->options.n_arguments++] = word;
        if (p->verb && p->verb->command && !names_an_entry(&p->options))
                p->only_arguments = true;
        return 0;
}

static int parse_all(Parser *p) {
        int r = 0;

        while (r == 0 && p->i < p->argc) {
                char *word = p->argv[p->i++];

                if (p->only_arguments || word[0] != '-' || word[1] == '\0')
                        r = parse_word(p, word);
                else if (streq(word, "--")) {
                        p->only_arguments = p->options.dashes = true;
                        p->options.n_before = p->options.n_arguments;
                } else if (word[1] == '-')
                        r = parse_long(p, word);
                else
                        r = parse_short(p, word);
        }
        return r;
}

int options_parse(Options *ret, const Verb **ret_verb, int argc, char **argv, char **ret_sentence) {
        Parser p = { .argv = argv, .argc = argc, .i = 1 };
        int r;

        p.options.arguments = calloc((size_t)argc + 1, sizeof(char *));
        r = p.options.arguments ? parse_all(&p) : -ENOMEM;
        if (r != 0) {
                options_done(&p.options);
                if (r > 0)
                        *ret_sentence = p.sentence;
                *ret_verb = p.verb;
                return r;
        }
        if (!p.options.dashes)
                p.options.n_before = p.options.n_arguments;
        *ret = p.options;
        *ret_verb = p.verb;
        return 0;
}
