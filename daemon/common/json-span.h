/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Finds the payload of a packet, the object at parameters.arguments or parameters.value, so that it
 * is passed on as bytes and only the rest is parsed. Lies below the wire's scanner, which belongs
 * to clients: packets have other limits. */

#include "basic.h"

#define JSON_SPAN_DEPTH_MAX  160   /* a payload of the wire's depth, inside a packet */
#define JSON_SPAN_VALUES_MAX 65536 /* outside the payload: what jansson has to hold */

enum {
        JSON_SPAN_E_INVALID = 1, /* no JSON object, or beyond a limit */
};

typedef struct JsonSpan {
        size_t offset;
        size_t length; /* 0: there is none */
} JsonSpan;

#define JSON_SPAN_NULL ((JsonSpan){ 0 })

/* Validates all of text, which has a NUL at text[length], the payload included. 0 or
 * JSON_SPAN_E_INVALID. */
int json_span_find(const char *text, size_t length, JsonSpan *ret);
