/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of Ready and Refused; stateless, in forkd. */

#include "host-ready.h"

#include "server-settings.h"
#include "text.h"

#define ENTRY_NAME_MAX 63
#define ENTRY_TEXT_MAX 255

/* Control characters become blanks: it is printed. */
static void make_line(char *s) {
        for (; *s; s++)
                if ((unsigned char)*s < ' ' || *s == 0x7f)
                        *s = ' ';
}

static int add_text(json_t *object, const char *key, json_t *value) {
        const char *text = json_string_value(value);
        char line[ENTRY_TEXT_MAX + 1];

        if (!text)
                return 0;
        text_format(line, sizeof(line), "%s", text);
        make_line(line);
        return json_object_set_new(object, key, json_string(line)) < 0 ? -ENOMEM : 0;
}

static int add_entry(json_t *entries, json_t *said) {
        const char *name = json_string_value(json_object_get(said, "name"));
        json_t *entry;

        if (!name || *name == '\0' || strlen(name) > ENTRY_NAME_MAX)
                return -EINVAL;
        for (const char *c = name; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        return -EINVAL;
        entry = json_pack("{s:s}", "name", name);
        if (!entry || json_array_append_new(entries, entry) < 0 ||
            add_text(entry, "help", json_object_get(said, "help")) < 0 ||
            add_text(entry, "arguments", json_object_get(said, "arguments")) < 0)
                return -ENOMEM;
        return 0;
}

static int read_entries(json_t *said, json_t **ret, char *reason, size_t size) {
        _cleanup_(json_decrefp) json_t *entries = json_array();
        json_t *entry;
        size_t i;

        if (!entries)
                return -ENOMEM;
        if (!json_is_array(said) || json_array_size(said) == 0) {
                snprintf(reason, size, "it offers no entries");
                return HOST_READY_E_UNSAFE;
        }
        if (json_array_size(said) > SERVER_ENTRIES_MAX) {
                snprintf(reason, size, "it offers %zu entries, more than %d", json_array_size(said),
                         SERVER_ENTRIES_MAX);
                return HOST_READY_E_UNSAFE;
        }
        json_array_foreach (said, i, entry) {
                int r = add_entry(entries, entry);

                if (r == -EINVAL) {
                        snprintf(reason, size,
                                 "entry %zu of its Ready has no name of 1 to %d bytes", i,
                                 ENTRY_NAME_MAX);
                        return HOST_READY_E_UNSAFE;
                }
                if (r < 0)
                        return r;
        }
        json_decref(*ret);
        *ret = steal(entries);
        return 0;
}

/* The first of what a list names, if it names anything. */
static bool first_culprit(json_t *list, const char *words, char *reason, size_t size) {
        const char *first = json_string_value(json_array_get(list, 0));

        if (json_array_size(list) == 0)
                return false;
        text_format(reason, size, "%s%s", words, first ?: "what it does not name");
        make_line(reason);
        return true;
}

static int check_safety(json_t *safety, char *reason, size_t size) {
        json_t *threads = json_object_get(safety, "threads");

        if (!json_is_integer(threads))
                snprintf(reason, size,
                         "its Ready does not say in 'safety' how many threads it has");
        else if (json_integer_value(threads) != 1)
                snprintf(reason, size,
                         "it has %lld threads, and a fork has only the one that forks",
                         (long long)json_integer_value(threads));
        else if (!first_culprit(json_object_get(safety, "descriptors"),
                                "a descriptor is open that its workers would share: ", reason,
                                size) &&
                 !first_culprit(json_object_get(safety, "signals"),
                                "a signal is ignored that its workers would ignore: ", reason,
                                size))
                return 0;
        return HOST_READY_E_UNSAFE;
}

int host_ready_read(json_t *parameters, json_t **ret_entries, char *ret_reason, size_t size) {
        int r = check_safety(json_object_get(parameters, "safety"), ret_reason, size);

        if (r != 0)
                return r;
        r = read_entries(json_object_get(parameters, "entries"), ret_entries, ret_reason, size);
        if (r < 0)
                snprintf(ret_reason, size, "%s", strerror(-r));
        return r;
}

uint64_t host_ready_preload(json_t *parameters) {
        json_int_t usec = json_integer_value(json_object_get(parameters, "preloadUSec"));

        return usec > 0 ? (uint64_t)usec : 0;
}

void host_refusal_read(json_t *parameters, char *ret, size_t size) {
        const char *reason = json_string_value(json_object_get(parameters, "reason"));

        text_format(ret, size, "%s", reason && *reason ? reason : "it refuses to serve");
        make_line(ret);
}
