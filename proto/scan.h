/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The validating scanner: one pass over a JSON text that accepts what RFC 8259 and jansson accept
 * (a top-level object; no NUL in strings, no lone surrogates, integers of 64 bits, reals that do
 * not overflow) and that refuses by limits before anything is allocated. It also finds the bytes of
 * values that are passed on untouched. Duplicate keys are left to jansson (JSON_REJECT_DUPLICATES).
 */

#include "basic.h"

#define SCAN_DEPTH_MAX  128
#define SCAN_VALUES_MAX 16384

enum {
        SCAN_E_SYNTAX = 1, /* not JSON, or not an object at the top */
        SCAN_E_UTF8,       /* invalid UTF-8, a lone surrogate or \u0000 */
        SCAN_E_DEPTH,      /* nested deeper than SCAN_DEPTH_MAX */
        SCAN_E_VALUES,     /* more than SCAN_VALUES_MAX values (members and elements) */
        SCAN_E_NUMBER,     /* an integer beyond 64 bits or a real beyond double */
};

typedef struct ScanSpan {
        size_t offset;
        size_t length;
} ScanSpan;

/* Spans are captured of the values at the paths given, in the order of the text. A path is keys
 * joined by '/', '*' standing for any element of an array: "parameters/jobs/ * /arguments" (without
 * the spaces). Keys are compared after unescaping. Only values that are objects are captured. */
typedef struct Scan {
        size_t error_offset; /* where it went wrong, in bytes from the start */
        size_t n_values;
        ScanSpan *spans; /* owned; NULL when there are none */
        size_t n_spans;
} Scan;

#define SCAN_NULL ((Scan){ 0 })

/* 0, SCAN_E_* or -ENOMEM. paths ends with NULL and may be NULL. scan_done() frees in any case. */
int scan_text(const char *text, size_t length, const char *const *paths, Scan *ret);
void scan_done(Scan *scan);

/* "nested deeper than 128 levels", … for SCAN_E_* */
const char *scan_error_string(int error);
