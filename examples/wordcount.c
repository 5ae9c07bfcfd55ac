/* SPDX-License-Identifier: Apache-2.0 */

/* wordcount: an ordinary little program, which one line makes a forkserver. It reads a list of
 * words that do not count, then counts the words of the files that are named, or of standard input:
 *
 *     cc $(pkg-config --cflags libforkd) wordcount.c -o wordcount $(pkg-config --libs libforkd)
 *     ./wordcount letter.txt
 *
 * By hand it does what it always did. Under forkd it stops at the line with forkd_serve(), with the
 * list read; each job goes on from there, as if it had just been started with its own arguments,
 * standard streams and directory:
 *
 *     forkctl servers start wordcount -- ./wordcount
 *     forkctl run --server wordcount -- letter.txt
 *     forkctl run --server wordcount main argv:='["letter.txt"]'
 *
 * The list is the file in WORDCOUNT_IGNORE, one word a line; without one every word counts. */

#include <forkd-serve.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_MAX 63

typedef struct List {
        char (*words)[WORD_MAX + 1]; /* in order */
        size_t n;
} List;

/* The next word of file, in lower case and cut short when it is long: false at the end. */
static bool read_word(FILE *file, char word[static WORD_MAX + 1]) {
        size_t n = 0;
        int c;

        while ((c = getc(file)) != EOF && !isalnum(c))
                ;
        for (; c != EOF && (isalnum(c) || c == '\''); c = getc(file))
                if (n < WORD_MAX)
                        word[n++] = (char)tolower(c);
        word[n] = '\0';
        return n > 0;
}

static int compare(const void *a, const void *b) {
        return strcmp(a, b);
}

static int list_read(List *list, const char *path) {
        FILE *file = fopen(path, "re");
        char word[WORD_MAX + 1];

        if (!file)
                return -errno;
        while (read_word(file, word)) {
                void *words = reallocarray(list->words, list->n + 1, sizeof(*list->words));

                if (!words) {
                        fclose(file);
                        return -ENOMEM;
                }
                list->words = words;
                memcpy(list->words[list->n++], word, sizeof(word));
        }
        fclose(file);
        qsort(list->words, list->n, sizeof(*list->words), compare);
        return 0;
}

static size_t count(const List *ignore, FILE *file) {
        char word[WORD_MAX + 1];
        size_t n = 0;

        while (read_word(file, word))
                n += !ignore->n ||
                     !bsearch(word, ignore->words, ignore->n, sizeof(*ignore->words), compare);
        return n;
}

int main(int argc, char **argv) {
        const char *path = getenv("WORDCOUNT_IGNORE");
        List ignore = { 0 };
        int r = path ? list_read(&ignore, path) : 0, status = EXIT_SUCCESS;

        if (r < 0) {
                fprintf(stderr, "wordcount: cannot read %s: %s\n", path, strerror(-r));
                return EXIT_FAILURE;
        }

        forkd_serve(NULL, &argc, &argv); /* the one line */

        if (argc < 2)
                printf("%zu\n", count(&ignore, stdin));
        for (int i = 1; i < argc; i++) {
                FILE *file = fopen(argv[i], "re");

                if (!file) {
                        fprintf(stderr, "wordcount: cannot open %s: %s\n", argv[i],
                                strerror(errno));
                        status = EXIT_FAILURE;
                        continue;
                }
                printf("%zu %s\n", count(&ignore, file), argv[i]);
                fclose(file);
        }
        free(ignore.words);
        return status;
}
