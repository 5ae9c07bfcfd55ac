/* SPDX-License-Identifier: Apache-2.0 */

/* The envelope: what stands at the top of a call. Owned by the call; lives in the daemon. The text
 * is scanned before jansson sees it, and what the method wants passed on untouched is left out of
 * what jansson parses, so that large arguments cost a scan and no tree. */

#include "envelope.h"

#include <assert.h>

#define METHOD_NAME_MAX 256

/* ---- which method, before anything is parsed: what is captured depends on it */

/* The end of the string that begins at p, its closing quote, or NULL. */
static const char *string_end(const char *p, const char *end) {
        for (p++; p < end && *p != '"'; p++)
                if (*p == '\\')
                        p++;
        return p < end ? p : NULL;
}

static const char *skip_space(const char *p, const char *end) {
        while (p < end && strchr(" \t\r\n", *p))
                p++;
        return p;
}

/* Copies the value of a plainly spelled "method" at the top of a text that may be anything. A
 * guess: who relies on it compares it with what was parsed. */
static bool guess_method(const char *text, size_t length, char ret[static METHOD_NAME_MAX]) {
        const char *p = text, *end = text + length, *q;
        int depth = 0;

        for (; p < end; p++) {
                if (*p == '{' || *p == '[')
                        depth++;
                else if (*p == '}' || *p == ']')
                        depth--;
                if (*p != '"')
                        continue;

                q = string_end(p, end);
                if (!q)
                        return false;
                if (depth == 1 && q - p == 7 && !memcmp(p, "\"method", 7)) {
                        const char *value = skip_space(q + 1, end);

                        if (value < end && *value == ':') {
                                p = skip_space(value + 1, end);
                                break;
                        }
                }
                p = q;
        }
        if (p >= end || *p != '"')
                return false;

        q = string_end(p, end);
        if (!q || q - p > METHOD_NAME_MAX || memchr(p, '\\', (size_t)(q - p)))
                return false;
        memcpy(ret, p + 1, (size_t)(q - p - 1));
        ret[q - p - 1] = 0;
        return true;
}

/* ---- jansson's part */

/* The text with a 0 for each captured value. */
static char *text_without_spans(const char *text, size_t length, const Scan *scan,
                                size_t *ret_length) {
        char *shorter = malloc(length + 1), *to = shorter;
        size_t from = 0;

        if (!shorter)
                return NULL;
        for (size_t i = 0; i < scan->n_spans; i++) {
                const ScanSpan *span = &scan->spans[i];

                to = mempcpy(to, text + from, span->offset - from);
                *to++ = '0';
                from = span->offset + span->length;
        }
        to = mempcpy(to, text + from, length - from);
        *to = 0;

        *ret_length = (size_t)(to - shorter);
        return shorter;
}

static int parse_text(const char *text, size_t length, const char *const *paths, Envelope *e,
                      const char **ret_why) {
        _cleanup_(freep) char *shorter = NULL;
        json_error_t error;
        int r;

        r = scan_text(text, length, paths, &e->scan);
        if (r < 0)
                return r;
        if (r > 0) {
                *ret_why = scan_error_string(r);
                return ENVELOPE_E_INVALID;
        }

        if (e->scan.n_spans > 0) {
                shorter = text_without_spans(text, length, &e->scan, &length);
                if (!shorter)
                        return -ENOMEM;
                text = shorter;
        }

        e->root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
        if (!e->root) {
                if (json_error_code(&error) == json_error_out_of_memory)
                        return -ENOMEM;
                *ret_why = "a member stands twice in one object";
                return ENVELOPE_E_INVALID;
        }
        return 0;
}

static int read_flag(const char *key, const json_t *value, Envelope *e) {
        static const struct {
                const char *name;
                size_t offset;
        } flags[] = {
                { "more", offsetof(Envelope, more) },
                { "oneway", offsetof(Envelope, oneway) },
                { "upgrade", offsetof(Envelope, upgrade) },
        };

        for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
                if (!streq(key, flags[i].name))
                        continue;
                if (!json_is_boolean(value))
                        return ENVELOPE_E_INVALID;
                *(bool *)((char *)e + flags[i].offset) = json_is_true(value);
                return 0;
        }
        return -ENOENT;
}

static int read_member(const char *key, json_t *value, Envelope *e, const char **ret_why) {
        int r;

        if (streq(key, "method")) {
                e->method = json_string_value(value);
                *ret_why = "method is no string";
                return e->method ? 0 : ENVELOPE_E_INVALID;
        }
        if (streq(key, "parameters")) {
                if (json_is_object(value))
                        e->parameters = json_incref(value);
                *ret_why = "parameters is neither an object nor null";
                return e->parameters || json_is_null(value) ? 0 : ENVELOPE_E_INVALID;
        }

        r = read_flag(key, value, e);
        *ret_why = "a flag is no boolean";
        if (r == -ENOENT) {
                /* a name with a dot is somebody's extension */
                r = strchr(key, '.') ? 0 : ENVELOPE_E_INVALID;
                *ret_why = "an unknown member; those of extensions have a dot in their name";
        }
        return r;
}

static int read_members(Envelope *e, const char **ret_why) {
        const char *key;
        json_t *value;
        int r;

        json_object_foreach (e->root, key, value) {
                r = read_member(key, value, e, ret_why);
                if (r != 0)
                        return r;
        }

        if (!e->method) {
                *ret_why = "no method";
                return ENVELOPE_E_INVALID;
        }
        if (e->more + e->oneway + e->upgrade > 1) {
                *ret_why = "more than one of more, oneway and upgrade";
                return ENVELOPE_E_INVALID;
        }
        if (!e->parameters)
                e->parameters = json_object();
        return e->parameters ? 0 : -ENOMEM;
}

void envelope_done(Envelope *envelope) {
        json_decref(envelope->parameters);
        json_decref(envelope->root);
        scan_done(&envelope->scan);
        *envelope = ENVELOPE_NULL;
}

/* With the captures of this method. -EAGAIN when the text then names another. */
static int envelope_parse_as(const char *method, const char *text, size_t length,
                             EnvelopeCaptures captures, void *userdata, Envelope *ret,
                             const char **ret_why) {
        const char *const *paths = method && captures ? captures(method, userdata) : NULL;
        _cleanup_(envelope_done) Envelope e = ENVELOPE_NULL;
        const char *named;
        int r;

        r = parse_text(text, length, paths, &e, ret_why);
        if (r != 0)
                return r;

        named = json_string_value(json_object_get(e.root, "method"));
        if (named && captures && captures(named, userdata) != paths)
                return -EAGAIN;

        r = read_members(&e, ret_why);
        if (r != 0)
                return r;

        *ret = e;
        e = ENVELOPE_NULL;
        return 0;
}

int envelope_parse(const char *text, size_t length, EnvelopeCaptures captures, void *userdata,
                   Envelope *ret, const char **ret_why) {
        _cleanup_(envelope_done) Envelope plain = ENVELOPE_NULL;
        char guess[METHOD_NAME_MAX];
        bool guessed = captures && guess_method(text, length, guess);
        int r;

        r = envelope_parse_as(guessed ? guess : NULL, text, length, captures, userdata, ret,
                              ret_why);
        if (r != -EAGAIN)
                return r;

        /* It is spelled with escapes: parse everything to learn it, and once more without the
         * captures. */
        r = parse_text(text, length, NULL, &plain, ret_why);
        if (r != 0)
                return r;
        r = envelope_parse_as(json_string_value(json_object_get(plain.root, "method")), text,
                              length, captures, userdata, ret, ret_why);
        assert(r != -EAGAIN);
        return r;
}
