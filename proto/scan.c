/* SPDX-License-Identifier: Apache-2.0 */

/* The scanner: a walk over a JSON text with a stack of fixed depth. It belongs to whoever calls it,
 * lives on the stack of scan_text(), and allocates nothing but the list of spans. Lives in every
 * process that reads JSON from somebody else. It must accept what jansson accepts, for what it let
 * pass is parsed by jansson next, and what it refuses is never seen by jansson:
 * tests/fuzz/fuzz-scan.c compares them. */

#include "scan.h"
#include "scan-number.h"

#include <assert.h>

#define SCAN_PATHS_MAX 32
#define SCAN_PARTS_MAX 8
#define SCAN_PART_MAX  64

typedef struct Part {
        const char *text;
        size_t length;
} Part;

typedef struct Path {
        Part parts[SCAN_PARTS_MAX];
        size_t n_parts;
} Path;

/* One open object or array. */
typedef struct Level {
        bool object;
        bool started;   /* has had its first member or element */
        bool captured;  /* its span is noted when it closes */
        uint32_t paths; /* which paths lead to here */
        size_t span;
} Level;

typedef struct Scanner {
        const char *p, *start, *end;
        Path paths[SCAN_PATHS_MAX];
        size_t n_paths;
        Level levels[SCAN_DEPTH_MAX];
        size_t depth;
        size_t n_values;
        ScanSpan *spans;
        size_t n_spans, n_allocated;
} Scanner;

