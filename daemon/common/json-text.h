/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writes JSON as text, in one pass and into one growing buffer: for what is sent often, or contains
 * bytes that are passed on untouched. Errors stick: look once, at json_text_finish(). Strings must
 * be UTF-8; bytes that are not become U+FFFD. */

#include "basic.h"

typedef struct JsonText {
        char *text; /* owned */
        size_t length, room;
        bool comma;
        int error;
} JsonText;

#define JSON_TEXT_NULL ((JsonText){ 0 })

void json_text_done(JsonText *t);
/* 0 when all went well: text is NUL-terminated. */
int json_text_finish(JsonText *t);
/* Empties it and keeps the buffer. */
void json_text_reset(JsonText *t);

void json_text_open(JsonText *t, const char *key,
                    char bracket);               /* '{' or '['; key NULL inside arrays */
void json_text_close(JsonText *t, char bracket); /* '}' or ']' */
void json_text_string(JsonText *t, const char *key,
                      const char *value); /* NULL: nothing is written */
void json_text_int(JsonText *t, const char *key, int64_t value);
void json_text_bool(JsonText *t, const char *key, bool value);
void json_text_null(JsonText *t, const char *key);
void json_text_raw(JsonText *t, const char *key, const char *json, size_t length);
void json_text_strings(JsonText *t, const char *key,
                       char *const *values); /* NULL: nothing is written */
