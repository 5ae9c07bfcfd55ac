/* SPDX-License-Identifier: Apache-2.0 */

/* A walk over the JSON text of a packet that allocates nothing. It refuses what jansson would
 * refuse, as nobody parses the payload before it is passed on. Lives in every process that receives
 * packets. */

#include "json-span.h"

#include <math.h>

typedef enum Place {
        PLACE_TOP,        /* the packet */
        PLACE_PARAMETERS, /* its parameters */
        PLACE_PAYLOAD,    /* where a payload may stand */
        PLACE_ELSEWHERE,
} Place;

typedef struct Walk {
        const char *p, *end;
        const char *text;
        size_t n_values;
        bool inside; /* the payload */
        JsonSpan span;
} Walk;

static bool walk_value(Walk *w, Place place, unsigned depth);

static void walk_space(Walk *w) {
        while (w->p < w->end && (*w->p == ' ' || *w->p == '\t' || *w->p == '\n' || *w->p == '\r'))
                w->p++;
}

static bool walk_literal(Walk *w, const char *literal) {
        size_t n = strlen(literal);

        if ((size_t)(w->end - w->p) < n || memcmp(w->p, literal, n) != 0)
                return false;
        w->p += n;
        return true;
}

static bool walk_char(Walk *w, char c) {
        if (w->p == w->end || *w->p != c)
                return false;
        w->p++;
        return true;
}

static size_t walk_digits(Walk *w) {
        const char *start = w->p;

        while (w->p < w->end && *w->p >= '0' && *w->p <= '9')
                w->p++;
        return (size_t)(w->p - start);
}

static bool walk_number(Walk *w) {
        const char *start = w->p;
        bool real = false;

        walk_char(w, '-');
        if (!walk_char(w, '0') && walk_digits(w) == 0)
                return false;
        if (walk_char(w, '.')) {
                real = true;
                if (walk_digits(w) == 0)
                        return false;
        }
        if (w->p < w->end && (*w->p == 'e' || *w->p == 'E')) {
                real = true;
                w->p++;
                if (!walk_char(w, '+'))
                        walk_char(w, '-');
                if (walk_digits(w) == 0)
                        return false;
        }

        /* both stop at the end of the number: the text has a NUL behind it */
        if (real)
                return isfinite(strtod(start, NULL));
        if (w->p - start < 19)
                return true;
        errno = 0;
        strtoll(start, NULL, 10);
        return errno == 0;
}