/* What stands for itself in a string. */
static const bool plain[256] = {
        [0x20 ... 0x21] = true,
        [0x23 ... 0x5b] = true,
        [0x5d ... 0x7f] = true,
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static int peek(const Scanner *s) {
        return s->p < s->end ? (uint8_t)*s->p : -1;
}

static void skip_space(Scanner *s) {
        while (s->p < s->end && (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
                s->p++;
}

/* ---- strings */

static bool is_continuation(const Scanner *s, ptrdiff_t i) {
        return s->end - s->p > i && ((uint8_t)s->p[i] & 0xc0) == 0x80;
}

/* One character of more than one byte: no overlong forms, no surrogates, nothing above U+10FFFF. */
static int scan_utf8(Scanner *s) {
        uint8_t a = (uint8_t)s->p[0], b;

        if (a < 0xc2 || a > 0xf4 || !is_continuation(s, 1))
                return SCAN_E_UTF8;
        b = (uint8_t)s->p[1];

        if (a < 0xe0) {
                s->p += 2;
                return 0;
        }
        if (!is_continuation(s, 2))
                return SCAN_E_UTF8;

        if (a < 0xf0) {
                if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b >= 0xa0))
                        return SCAN_E_UTF8;
                s->p += 3;
                return 0;
        }
        if (!is_continuation(s, 3) || (a == 0xf0 && b < 0x90) || (a == 0xf4 && b >= 0x90))
                return SCAN_E_UTF8;

        s->p += 4;
        return 0;
}

/* The number of four hexadecimal digits, or -1. */
static int hex4(const char *p, const char *end) {
        int v = 0;

        if (end - p < 4)
                return -1;
        for (int i = 0; i < 4; i++) {
                char c = p[i];

                v <<= 4;
                if (is_digit(c))
                        v += c - '0';
                else if (c >= 'a' && c <= 'f')
                        v += c - 'a' + 10;
                else if (c >= 'A' && c <= 'F')
                        v += c - 'A' + 10;
                else
                        return -1;
        }
        return v;
}

static int scan_escape(Scanner *s) {
        int v, low;

        if (s->end - s->p < 2)
                return SCAN_E_SYNTAX;
        if (s->p[1] != 'u') {
                if (!s->p[1] || !strchr("\"\\/bfnrt", s->p[1]))
                        return SCAN_E_SYNTAX;
                s->p += 2;
                return 0;
        }

        v = hex4(s->p + 2, s->end);
        if (v < 0)
                return SCAN_E_SYNTAX;
        if (v == 0 || (v >= 0xdc00 && v <= 0xdfff))
                return SCAN_E_UTF8;
        if (v < 0xd800 || v > 0xdbff) {
                s->p += 6;
                return 0;
        }

        if (s->end - s->p < 12 || s->p[6] != '\\' || s->p[7] != 'u')
                return SCAN_E_UTF8;
        low = hex4(s->p + 8, s->end);
        if (low < 0xdc00 || low > 0xdfff)
                return SCAN_E_UTF8;
        s->p += 12;
        return 0;
}

static int scan_string(Scanner *s, Part *ret, bool *ret_escaped) {
        const char *start = s->p + 1;
        bool escaped = false;
        int r;

        assert(peek(s) == '"');
        s->p++;

        for (;;) {
                while (s->p < s->end && plain[(uint8_t)*s->p])
                        s->p++;
                if (s->p >= s->end)
                        return SCAN_E_SYNTAX;

                if (*s->p == '"')
                        break;
                if (*s->p == '\\') {
                        escaped = true;
                        r = scan_escape(s);
                } else if ((uint8_t)*s->p >= 0x80)
                        r = scan_utf8(s);
                else
                        r = SCAN_E_SYNTAX;
                if (r != 0)
                        return r;
        }

        if (ret)
                *ret = (Part){ start, (size_t)(s->p - start) };
        if (ret_escaped)
                *ret_escaped = escaped;
        s->p++;
        return 0;
}

/* ---- numbers */

static int scan_digits(Scanner *s) {
        if (s->p >= s->end || !is_digit(*s->p))
                return SCAN_E_SYNTAX;
        while (s->p < s->end && is_digit(*s->p))
                s->p++;
        return 0;
}

static int scan_exponent(Scanner *s, int64_t *ret) {
        bool negative = false;
        int64_t v = 0;

        s->p++;
        if (peek(s) == '+' || peek(s) == '-')
                negative = *s->p++ == '-';
        if (s->p >= s->end || !is_digit(*s->p))
                return SCAN_E_SYNTAX;

        /* far beyond what the digits of any text could make up for */
        for (; s->p < s->end && is_digit(*s->p); s->p++)
                v = v < INT64_MAX / 100 ? v * 10 + (*s->p - '0') : v;

        *ret = negative ? -v : v;
        return 0;
}

static int scan_number(Scanner *s) {
        const char *number = s->p, *digits;
        int64_t exponent = 0;
        bool negative = false, real = false;
        size_t n;
        int r;

        if (*s->p == '-') {
                negative = true;
                s->p++;
        }
        digits = s->p;
        if (peek(s) == '0')
                s->p++;
        else if (scan_digits(s) != 0)
                return SCAN_E_SYNTAX;
        if (s->p < s->end && is_digit(*s->p))
                return SCAN_E_SYNTAX;

        if (peek(s) == '.') {
                real = true;
                s->p++;
                if (scan_digits(s) != 0)
                        return SCAN_E_SYNTAX;
        }
        n = (size_t)(s->p - digits);
        if (peek(s) == 'e' || peek(s) == 'E') {
                real = true;
                r = scan_exponent(s, &exponent);
                if (r != 0)
                        return r;
        }

        r = real ? number_check_real(digits, n, exponent)
                 : number_check_integer(digits, n, negative);
        if (r != 0)
                s->p = number;
        return r;
}

/* ---- paths */

static void scanner_add_path(Scanner *s, const char *path) {
        Path *to = &s->paths[s->n_paths++];

        assert(s->n_paths <= SCAN_PATHS_MAX);
        for (;;) {
                size_t n = strcspn(path, "/");

                assert(to->n_parts < SCAN_PARTS_MAX && n < SCAN_PART_MAX);
                to->parts[to->n_parts++] = (Part){ path, n };
                if (!path[n])
                        return;
                path += n + 1;
        }
}

/* A string that has passed scan_string(), unescaped; false when it is longer than any part. */
static bool unescape(Part key, char *buffer, size_t size, Part *ret) {
        const char *p = key.text, *end = p + key.length;
        size_t n = 0;

        while (p < end) {
                static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
                int v;

                if (n + 4 > size)
                        return false;
                if (*p != '\\') {
                        buffer[n++] = *p++;
                        continue;
                }
                if (p[1] != 'u') {
                        buffer[n++] = to[strchr(from, p[1]) - from];
                        p += 2;
                        continue;
                }

                v = hex4(p + 2, end);
                p += 6;
                if (v >= 0xd800 && v <= 0xdbff) {
                        v = 0x10000 + ((v - 0xd800) << 10) + (hex4(p + 2, end) - 0xdc00);
                        p += 6;
                        buffer[n++] = (char)(0xf0 | v >> 18);
                        buffer[n++] = (char)(0x80 | (v >> 12 & 0x3f));
                        buffer[n++] = (char)(0x80 | (v >> 6 & 0x3f));
                } else if (v >= 0x800) {
                        buffer[n++] = (char)(0xe0 | v >> 12);
                        buffer[n++] = (char)(0x80 | (v >> 6 & 0x3f));
                } else if (v >= 0x80)
                        buffer[n++] = (char)(0xc0 | v >> 6);
                buffer[n++] = (char)(v < 0x80 ? v : 0x80 | (v & 0x3f));
        }

        *ret = (Part){ buffer, n };
        return true;
}

/* Which of the level's paths lead on to the child of this key; key NULL: to an element. */
static uint32_t level_match(const Scanner *s, const Level *level, const Part *key) {
        uint32_t matched = 0;

        for (size_t i = 0; i < s->n_paths; i++) {
                const Path *path = &s->paths[i];
                const Part *part;
                bool any;

                if (!(level->paths & (UINT32_C(1) << i)) || path->n_parts < s->depth)
                        continue;
                part = &path->parts[s->depth - 1];
                any = part->length == 1 && part->text[0] == '*';
                if (key ? !any && part->length == key->length &&
                                    !memcmp(part->text, key->text, key->length)
                        : any)
                        matched |= UINT32_C(1) << i;
        }
        return matched;
}

static bool paths_end(const Scanner *s, uint32_t paths) {
        for (size_t i = 0; i < s->n_paths; i++)
                if (paths & (UINT32_C(1) << i) && s->paths[i].n_parts == s->depth)
                        return true;
        return false;
}

static int scanner_add_span(Scanner *s, size_t *ret) {
        if (s->n_spans == s->n_allocated) {
                size_t n = s->n_allocated ? s->n_allocated * 2 : 4;
                ScanSpan *spans = reallocarray(s->spans, n, sizeof(*spans));

                if (!spans)
                        return -ENOMEM;
                s->spans = spans;
                s->n_allocated = n;
        }
        s->spans[s->n_spans] = (ScanSpan){ .offset = (size_t)(s->p - s->start) };
        *ret = s->n_spans++;
        return 0;
}

/* ---- values */

static int scanner_open(Scanner *s, uint32_t paths) {
        Level level = { .object = *s->p == '{', .paths = paths };
        int r;

        if (s->depth == SCAN_DEPTH_MAX)
                return SCAN_E_DEPTH;
        if (level.object && paths_end(s, paths)) {
                r = scanner_add_span(s, &level.span);
                if (r < 0)
                        return r;
                level.captured = true;
                level.paths = 0; /* nothing is captured inside what is captured */
        }

        s->levels[s->depth++] = level;
        s->p++;
        return 0;
}

static void scanner_close(Scanner *s) {
        const Level *level = &s->levels[--s->depth];

        s->p++;
        if (level->captured)
                s->spans[level->span].length =
                        (size_t)(s->p - s->start) - s->spans[level->span].offset;
}

static int scan_word(Scanner *s, const char *word) {
        size_t n = strlen(word);

        if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
                return SCAN_E_SYNTAX;
        s->p += n;
        return 0;
}

static int scan_value(Scanner *s, uint32_t paths) {
        switch (peek(s)) {
        case '{':
        case '[':
                return scanner_open(s, paths);
        case '"':
                return scan_string(s, NULL, NULL);
        case 't':
                return scan_word(s, "true");
        case 'f':
                return scan_word(s, "false");
        case 'n':
                return scan_word(s, "null");
        case '-':
        case '0' ... '9':
                return scan_number(s);
        default:
                return SCAN_E_SYNTAX;
        }
}

static int scan_key(Scanner *s, const Level *level, uint32_t *ret_paths) {
        char buffer[SCAN_PART_MAX + 4];
        bool escaped, known = true;
        Part key;
        int r;

        if (peek(s) != '"')
                return SCAN_E_SYNTAX;
        r = scan_string(s, &key, &escaped);
        if (r != 0)
                return r;
        skip_space(s);
        if (peek(s) != ':')
                return SCAN_E_SYNTAX;
        s->p++;
        skip_space(s);

        if (level->paths && escaped)
                known = unescape(key, buffer, sizeof(buffer), &key);
        *ret_paths = level->paths && known ? level_match(s, level, &key) : 0;
        return 0;
}

/* One step inside the innermost level: its end, or its next member or element. */
static int scanner_step(Scanner *s) {
        Level *level = &s->levels[s->depth - 1];
        uint32_t paths = 0;
        int r;

        if (peek(s) == (level->object ? '}' : ']')) {
                scanner_close(s);
                return 0;
        }
        if (level->started) {
                if (peek(s) != ',')
                        return SCAN_E_SYNTAX;
                s->p++;
                skip_space(s);
        }
        level->started = true;

        if (s->n_values == SCAN_VALUES_MAX)
                return SCAN_E_VALUES;
        s->n_values++;

        if (level->object) {
                r = scan_key(s, level, &paths);
                if (r != 0)
                        return r;
        } else if (level->paths)
                paths = level_match(s, level, NULL);
        return scan_value(s, paths);
}

static int scanner_run(Scanner *s) {
        int r;

        skip_space(s);
        if (peek(s) != '{')
                return SCAN_E_SYNTAX;
        r = scanner_open(s, s->n_paths ? (uint32_t)((UINT64_C(1) << s->n_paths) - 1) : 0);

        while (r == 0 && s->depth > 0) {
                skip_space(s);
                r = scanner_step(s);
        }
        if (r != 0)
                return r;

        skip_space(s);
        return s->p == s->end ? 0 : SCAN_E_SYNTAX;
}

int scan_text(const char *text, size_t length, const char *const *paths, Scan *ret) {
        Scanner s;
        int r;

        s.p = s.start = text;
        s.end = text + length;
        s.n_paths = s.depth = s.n_values = s.n_spans = s.n_allocated = 0;
        s.spans = NULL;
        for (; paths && *paths; paths++) {
                s.paths[s.n_paths].n_parts = 0;
                scanner_add_path(&s, *paths);
        }

        r = scanner_run(&s);
        if (r != 0) {
                free(steal(s.spans));
                s.n_spans = 0;
        }
        *ret = (Scan){
                .error_offset = r != 0 ? (size_t)(s.p - s.start) : 0,
                .n_values = s.n_values,
                .spans = s.spans,
                .n_spans = s.n_spans,
        };
        return r;
}

void scan_done(Scan *scan) {
        free(scan->spans);
        *scan = SCAN_NULL;
}

const char *scan_error_string(int error) {
        switch (error) {
        case SCAN_E_SYNTAX:
                return "not a JSON object";
        case SCAN_E_UTF8:
                return "a string is not UTF-8, or has a lone surrogate or a NUL";
        case SCAN_E_DEPTH:
                return "nested deeper than " STRING(SCAN_DEPTH_MAX) " levels";
        case SCAN_E_VALUES:
                return "more than " STRING(SCAN_VALUES_MAX) " values";
        case SCAN_E_NUMBER:
                return "an integer beyond 64 bits, or a real beyond what a double holds";
        default:
                return error < 0 ? strerror(-error) : "no error";
        }
}
