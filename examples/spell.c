/* SPDX-License-Identifier: Apache-2.0 */

/* spell: a forkd module that is worth preloading. It reads the system's word list once; the forked
 * workers then share it. The words stay as they are in the file; a hash table holds where each
 * begins.
 *
 * A word of a text is a run of letters and apostrophes. It is known when it is in the list in any
 * case, or without a final 's. Runs that have digits or underscores in them are no words. */

#include <forkd-module.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DICTIONARY      "/usr/share/dict/words"
#define FILE_MAX        ((size_t)64 * 1024 * 1024)
#define WORD_MAX        63 /* bytes; what is longer is not in the list */
#define UNKNOWN_MAX     10000
#define SUGGESTIONS_MAX 10
#define DISTANCE_MAX    2
#define LIST_WORD_MIN   1000 /* below it something else was read */

/* Filled by preload(), read by workers. */
static struct {
        const char *path;
        char *text; /* the file; each word ends with NUL */
        size_t length;
        uint32_t *table; /* offset of a word + 1; 0: free */
        uint32_t mask;
        size_t n_words;
        int preloads;
} the_list;

/* ---- letters */

typedef enum Kind {
        KIND_OTHER,
        KIND_LETTER,
        KIND_APOSTROPHE,
        KIND_NO_WORD, /* digits and what else makes a run of letters something other than a word */
} Kind;

/* The character at p and its length in bytes; broken UTF-8 counts as one byte of nothing. */
static Kind character(const unsigned char *p, const unsigned char *end, size_t *ret_length) {
        uint32_t c = *p;
        size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

        *ret_length = 1;
        if (n == 1) {
                if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
                        return KIND_LETTER;
                if ((c >= '0' && c <= '9') || c == '_')
                        return KIND_NO_WORD;
                return c == '\'' ? KIND_APOSTROPHE : KIND_OTHER;
        }
        if (n == 0 || (size_t)(end - p) < n)
                return KIND_OTHER;
        c &= 0x7fu >> n;
        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return KIND_OTHER;
                c = c << 6 | (p[i] & 0x3f);
        }
        if (c < (n == 2 ? 0x80u : n == 3 ? 0x800u : 0x10000u) || (c >= 0xd800 && c < 0xe000))
                return KIND_OTHER; /* overlong, or half a pair */
        *ret_length = n;
        if (c == 0x2019) /* the typographic one */
                return KIND_APOSTROPHE;
        if (c < 0xc0 || c == 0xd7 || c == 0xf7 || (c >= 0x2000 && c < 0x2c00) ||
            (c >= 0x3000 && c < 0x3040) || (c >= 0xfe00 && c < 0xfe70) || c >= 0x1f000)
                return KIND_OTHER; /* signs, punctuation, symbols */
        return KIND_LETTER;
}

/* Lower case of one byte of UTF-8: ASCII and the Latin-1 letters, whose second byte follows 0xc3.
 */
static unsigned char fold(unsigned char previous, unsigned char c) {
        if (c >= 'A' && c <= 'Z')
                return c | 0x20;
        if (previous == 0xc3 && c >= 0x80 && c <= 0x9e && c != 0x97)
                return c + 0x20;
        return c;
}

static uint32_t hash(const char *word, size_t length) {
        uint32_t h = 2166136261u;

        for (size_t i = 0; i < length; i++)
                h = (h ^ fold(i > 0 ? (unsigned char)word[i - 1] : 0, (unsigned char)word[i])) *
                    16777619u;
        return h;
}

static bool equal_folded(const char *a, const char *b, size_t length) {
        unsigned char pa = 0, pb = 0;

        for (size_t i = 0; i < length; i++) {
                unsigned char ca = (unsigned char)a[i], cb = (unsigned char)b[i];

                if (fold(pa, ca) != fold(pb, cb))
                        return false;
                pa = ca;
                pb = cb;
        }
        return true;
}

/* ---- the list */

static int file_read(const char *path, char **ret, size_t *ret_length) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r = 0;
        char *text = NULL;
        struct stat st;
        size_t done = 0;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode))
                r = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        else if ((uintmax_t)st.st_size > FILE_MAX)
                r = -EFBIG;
        else if (!(text = malloc((size_t)st.st_size + 1)))
                r = -ENOMEM;
        while (r == 0 && done < (size_t)st.st_size) {
                ssize_t n = read(fd, text + done, (size_t)st.st_size - done);

                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;
                done += (size_t)n;
        }
        close(fd);
        if (r < 0) {
                free(text);
                return r;
        }
        text[done] = '\0';
        *ret = text;
        *ret_length = done;
        return 0;
}

static void list_add(size_t offset, size_t length) {
        uint32_t i = hash(the_list.text + offset, length) & the_list.mask;

        while (the_list.table[i] != 0)
                i = (i + 1) & the_list.mask;
        the_list.table[i] = (uint32_t)offset + 1;
        the_list.n_words++;
}

