/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One field of a job specification: its name, its reader, its writer and its bounds. The table of
 * all fields stands in job-spec.c; only the files job-*.c of this folder use this header. */

#include "job-spec.h"

/* One reading of one specification: what was given, and where the result and the complaint go. */
typedef struct FieldParse {
        JobSpec *spec;
        JobSpecError *error; /* may be NULL */
        const char *arguments;
        size_t arguments_length;
        size_t n_fds;
} FieldParse;

typedef struct Field Field;

struct Field {
        const char *name;
        /* value is neither absent nor null. 0, JOB_SPEC_E_INVALID or -ENOMEM. */
        int (*parse)(FieldParse *p, const Field *field, const json_t *value);
        /* Adds the field to object unless nothing was said. 0 or -ENOMEM. */
        int (*dump)(const JobSpec *spec, const Field *field, json_t *object);
        size_t offset;    /* of the member of JobSpec */
        int64_t min, max; /* of an integer, or of the length of a string */
        int64_t unset;    /* the integer that stands for "nothing was said" */
};

/* Fills in the error and evaluates to JOB_SPEC_E_INVALID. */
int field_invalid(FieldParse *p, const char *field, const char *format, ...) _printf_(3, 4);
void *field_member(const JobSpec *spec, const Field *field);
/* json_object_set_new() with our errors: value NULL is -ENOMEM. */
int field_set_new(json_t *object, const char *name, json_t *value);
/* The member, or NULL when it is absent or null. */
const json_t *field_get(const json_t *object, const char *name);
/* Varlink clients may send integers as 5.0. False when value is no such number. */
bool field_integer_get(const json_t *value, int64_t *ret);
int field_read_integer(FieldParse *p, const char *name, const json_t *value, int64_t min,
                       int64_t max, int64_t *ret);
/* A string of min to max bytes without NUL; borrowed. */
int field_read_string(FieldParse *p, const char *name, const json_t *value, size_t min, size_t max,
                      const char **ret);
/* Refuses members of a nested object that are not in names (NULL-terminated). */
int field_check_members(FieldParse *p, const char *name, const json_t *object,
                        const char *const *names);

#define FIELD_PARSE(kind)                                                                          \
        int field_parse_##kind(FieldParse *p, const Field *field, const json_t *value)
#define FIELD_DUMP(kind)                                                                           \
        int field_dump_##kind(const JobSpec *spec, const Field *field, json_t *object)

FIELD_PARSE(int);
FIELD_DUMP(int);
FIELD_PARSE(usec);
FIELD_DUMP(usec);
FIELD_PARSE(string);
FIELD_DUMP(string);
FIELD_PARSE(word); /* a string that also stands in paths, tables and configuration */
FIELD_PARSE(directory);
FIELD_PARSE(start_method);
FIELD_DUMP(start_method);
FIELD_PARSE(command);
FIELD_DUMP(command);
FIELD_PARSE(environment);
FIELD_DUMP(environment);
FIELD_PARSE(arguments);
FIELD_DUMP(arguments);
FIELD_PARSE(arguments_descriptor);
FIELD_PARSE(stdio);
FIELD_DUMP(stdio);
FIELD_PARSE(after);
FIELD_DUMP(after);
FIELD_PARSE(limits);
FIELD_DUMP(limits);
FIELD_PARSE(affinity);
FIELD_DUMP(affinity);
FIELD_PARSE(retries);
FIELD_DUMP(retries);

#define RETRY_ALL                                                                                  \
        (RETRY_EXIT | RETRY_SIGNAL | RETRY_TIMEOUT | RETRY_OOM | RETRY_SERVER_FAILED | RETRY_LOST)
#define RETRY_DELAY_DEFAULT_USEC USEC_PER_SEC
