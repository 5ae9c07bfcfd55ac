/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of a job specification: what their readers and writers share, and those of plain members.
 * See job-field.h. */

#include "job-field.h"
#include "text.h"

#include <math.h>
#include <stdarg.h>

int field_invalid(FieldParse *p, const char *field, const char *format, ...) {
        va_list ap;

        if (!p->error)
                return JOB_SPEC_E_INVALID;

        va_start(ap, format);
        text_formatv(p->error->sentence, sizeof(p->error->sentence), format, ap);
        va_end(ap);
        text_format(p->error->field, sizeof(p->error->field), "%s", field);
        return JOB_SPEC_E_INVALID;
}

void *field_member(const JobSpec *spec, const Field *field) {
        return (char *)spec + field->offset;
}

int field_set_new(json_t *object, const char *name, json_t *value) {
        return json_object_set_new(object, name, value) < 0 ? -ENOMEM : 0;
}

/* Varlink clients may send integers as 5.0. False when value is no such number. */
bool field_integer_get(const json_t *value, int64_t *ret) {
        double d;

        if (json_is_integer(value)) {
                *ret = json_integer_value(value);
                return true;
        }
        if (!json_is_real(value))
                return false;

        d = json_real_value(value);
        if (d != trunc(d) || d < -0x1p63 || d >= 0x1p63)
                return false;
        *ret = (int64_t)d;
        return true;
}

int field_read_integer(FieldParse *p, const char *name, const json_t *value, int64_t min,
                       int64_t max, int64_t *ret) {
        int64_t v;

        if (!field_integer_get(value, &v))
                return field_invalid(p, name, "%s must be an integer", name);
        if (v < min || v > max) {
                if (max == INT64_MAX)
                        return field_invalid(p, name, "%s is %lld, and must be at least %lld", name,
                                             (long long)v, (long long)min);
                return field_invalid(p, name, "%s is %lld, and must be from %lld to %lld", name,
                                     (long long)v, (long long)min, (long long)max);
        }
        *ret = v;
        return 0;
}

/* A string of min to max bytes without NUL; borrowed. */
int field_read_string(FieldParse *p, const char *name, const json_t *value, size_t min, size_t max,
                      const char **ret) {
        size_t n;

        if (!json_is_string(value))
                return field_invalid(p, name, "%s must be a string", name);
        n = json_string_length(value);
        if (strlen(json_string_value(value)) != n)
                return field_invalid(p, name, "%s contains a NUL character", name);
        if (n < min)
                return field_invalid(p, name, "%s is empty", name);
        if (n > max)
                return field_invalid(p, name, "%s has %zu bytes, and may have at most %zu", name, n,
                                     max);
        *ret = json_string_value(value);
        return 0;
}

/* Refuses members of a nested object that are not in names (NULL-terminated). */
int field_check_members(FieldParse *p, const char *name, const json_t *object,
                        const char *const *names) {
        const char *key, *near;
        json_t *value;

        json_object_foreach ((json_t *)object, key, value) {
                char path[256];

                if (text_in_list(key, names))
                        continue;
                text_format(path, sizeof(path), "%s.%s", name, key);
                near = text_nearest(key, names);
                if (near)
                        return field_invalid(p, path, "%s has no field '%s'; did you mean '%s'?",
                                             name, key, near);
                return field_invalid(p, path, "%s has no field '%s'", name, key);
        }
        return 0;
}

const json_t *field_get(const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        return json_is_null(value) ? NULL : value;
}

/* ---- plain members */

int field_parse_int(FieldParse *p, const Field *field, const json_t *value) {
        int64_t v;
        int r;

        r = field_read_integer(p, field->name, value, field->min, field->max, &v);
        if (r != 0)
                return r;
        *(int *)field_member(p->spec, field) = (int)v;
        return 0;
}

int field_dump_int(const JobSpec *spec, const Field *field, json_t *object) {
        int v = *(int *)field_member(spec, field);

        return v == (int)field->unset ? 0 : field_set_new(object, field->name, json_integer(v));
}

int field_parse_usec(FieldParse *p, const Field *field, const json_t *value) {
        int64_t v;
        int r;

        r = field_read_integer(p, field->name, value, 0, INT64_MAX, &v);
        if (r != 0)
                return r;
        if (v < field->min)
                return field_invalid(p, field->name, "%s is 0; leave it out for none", field->name);
        *(uint64_t *)field_member(p->spec, field) = (uint64_t)v;
        return 0;
}

int field_dump_usec(const JobSpec *spec, const Field *field, json_t *object) {
        uint64_t v = *(uint64_t *)field_member(spec, field);

        return v == (uint64_t)field->unset
                       ? 0
                       : field_set_new(object, field->name, json_integer((int64_t)v));
}

int field_parse_string(FieldParse *p, const Field *field, const json_t *value) {
        const char *s;
        int r;

        r = field_read_string(p, field->name, value, (size_t)field->min, (size_t)field->max, &s);
        if (r != 0)
                return r;
        *(char **)field_member(p->spec, field) = strdup(s);
        return *(char **)field_member(p->spec, field) ? 0 : -ENOMEM;
}

int field_dump_string(const JobSpec *spec, const Field *field, json_t *object) {
        const char *s = *(char **)field_member(spec, field);

        return s ? field_set_new(object, field->name, json_string(s)) : 0;
}

/* Names that also stand in paths, tables and configuration. */
int field_parse_word(FieldParse *p, const Field *field, const json_t *value) {
        const char *s;
        int r;

        r = field_parse_string(p, field, value);
        if (r != 0)
                return r;
        s = *(char **)field_member(p->spec, field);
        if (s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")])
                return field_invalid(p, field->name,
                                     "%s may only have letters, digits, '_', '.' and '-'",
                                     field->name);
        return 0;
}

int field_parse_directory(FieldParse *p, const Field *field, const json_t *value) {
        int r;

        r = field_parse_string(p, field, value);
        if (r != 0)
                return r;
        if (p->spec->directory[0] != '/')
                return field_invalid(p, field->name,
                                     "directory '%s' is not absolute; begin it with '/'",
                                     p->spec->directory);
        return 0;
}

int field_parse_start_method(FieldParse *p, const Field *field, const json_t *value) {
        StartMethod m = json_is_string(value) ? start_method_from_string(json_string_value(value))
                                              : _START_METHOD_INVALID;

        if (m < 0)
                return field_invalid(p, field->name,
                                     "startMethod must be 'fork', 'spawn' or 'forkserver'");
        p->spec->start_method = m;
        return 0;
}

int field_dump_start_method(const JobSpec *spec, const Field *field, json_t *object) {
        return field_set_new(object, field->name,
                             json_string(start_method_to_string(spec->start_method)));
}
