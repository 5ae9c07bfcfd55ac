/* SPDX-License-Identifier: Apache-2.0 */

/* --help, printed from the tables of verbs and options. Lives in forkctl. */

#include "verb.h"

#define HELP_WIDTH   80
#define HELP_OPTIONS 28 /* where the texts of options begin */

/* Words into lines, indented from the second line on; column is where the first begins. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t column) {
        while (*text) {
                size_t bytes = strcspn(text, " "), width;

                width = 0;
                for (size_t i = 0; i < bytes; i++)
                        width += (text[i] & 0xc0) != 0x80;
                if (column > indent && column + 1 + width > HELP_WIDTH) {
                        fprintf(out, "\n%*s", (int)indent, "");
                        column = indent;
                } else if (column > indent) {
                        fputc(' ', out);
                        column++;
                }
                fprintf(out, "%.*s", (int)bytes, text);
                column += width;
                text += bytes + strspn(text + bytes, " ");
        }
        fputc('\n', out);
}

static void print_option(FILE *out, const OptionDefinition *d) {
        char left[128];
        int n;

        n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", d->letter ? '-' : ' ',
                     d->letter ?: ' ', d->letter ? ", " : "  ", d->name, d->argument ? "=" : "",
                     d->argument ?: "");
        fputs(left, out);
        if (n >= HELP_OPTIONS - 1) {
                fputc('\n', out);
                n = 0;
        }
        fprintf(out, "%*s", HELP_OPTIONS - n, "");
        print_wrapped(out, d->help, HELP_OPTIONS, HELP_OPTIONS);
}

static void print_options(FILE *out, const char *title, unsigned scope, bool global) {
        bool any = false;

        for (size_t i = 0; i < n_option_definitions; i++) {
                const OptionDefinition *d = &option_definitions[i];

                if (!(d->verbs & scope) || (bool)(d->verbs & VERB_NONE) != global)
                        continue;
                if (!any)
                        fprintf(out, "\n%s\n", title);
                any = true;
                print_option(out, d);
        }
}

static void print_lines(FILE *out, const char *prefix, const char *lines) {
        for (;;) {
                size_t n = strcspn(lines, "\n");

                fprintf(out, "%s%.*s\n", prefix, (int)n, lines);
                if (lines[n] == '\0')
                        return;
                lines += n + 1;
        }
}

static void help_print_all(FILE *out) {
        fputs("Usage: forkctl [OPTION…] VERB [OPTION…] [ARGUMENT…]\n\n"
              "Talks to forkd, which keeps programs warm and hands out forks of them as jobs.\n\n"
              "Verbs:\n",
              out);
        for (size_t i = 0; i < n_verbs; i++)
                fprintf(out, "  %-8s  %s\n", verbs[i].name, verbs[i].summary);
        print_options(out, "Options:", VERB_NONE, true);
        fputs("\nExit status: that of the job for `run` and `wait --exit`; 128+N by signal N;\n"
              "124 timeout, 126 not runnable, 127 not found, 1 error of an entry, 125 all else.\n\n"
              "`forkctl VERB --help` says more; so does forkctl(1). Example:\n"
              "  forkctl run -- echo hello\n",
              out);
}

void help_print(FILE *out, const Verb *verb) {
        char prefix[64];

        if (!verb) {
                help_print_all(out);
                return;
        }

        snprintf(prefix, sizeof(prefix), "Usage: forkctl %s [OPTION…] ", verb->name);
        if (verb->synopsis) {
                size_t n = strcspn(verb->synopsis, "\n");

                fprintf(out, "%s%.*s\n", prefix, (int)n, verb->synopsis);
                snprintf(prefix, sizeof(prefix), "       forkctl %s [OPTION…] ", verb->name);
                if (verb->synopsis[n])
                        print_lines(out, prefix, verb->synopsis + n + 1);
        } else
                fprintf(out, "Usage: forkctl %s [OPTION…]\n", verb->name);

        fprintf(out, "\n%c%s.\n", verb->summary[0] - 'a' + 'A', verb->summary + 1);
        if (verb->details)
                print_wrapped(out, verb->details, 0, 0);
        print_options(out, "Options:", verb->id, false);
        print_options(out, "Options of every verb:", verb->id, true);
        fputs("\nExample:\n", out);
        print_lines(out, "  ", verb->example);
}
