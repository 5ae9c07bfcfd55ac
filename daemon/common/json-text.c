/* SPDX-License-Identifier: Apache-2.0 */

/* A writer of JSON text. The caller owns the struct and its buffer; lives in forkd. */

#include "json-text.h"

void json_text_done(JsonText *t) {
        free(t->text);
        *t = JSON_TEXT_NULL;
}

int json_text_finish(JsonText *t) {
        return t->error;
}

void json_text_reset(JsonText *t) {
        t->length = 0;
        t->comma = false;
        t->error = 0;
}

static char *json_text_reserve(JsonText *t, size_t n) {
        if (t->error < 0)
                return NULL;

        if (t->room - t->length <= n) {
                size_t room = (t->length + n + 1) * 2;
                char *text = realloc(t->text, room < 512 ? 512 : room);

                if (!text) {
                        t->error = -ENOMEM;
                        return NULL;
                }
                t->text = text;
                t->room = room < 512 ? 512 : room;
        }

        return t->text + t->length;
}

static void json_text_append(JsonText *t, const char *bytes, size_t n) {
        char *p = json_text_reserve(t, n);

        if (!p)
                return;
        memcpy(p, bytes, n);
        p[n] = '\0';
        t->length += n;
}

/* The length of the valid UTF-8 sequence at s, or 0 (RFC 3629: shortest form, no surrogates). */
static size_t utf8_sequence(const unsigned char *s) {
        static const struct {
                unsigned char low, high, first_low, first_high;
                size_t length;
        } table[] = {
                { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
                { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
                { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
                { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                if (s[0] < table[i].low || s[0] > table[i].high)
                        continue;
                if (s[1] < table[i].first_low || s[1] > table[i].first_high)
                        return 0;
                for (size_t k = 2; k < table[i].length; k++)
                        if ((s[k] & 0xc0) != 0x80)
                                return 0;
                return table[i].length;
        }
        return 0;
}

static void json_text_quoted(JsonText *t, const char *value) {
        const unsigned char *s = (const unsigned char *)value;
        const unsigned char *plain = s;

        json_text_append(t, "\"", 1);
        while (*s) {
                char escape[8];
                size_t n;

                if (*s >= 0x20 && *s < 0x80 && *s != '"' && *s != '\\') {
                        s++;
                        continue;
                }
                if (*s >= 0x80 && (n = utf8_sequence(s)) > 0) {
                        s += n;
                        continue;
                }

                json_text_append(t, (const char *)plain, (size_t)(s - plain));
                if (*s >= 0x80)
                        json_text_append(t, "\xef\xbf\xbd", 3);
                else if (*s == '"' || *s == '\\')
                        json_text_append(t, (char[]){ '\\', (char)*s }, 2);
                else if (*s == '\n')
                        json_text_append(t, "\\n", 2);
                else
                        json_text_append(t, escape,
                                         (size_t)snprintf(escape, sizeof(escape), "\\u%04x", *s));
                plain = ++s;
        }
        json_text_append(t, (const char *)plain, (size_t)(s - plain));
        json_text_append(t, "\"", 1);
}

static void json_text_key(JsonText *t, const char *key) {
        if (t->comma)
                json_text_append(t, ",", 1);
        t->comma = true;
        if (key) {
                json_text_append(t, "\"", 1);
                json_text_append(t, key, strlen(key));
                json_text_append(t, "\":", 2);
        }
}

void json_text_open(JsonText *t, const char *key, char bracket) {
        json_text_key(t, key);
        json_text_append(t, &bracket, 1);
        t->comma = false;
}

void json_text_close(JsonText *t, char bracket) {
        json_text_append(t, &bracket, 1);
        t->comma = true;
}

void json_text_string(JsonText *t, const char *key, const char *value) {
        if (!value)
                return;
        json_text_key(t, key);
        json_text_quoted(t, value);
}

void json_text_int(JsonText *t, const char *key, int64_t value) {
        char digits[24];

        json_text_key(t, key);
        json_text_append(t, digits,
                         (size_t)snprintf(digits, sizeof(digits), "%lld", (long long)value));
}

void json_text_bool(JsonText *t, const char *key, bool value) {
        json_text_key(t, key);
        json_text_append(t, value ? "true" : "false", value ? 4 : 5);
}

void json_text_null(JsonText *t, const char *key) {
        json_text_key(t, key);
        json_text_append(t, "null", 4);
}

void json_text_raw(JsonText *t, const char *key, const char *json, size_t length) {
        json_text_key(t, key);
        json_text_append(t, json, length);
}

void json_text_strings(JsonText *t, const char *key, char *const *values) {
        if (!values)
                return;
        json_text_open(t, key, '[');
        for (; *values; values++)
                json_text_string(t, NULL, *values);
        json_text_close(t, ']');
}