static bool list_has(const char *word, size_t length) {
        uint32_t i = hash(word, length) & the_list.mask;

        for (; the_list.table[i] != 0; i = (i + 1) & the_list.mask) {
                const char *known = the_list.text + the_list.table[i] - 1;

                if (strlen(known) == length && equal_folded(known, word, length))
                        return true;
        }
        return false;
}

static int list_index(void) {
        size_t lines = 0, start = 0;
        uint32_t size = 1024;

        for (size_t i = 0; i <= the_list.length; i++)
                lines += i == the_list.length || the_list.text[i] == '\n';
        while (size < 2 * lines)
                size *= 2;
        the_list.table = calloc(size, sizeof(*the_list.table));
        if (!the_list.table)
                return -ENOMEM;
        the_list.mask = size - 1;

        for (size_t i = 0; i <= the_list.length; i++) {
                if (i < the_list.length && the_list.text[i] != '\n')
                        continue;
                the_list.text[i] = '\0';
                if (i > start && i - start <= WORD_MAX)
                        list_add(start, i - start);
                start = i + 1;
        }
        return 0;
}

static int preload(void) {
        const char *path = getenv("SPELL_DICTIONARY");
        int r;

        the_list.preloads++;
        the_list.path = strdup(path && *path ? path : DICTIONARY);
        if (!the_list.path)
                return -ENOMEM;

        r = file_read(the_list.path, &the_list.text, &the_list.length);
        if (r < 0) {
                fprintf(stderr,
                        "spell: cannot read the dictionary %s: %s; install the package wamerican, or set "
                        "SPELL_DICTIONARY to a file with one word a line\n",
                        the_list.path, strerror(-r));
                return r;
        }
        r = list_index();
        if (r < 0)
                return r;
        if (the_list.n_words < LIST_WORD_MIN) {
                fprintf(stderr,
                        "spell: the dictionary %s has only %zu words; install the package wamerican, or "
                        "set SPELL_DICTIONARY to a file with one word a line\n",
                        the_list.path, the_list.n_words);
                return -EINVAL;
        }
        return 0;
}

/* ---- check */

typedef struct Check {
        ForkdCall *call;
        const unsigned char *p, *end;
        json_int_t line, column; /* of p */
        json_int_t n_words;
        json_t *unknown;
        bool truncated;
} Check;

static bool word_known(char *word, size_t length) {
        if (length > WORD_MAX)
                return false;
        if (list_has(word, length))
                return true;
        return length > 2 && word[length - 2] == '\'' && (word[length - 1] | 0x20) == 's' &&
               list_has(word, length - 2);
}

/* Copies a run without the apostrophes at its ends, which are quotation marks there. Returns the
 * characters skipped at the front; *ret_length is 0 when nothing is left. */
static json_int_t word_copy(const unsigned char *p, const unsigned char *end, char *word,
                            size_t *ret_length) {
        json_int_t skipped = 0;
        size_t length = 0;

        while (p < end) {
                size_t n;
                Kind kind = character(p, end, &n);

                if (kind == KIND_APOSTROPHE && length == 0)
                        skipped++;
                else if (length + n > WORD_MAX + 4)
                        break; /* too long to be known; what is reported is its beginning */
                else if (kind == KIND_APOSTROPHE)
                        word[length++] = '\'';
                else {
                        memcpy(word + length, p, n);
                        length += n;
                }
                p += n;
        }
        while (length > 0 && word[length - 1] == '\'')
                length--;
        word[length] = '\0';
        *ret_length = length;
        return skipped;
}

static int check_word(Check *c, const unsigned char *start, json_int_t column) {
        char word[WORD_MAX + 8];
        size_t length;

        column += word_copy(start, c->p, word, &length);
        if (length == 0)
                return 0;
        c->n_words++;
        if (word_known(word, length))
                return 0;
        if (json_array_size(c->unknown) >= UNKNOWN_MAX) {
                c->truncated = true;
                return 0;
        }
        return json_array_append_new(c->unknown, json_pack("{ss%,sI,sI}", "word", word, length,
                                                           "line", c->line, "column", column)) < 0
                       ? -ENOMEM
                       : 0;
}

static int check_run(Check *c) {
        const unsigned char *start = c->p;
        json_int_t column = c->column;
        bool word = true;

        while (c->p < c->end) {
                size_t n;
                Kind kind = character(c->p, c->end, &n);

                if (kind == KIND_OTHER)
                        break;
                word = word && kind != KIND_NO_WORD;
                c->p += n;
                c->column++;
        }
        return word ? check_word(c, start, column) : 0;
}

static int check_text(Check *c) {
        while (c->p < c->end) {
                size_t n;
                int r;

                if (character(c->p, c->end, &n) != KIND_OTHER) {
                        r = check_run(c);
                        if (r < 0)
                                return r;
                        if (forkd_call_cancelled(c->call))
                                return forkd_call_fail(
                                        c->call, "Cancelled",
                                        "the call was cancelled, or its time was up");
                        continue;
                }
                c->column++;
                if (*c->p == '\n') {
                        c->line++;
                        c->column = 1;
                }
                c->p += n;
        }
        return 0;
}

