/* SPDX-License-Identifier: Apache-2.0 */

/* The scanner against jansson: whatever it refuses but for its own limits, jansson refuses, and the
 * other way round. Then the captures: what is captured is an object of its own. */

#include "scan.h"

#include <jansson.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = { "a", "b/c", "l/*", "parameters/jobs/*/arguments", NULL };

static void check(bool good, const char *what) {
        if (!good) {
                fprintf(stderr, "the scanner and jansson differ: %s\n", what);
                abort();
        }
}

static bool jansson_accepts(const char *text, size_t length) {
        json_t *json = json_loadb(text, length, 0, NULL);
        bool object = json_is_object(json);

        json_decref(json);
        return object;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *)data;
        Scan plain, captured;
        size_t end = 0;
        int r, with_paths;

        r = scan_text(text, size, NULL, &plain);
        with_paths = scan_text(text, size, paths, &captured);
        check(r == with_paths, "captures change what is accepted");
        check(r >= 0, "out of memory");

        /* jansson passes over a NUL behind a number; no message holds one */
        if (memchr(text, 0, size))
                check(r != 0, "a NUL is accepted");
        else if (r == 0)
                check(jansson_accepts(text, size), "accepted by the scanner alone");
        else if (r != SCAN_E_DEPTH && r != SCAN_E_VALUES)
                check(!jansson_accepts(text, size), scan_error_string(r));

        for (size_t i = 0; i < captured.n_spans; i++) {
                const ScanSpan *span = &captured.spans[i];

                check(span->offset >= end && span->offset + span->length <= size, "spans overlap");
                end = span->offset + span->length;
                check(jansson_accepts(text + span->offset, span->length),
                      "a span that is no object");
        }

        scan_done(&plain);
        scan_done(&captured);
        return 0;
}
