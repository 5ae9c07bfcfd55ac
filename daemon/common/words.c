/* SPDX-License-Identifier: Apache-2.0 */

/* Words of a configuration value; stateless, in any process. */

#include "words.h"

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n';
}

/* Copies what stands between quotes to *to; both go past it. */
static int copy_quoted(const char **from, char **to) {
        char quote = *(*from)++;

        for (; **from != quote; (*from)++) {
                if (quote == '"' && **from == '\\' && ((*from)[1] == '"' || (*from)[1] == '\\'))
                        (*from)++;
                if (**from == '\0')
                        return -EINVAL;
                *(*to)++ = **from;
        }
        (*from)++;
        return 0;
}

/* One word, which begins at *from, into to, which has room for all that is left. */
static int copy_word(const char **from, char *to) {
        while (**from != '\0' && !is_blank(**from)) {
                if (**from == '\'' || **from == '"') {
                        int r = copy_quoted(from, &to);

                        if (r < 0)
                                return r;
                        continue;
                }
                if (**from == '\\' && *++*from == '\0')
                        return -EINVAL;
                *to++ = *(*from)++;
        }
        *to = '\0';
        return 0;
}

static void words_free(char **words) {
        for (char **w = words; w && *w; w++)
                free(*w);
        free(words);
}

int words_split(const char *line, char ***ret) {
        char **words = calloc(WORDS_MAX + 1, sizeof(char *)), **fitted;
        _cleanup_(freep) char *word = malloc(strlen(line) + 1);
        size_t n = 0;
        int r = 0;

        if (!words || !word) {
                free(words);
                return -ENOMEM;
        }
        for (;;) {
                while (is_blank(*line))
                        line++;
                if (*line == '\0')
                        break;
                if (n == WORDS_MAX)
                        r = -E2BIG;
                else
                        r = copy_word(&line, word);
                if (r >= 0) {
                        words[n] = strdup(word); /* of its own size */
                        r = words[n++] ? 0 : -ENOMEM;
                }
                if (r < 0) {
                        words_free(words);
                        return r;
                }
        }

        fitted = realloc(words, (n + 1) * sizeof(char *));
        *ret = fitted ?: words;
        return 0;
}