static int check(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const json_t *path = json_object_get(arguments, "path");
        const json_t *text = json_object_get(arguments, "text");
        Check c = { .call = call, .line = 1, .column = 1 };
        char *content = NULL;
        size_t length = 0;
        int r;

        if (json_is_string(path) == json_is_string(text))
                return forkd_call_fail(call, "InvalidArgument",
                                       "give either 'path', the name of a file, or 'text'");
        if (json_is_string(path)) {
                r = file_read(json_string_value(path), &content, &length);
                if (r < 0)
                        return forkd_call_fail(call, "CannotRead", "cannot read '%s': %s",
                                               json_string_value(path), strerror(-r));
                c.p = (unsigned char *)content;
        } else {
                c.p = (const unsigned char *)json_string_value(text);
                length = json_string_length(text);
        }
        c.end = c.p + length;
        c.unknown = json_array();

        r = check_text(&c);
        free(content);
        if (r == 0)
                *ret_value = json_pack("{sI,sO,si,sb}", "words", c.n_words, "unknown", c.unknown,
                                       "preloads", the_list.preloads, "truncated", c.truncated);
        json_decref(c.unknown);
        return r < 0 || *ret_value ? r : -ENOMEM;
}

/* ---- suggest */

static int min3(int a, int b, int c) {
        int m = a < b ? a : b;

        return m < c ? m : c;
}

/* Edits between two words: insert, delete, replace a byte, swap neighbours. Above DISTANCE_MAX the
 * exact number does not matter. */
static int distance(const char *a, size_t n, const char *b, size_t m) {
        int rows[3][WORD_MAX + 2];
        int *older = rows[0], *old = rows[1], *row = rows[2];

        for (size_t j = 0; j <= m; j++)
                old[j] = (int)j;
        for (size_t i = 1; i <= n; i++) {
                unsigned char ca = fold(0, (unsigned char)a[i - 1]);
                int best = row[0] = (int)i, *t;

                for (size_t j = 1; j <= m; j++) {
                        unsigned char cb = fold(0, (unsigned char)b[j - 1]);

                        row[j] = min3(old[j] + 1, row[j - 1] + 1, old[j - 1] + (ca != cb));
                        if (i > 1 && j > 1 && ca == fold(0, (unsigned char)b[j - 2]) &&
                            cb == fold(0, (unsigned char)a[i - 2]) && older[j - 2] + 1 < row[j])
                                row[j] = older[j - 2] + 1;
                        best = row[j] < best ? row[j] : best;
                }
                if (best > DISTANCE_MAX)
                        return best;
                t = older;
                older = old;
                old = row;
                row = t;
        }
        return old[m];
}

static int suggest(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        const json_t *word = json_object_get(arguments, "word");
        size_t length = json_string_length(word);
        const char *text = json_string_value(word);
        json_t *found[DISTANCE_MAX + 1], *all;

        if (!text || length == 0 || length > WORD_MAX)
                return forkd_call_fail(call, "InvalidArgument",
                                       "'word' must be a text of 1 to %d bytes", WORD_MAX);
        for (int d = 0; d <= DISTANCE_MAX; d++)
                found[d] = json_array();

        for (size_t i = 0, n; i < the_list.length && !forkd_call_cancelled(call); i += n + 1) {
                const char *known = the_list.text + i;
                int d;

                n = strlen(known);
                if (n == 0 || n > WORD_MAX || n > length + DISTANCE_MAX ||
                    n + DISTANCE_MAX < length ||
                    (n > 2 && known[n - 2] == '\'' && known[n - 1] == 's'))
                        continue;
                d = distance(text, length, known, n);
                if (d <= DISTANCE_MAX && json_array_size(found[d]) < SUGGESTIONS_MAX)
                        json_array_append_new(found[d], json_stringn(known, n));
        }

        all = found[0];
        for (int d = 1; d <= DISTANCE_MAX; d++) {
                json_array_extend(all, found[d]);
                json_decref(found[d]);
        }
        while (json_array_size(all) > SUGGESTIONS_MAX)
                json_array_remove(all, json_array_size(all) - 1);
        *ret_value = json_pack("{so}", "suggestions", all);
        return *ret_value ? 0 : -ENOMEM;
}

static int statistics(ForkdCall *call, json_t *arguments, json_t **ret_value) {
        (void)call;
        (void)arguments;
        *ret_value = json_pack("{si,sI,ss}", "preloads", the_list.preloads, "words",
                               (json_int_t)the_list.n_words, "dictionary", the_list.path);
        return *ret_value ? 0 : -ENOMEM;
}

static const ForkdEntry entries[] = {
        { "check", check, "words of a text that are not in the dictionary",
          "path=FILE | text=TEXT" },
        { "suggest", suggest, "words of the dictionary that look like one", "word=WORD" },
        { "statistics", statistics, "what was preloaded, and how often", "" },
        { 0 },
};

const ForkdModule forkd_module = {
        .abi = FORKD_MODULE_ABI,
        .name = "spell",
        .preload = preload,
        .entries = entries,
};
