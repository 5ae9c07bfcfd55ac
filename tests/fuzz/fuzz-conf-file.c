/* SPDX-License-Identifier: Apache-2.0 */

/* Configuration files: any bytes give assignments and warnings that are text, in lines that exist.
 */

#include "conf-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
        unsigned n_lines;
        size_t length; /* of all values */
} Seen;

static int on_assign(const char *file, unsigned line, const char *section, const char *key,
                     const char *value, void *userdata) {
        Seen *seen = userdata;
        uint64_t v;
        unsigned u;
        bool b;

        (void)file;
        if (line == 0 || line > seen->n_lines || section[0] == '\0' || key[0] == '\0' ||
            strpbrk(section, "[]\n") || strchr(key, '=') || strchr(value, '\n'))
                abort();
        seen->length += strlen(key) + strlen(value);

        if (conf_parse_unsigned(value, 1, 9, &u) == 0 && (u < 1 || u > 9))
                abort();
        (void)conf_parse_bool(value, &b);
        (void)conf_parse_bytes(value, &v);
        (void)conf_parse_usec(value, &v);
        return 0;
}

static void on_warn(const char *file, unsigned line, const char *sentence, void *userdata) {
        Seen *seen = userdata;

        (void)file;
        if (line > seen->n_lines || sentence[0] == '\0')
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        Seen seen = { .n_lines = 1 };
        char *text = malloc(size + 1); /* of its own size, so that one byte too far is noticed */

        if (!text)
                return 0;
        memcpy(text, data, size);
        for (size_t i = 0; i < size; i++)
                seen.n_lines += text[i] == '\n';
        if (conf_parse_text("fuzz", text, size, on_assign, on_warn, &seen) == 0 &&
            seen.length > size)
                abort();
        free(text);
        return 0;
}
