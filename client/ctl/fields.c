/* SPDX-License-Identifier: Apache-2.0 */

/* Fields of one thing on standard output; see fields.h. Lives in forkctl. */

#include "fields.h"

#include "verb.h"

#define FIELD_VALUES 15 /* where values begin */

const char *field_text(const json_t *object, const char *member) {
        return json_string_value(json_object_get(object, member));
}

void field_print(const char *name, const char *value) {
        if (!value || value[0] == '\0')
                return;
        printf("%s:%*s", name,
               strlen(name) + 2 < FIELD_VALUES ? FIELD_VALUES - 1 - (int)strlen(name) : 1, "");
        ctl_print_escaped(stdout, value);
        putchar('\n');
}

void field_print_text(const char *name, const json_t *object, const char *member) {
        field_print(name, field_text(object, member));
}

void field_print_json(const char *name, const json_t *object, const char *member) {
        const json_t *v = json_object_get(object, member);
        _cleanup_(freep) char *s = NULL;

        if (!v || json_is_null(v))
                return;
        if (json_is_string(v)) {
                field_print(name, json_string_value(v));
                return;
        }
        s = json_dumps(v, JSON_ENCODE_ANY);
        field_print(name, s);
}

void field_print_figure(const char *name, const json_t *object, const char *member,
                        FieldFormat format) {
        const json_t *v = json_object_get(object, member);
        char buffer[FORMAT_MAX];

        if (json_is_number(v))
                field_print(name, format(buffer, (uint64_t)json_number_value(v)));
}

void field_print_memory(const char *name, const json_t *object) {
        const json_t *own = json_object_get(object, "privateBytes"),
                     *shared = json_object_get(object, "sharedBytes");
        char line[3 * FORMAT_MAX] = "", buffer[FORMAT_MAX];
        size_t n = 0;

        if (json_is_number(own))
                n = (size_t)snprintf(line, sizeof(line), "%s private",
                                     format_bytes(buffer, (uint64_t)json_number_value(own)));
        if (json_is_number(shared))
                snprintf(line + n, sizeof(line) - n, "%s%s shared", n > 0 ? ", " : "",
                         format_bytes(buffer, (uint64_t)json_number_value(shared)));
        field_print(name, line);
}

void field_print_words(const char *name, const json_t *object, const char *member) {
        const json_t *array = json_object_get(object, member), *word;
        _cleanup_(freep) const char **words = NULL;
        _cleanup_(freep) char *line = NULL;
        size_t i;

        words = calloc(json_array_size(array) + 1, sizeof(*words));
        if (!words)
                return;
        json_array_foreach (array, i, word)
                words[i] = json_string_value(word) ?: "?";
        line = format_command(words, json_array_size(array));
        field_print(name, line);
}