static bool walk_hex4(Walk *w, unsigned *ret) {
        unsigned v = 0;

        if (w->end - w->p < 4)
                return false;
        for (int i = 0; i < 4; i++, w->p++) {
                char c = *w->p;

                if (c >= '0' && c <= '9')
                        v = v * 16 + (unsigned)(c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        v = v * 16 + (unsigned)((c | 0x20) - 'a' + 10);
                else
                        return false;
        }
        *ret = v;
        return true;
}

/* After the backslash. */
static bool walk_escape(Walk *w) {
        unsigned high, low;
        char c;

        if (w->p == w->end)
                return false;
        c = *w->p++;
        if (c != 'u')
                return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
        if (!walk_hex4(w, &high) || high == 0 || (high >= 0xdc00 && high <= 0xdfff))
                return false;
        if (high < 0xd800 || high > 0xdbff)
                return true;
        return walk_literal(w, "\\u") && walk_hex4(w, &low) && low >= 0xdc00 && low <= 0xdfff;
}

/* One character above 0x7f: no overlong form, no surrogate, nothing above U+10FFFF. */
static bool walk_utf8(Walk *w) {
        const unsigned char *p = (const unsigned char *)w->p;
        size_t left = (size_t)(w->end - w->p), n;
        unsigned low = 0x80, high = 0xbf;

        if (p[0] >= 0xc2 && p[0] <= 0xdf)
                n = 2;
        else if (p[0] >= 0xe0 && p[0] <= 0xef)
                n = 3;
        else if (p[0] >= 0xf0 && p[0] <= 0xf4)
                n = 4;
        else
                return false;
        if (left < n)
                return false;

        if (p[0] == 0xe0)
                low = 0xa0;
        else if (p[0] == 0xed)
                high = 0x9f;
        else if (p[0] == 0xf0)
                low = 0x90;
        else if (p[0] == 0xf4)
                high = 0x8f;
        if (p[1] < low || p[1] > high)
                return false;
        for (size_t i = 2; i < n; i++)
                if ((p[i] & 0xc0) != 0x80)
                        return false;
        w->p += n;
        return true;
}

static bool walk_string(Walk *w) {
        if (!walk_char(w, '"'))
                return false;
        while (w->p < w->end) {
                unsigned char c = (unsigned char)*w->p;

                if (c == '"') {
                        w->p++;
                        return true;
                }
                if (c < 0x20)
                        return false;
                if (c == '\\') {
                        w->p++;
                        if (!walk_escape(w))
                                return false;
                } else if (c < 0x80)
                        w->p++;
                else if (!walk_utf8(w))
                        return false;
        }
        return false;
}

static bool key_is(const char *key, size_t length, const char *name) {
        return length == strlen(name) + 2 && memcmp(key + 1, name, length - 2) == 0;
}

static Place place_of_member(Place place, const char *key, size_t length) {
        if (place == PLACE_TOP && key_is(key, length, "parameters"))
                return PLACE_PARAMETERS;
        if (place == PLACE_PARAMETERS &&
            (key_is(key, length, "arguments") || key_is(key, length, "value")))
                return PLACE_PAYLOAD;
        return PLACE_ELSEWHERE;
}

static bool walk_object(Walk *w, Place place, unsigned depth) {
        walk_space(w);
        if (walk_char(w, '}'))
                return true;
        for (;;) {
                const char *key;
                Place next;

                walk_space(w);
                key = w->p;
                if (!walk_string(w))
                        return false;
                next = place_of_member(place, key, (size_t)(w->p - key));
                walk_space(w);
                if (!walk_char(w, ':') || !walk_value(w, next, depth))
                        return false;
                walk_space(w);
                if (walk_char(w, '}'))
                        return true;
                if (!walk_char(w, ','))
                        return false;
        }
}

static bool walk_array(Walk *w, unsigned depth) {
        walk_space(w);
        if (walk_char(w, ']'))
                return true;
        for (;;) {
                if (!walk_value(w, PLACE_ELSEWHERE, depth))
                        return false;
                walk_space(w);
                if (walk_char(w, ']'))
                        return true;
                if (!walk_char(w, ','))
                        return false;
        }
}

/* The first object at a place for payloads is the payload. */
static bool walk_payload(Walk *w, unsigned depth) {
        size_t start = (size_t)(w->p - 1 - w->text);

        w->inside = true;
        if (!walk_object(w, PLACE_ELSEWHERE, depth))
                return false;
        w->inside = false;
        w->span = (JsonSpan){ .offset = start, .length = (size_t)(w->p - w->text) - start };
        return true;
}

static bool walk_value(Walk *w, Place place, unsigned depth) {
        if (depth >= JSON_SPAN_DEPTH_MAX)
                return false;
        if (!w->inside && ++w->n_values > JSON_SPAN_VALUES_MAX)
                return false;

        walk_space(w);
        if (w->p == w->end)
                return false;
        switch (*w->p) {
        case '{':
                w->p++;
                if (place == PLACE_PAYLOAD && w->span.length == 0)
                        return walk_payload(w, depth + 1);
                return walk_object(w, place, depth + 1);
        case '[':
                w->p++;
                return walk_array(w, depth + 1);
        case '"':
                return walk_string(w);
        case 't':
                return walk_literal(w, "true");
        case 'f':
                return walk_literal(w, "false");
        case 'n':
                return walk_literal(w, "null");
        default:
                return walk_number(w);
        }
}

int json_span_find(const char *text, size_t length, JsonSpan *ret) {
        Walk w = { .p = text, .end = text + length, .text = text };

        walk_space(&w);
        if (w.p == w.end || *w.p != '{' || !walk_value(&w, PLACE_TOP, 0))
                return JSON_SPAN_E_INVALID;
        walk_space(&w);
        if (w.p != w.end)
                return JSON_SPAN_E_INVALID;

        *ret = w.span;
        return 0;
}
