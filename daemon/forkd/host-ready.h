/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a host says of itself in Ready: anybody's words, looked at before they are believed. */

#include "basic.h"

#include <jansson.h>

enum {
        HOST_READY_E_UNSAFE = 1, /* the reason says why it must not be forked, or what is wrong */
};

/* The entries as they may be told on: bounded, cut, and without what is none. 0 (*ret_entries is
 * replaced), HOST_READY_E_UNSAFE or -ENOMEM. */
int host_ready_read(json_t *parameters, json_t **ret_entries, char *ret_reason, size_t size);
uint64_t host_ready_preload(json_t *parameters);
/* The reason of Refused, fit for a line of a log. */
void host_refusal_read(json_t *parameters, char *ret, size_t size);
