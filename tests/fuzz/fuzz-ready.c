/* SPDX-License-Identifier: Apache-2.0 */

/* What a host says of itself: any JSON value is entries that may be told on, or a reason that fits
 * a line. */

#include "host-ready.h"
#include "server-settings.h"

#define REASON_MAX 512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Text in UTF-8 that fits one line. */
static void check_line(const char *line, size_t max) {
        json_t *text = json_string(line);

        if (!text || strlen(line) > max)
                abort();
        for (const char *c = line; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        abort();
        json_decref(text);
}

static void check_entries(const json_t *entries) {
        size_t n = json_array_size(entries);

        if (n < 1 || n > SERVER_ENTRIES_MAX)
                abort();
        for (size_t i = 0; i < n; i++) {
                json_t *entry = json_array_get(entries, i), *value;
                const char *key;

                if (!json_object_get(entry, "name") ||
                    *json_string_value(json_object_get(entry, "name")) == '\0')
                        abort();
                json_object_foreach (entry, key, value) {
                        if (!streq(key, "name") && !streq(key, "help") && !streq(key, "arguments"))
                                abort();
                        check_line(json_string_value(value), streq(key, "name") ? 63 : 255);
                }
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *said = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
        json_t *before = json_array(), *entries = before;
        char reason[REASON_MAX] = "";
        int r;

        r = host_ready_read(said, &entries, reason, sizeof(reason));
        if (r == 0)
                check_entries(entries);
        else if (r != HOST_READY_E_UNSAFE || entries != before || reason[0] == '\0')
                abort();
        check_line(reason, REASON_MAX - 1);
        (void)host_ready_preload(said);

        host_refusal_read(said, reason, sizeof(reason));
        if (reason[0] == '\0')
                abort();
        check_line(reason, REASON_MAX - 1);

        json_decref(entries);
        json_decref(said);
        return 0;
}
