/* SPDX-License-Identifier: Apache-2.0 */

/* Jobs and certificates in the words of a shell: exit statuses, command lines. Pure functions.
 * Lives in forkctl. */

#include "display.h"
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

const char *server_text(char buffer[static SERVER_TEXT_MAX], const json_t *object,
                        const char *field_) {
        const char *server = json_string_value(json_object_get(object, field_));
        int generation = field(object, "generation", 0);

        if (!server)
                return NULL;
        snprintf(buffer, SERVER_TEXT_MAX, generation > 0 ? "%s#%d" : "%s", server, generation);
        return buffer;
}

static char *entry_text(const json_t *status) {
        const json_t *certificate = json_object_get(status, "certificate");
        const char *entry = json_string_value(json_object_get(status, "entry"));
        char buffer[SERVER_TEXT_MAX], *s;
        /* once it has ended, only its certificate knows whose fork it was */
        const char *server = server_text(
                buffer, json_object_get(certificate, "generation") ? certificate : status,
                "server");

        return asprintf(&s, "%s%s%s", server ?: "", server ? " " : "", entry ?: "?") < 0 ? NULL : s;
}

char *job_work_text(const json_t *status) {
        const json_t *command = json_object_get(status, "command"), *word;
        _cleanup_(freep) const char **words = NULL;
        _cleanup_(freep) char *whole = NULL;
        char *s;
        size_t i;

        if (json_array_size(command) == 0)
                return entry_text(status);
        words = calloc(json_array_size(command), sizeof(*words));
        if (!words)
                return NULL;
        json_array_foreach (command, i, word)
                words[i] = json_string_value(word) ?: "?";
        whole = format_command(words, json_array_size(command));
        if (!whole || !json_is_true(json_object_get(status, "commandTruncated")))
                return steal(whole);
        return asprintf(&s, "%s %s", whole, display_ellipsis()) < 0 ? NULL : s;
}

char *progress_text(const json_t *progress) {
        char *text = NULL;
        size_t length = 0;
        const char *name;
        json_t *value;
        FILE *f = open_memstream(&text, &length);

        if (!f)
                return NULL;
        json_object_foreach ((json_t *)progress, name, value) {
                /* what is no object comes as one that has this alone */
                if (json_object_size(progress) > 1 || !streq(name, "value"))
                        fprintf(f, "%s%s=", ftello(f) > 0 ? " " : "", name);
                if (json_is_string(value))
                        fputs(json_string_value(value), f);
                else
                        (void)json_dumpf(value, f, JSON_COMPACT | JSON_ENCODE_ANY);
        }
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}
