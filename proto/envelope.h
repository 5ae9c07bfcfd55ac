/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One call as it came: the members of a message, checked as strictly as the specification allows.
 */

#include "basic.h"
#include "scan.h"

#include <jansson.h>

enum {
        ENVELOPE_E_INVALID = 1, /* no call: whoever sent it is not worth an answer */
};

typedef struct Envelope {
        json_t *root;       /* owned */
        const char *method; /* borrowed from root */
        json_t *parameters; /* owned, an object, maybe {} */
        bool more, oneway, upgrade;
        Scan scan; /* owned; spans of the captured values in the text */
} Envelope;

#define ENVELOPE_NULL ((Envelope){ 0 })

/* The paths that are captured of a call of this method, or NULL. */
typedef const char *const *(*EnvelopeCaptures)(const char *method, void *userdata);

/* text ends with a NUL at length. Returns 0, ENVELOPE_E_INVALID with a sentence in *ret_why, or
 * -ENOMEM. */
int envelope_parse(const char *text, size_t length, EnvelopeCaptures captures, void *userdata,
                   Envelope *ret, const char **ret_why);
void envelope_done(Envelope *envelope);
