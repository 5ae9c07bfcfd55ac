/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs and certificates in the words of a shell: exit statuses, command lines. Pure functions.
 * Lives in forkctl. */

#include "format.h"
#include "verb.h"

static int field(const json_t *certificate, const char *name, int otherwise) {
        const json_t *v = json_object_get(certificate, name);

        return json_is_number(v) ? (int)json_number_value(v) : otherwise;
}

/* As shells have it: not there, or there and cannot be run. */
static int setup_status(const json_t *certificate) {
        const char *stage = json_string_value(json_object_get(certificate, "stage"));

        if (!stage || !streq(stage, "exec"))
                return STATUS_FORKD;
        return field(certificate, "errno", 0) == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_RUNNABLE;
}

int certificate_status(const json_t *certificate) {
        const char *result = json_string_value(json_object_get(certificate, "result"));
        const int signal = field(certificate, "signal", 0),
                  status = field(certificate, "status", 0);

        if (!result)
                return STATUS_FORKD;
        if (streq(result, "success"))
                return STATUS_OK;
        if (streq(result, "exit"))
                return status;
        if (streq(result, "signal") || streq(result, "core-dump"))
                return STATUS_SIGNAL + signal;
        if (streq(result, "error"))
                return STATUS_ENTRY_ERROR;
        if (streq(result, "timeout") || streq(result, "queue-timeout"))
                return STATUS_TIMEOUT;
        if (streq(result, "oom"))
                return STATUS_SIGNAL + (signal > 0 ? signal : 9);
        if (streq(result, "setup-failed"))
                return setup_status(certificate);
        if (streq(result, "cancelled") && signal > 0)
                return STATUS_SIGNAL + signal;
        return STATUS_FORKD; /* dependency, server-failed, lost, cancelled before it ran */
}

const char *certificate_sentence(const json_t *certificate) {
        return json_string_value(json_object_get(certificate, "sentence")) ?:
               json_string_value(json_object_get(certificate, "result")) ?:
                                                                           "ended";
}

char *job_work_text(const json_t *status) {
        const json_t *command = json_object_get(status, "command"), *word;
        const char *entry = json_string_value(json_object_get(status, "entry"));
        const char *server = json_string_value(json_object_get(status, "server"));
        _cleanup_(freep) const char **words = NULL;
        char *s;
        size_t i;

        if (json_array_size(command) == 0)
                return asprintf(&s, "%s%s%s", server ?: "", server ? ": " : "", entry ?: "?") < 0
                               ? NULL
                               : s;
        words = calloc(json_array_size(command), sizeof(*words));
        if (!words)
                return NULL;
        json_array_foreach (command, i, word)
                words[i] = json_string_value(word) ?: "?";
        return format_command(words, json_array_size(command));
}
