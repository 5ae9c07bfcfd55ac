/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is known of one thing, a field a line: "name:   value". A field that is not there is left
 * out. */

#include "format.h"

#include <jansson.h>

typedef const char *(*FieldFormat)(char buffer[static FORMAT_MAX], uint64_t value);

/* The text of a member, or NULL. */
const char *field_text(const json_t *object, const char *member);
void field_print(const char *name, const char *value);
void field_print_text(const char *name, const json_t *object, const char *member);
/* Texts as they are, anything else as JSON. */
void field_print_json(const char *name, const json_t *object, const char *member);
void field_print_figure(const char *name, const json_t *object, const char *member,
                        FieldFormat format);
/* "3.1 MiB private, 40.2 MiB shared", from privateBytes and sharedBytes. */
void field_print_memory(const char *name, const json_t *object);
/* The words of an array, quoted as a shell would need them. */
void field_print_words(const char *name, const json_t *object, const char *member);
