/* SPDX-License-Identifier: Apache-2.0 */

/* From the parameters of servers.Start to the settings of a forkserver. Whatever a client can make
 * long has a bound, as all of it is kept, and most of it told to everybody who lists forkservers.
 * Stateless, in forkd. */

#include "methods.h"

#define WORDS_MAX     256
#define WORDS_TEXT    ((size_t)16 * 1024) /* bytes of all of them */
#define VARIABLES_MAX 1024
#define VARIABLE_TEXT ((size_t)64 * 1024) /* exec takes 128 KiB each */

/* A name alone, or an absolute path: what is relative here is so to nobody's directory. */
static bool refuse_path(Call *call, const char *parameter, const char *word) {
        if (*word == '\0' || *word == '-')
                (void)call_invalid_parameter(call, parameter,
                                             "'%s' is neither a name nor an absolute path", word);
        else if (*word != '/' && strchr(word, '/'))
                (void)call_invalid_parameter(
                        call, parameter,
                        "'%s' is a relative path, and the forkserver has another working directory: "
                        "give the absolute one, or a name without '/'",
                        word);
        else
                return false;
        return true;
}

/* A list of strings of bounded number and size, of which the first n_paths are names or paths. */
static bool words_read_refused(Call *call, json_t *parameters, const char *name, size_t max,
                               size_t n_paths, char ***ret) {
        json_t *list = json_object_get(parameters, name), *element;
        size_t i, bytes = 0;

        if (!list || json_is_null(list))
                return false;
        if (!json_is_array(list) || json_array_size(list) == 0 || json_array_size(list) > max) {
                (void)call_invalid_parameter(call, name, "'%s' is a list of 1 to %zu strings", name,
                                             max);
                return true;
        }
        json_array_foreach (list, i, element) {
                const char *word = json_string_value(element);

                if (!word) {
                        (void)call_invalid_parameter(call, name, "element %zu of '%s' is no string",
                                                     i, name);
                        return true;
                }
                bytes += strlen(word) + 1;
                if (i < n_paths && refuse_path(call, name, word))
                        return true;
                if (bytes > WORDS_TEXT || strings_append(ret, word) < 0) {
                        (void)call_invalid_parameter(call, name,
                                                     "'%s' has more than %zu KiB of text", name,
                                                     WORDS_TEXT / 1024);
                        return true;
                }
        }
        return false;
}

static bool arguments_read_refused(Call *call, json_t *parameters, ServerSettings *s) {
        json_t *value = json_object_get(parameters, "arguments");

        if (!value || json_is_null(value))
                return false;
        if (!json_is_object(value)) {
                (void)call_invalid_parameter(call, "arguments", "'arguments' is an object");
                return true;
        }
        s->arguments = json_dumps(value, JSON_COMPACT);
        if (s->arguments && strlen(s->arguments) <= VARIABLE_TEXT)
                return false;
        (void)call_invalid_parameter(
                call, "arguments",
                "'arguments' has more than %zu KiB; name a file in it that has the rest",
                VARIABLE_TEXT / 1024);
        return true;
}

static bool environment_read_refused(Call *call, json_t *parameters, ServerSettings *s) {
        json_t *object = json_object_get(parameters, "environment"), *value;
        const char *name;

        if (!object || json_is_null(object))
                return false;
        if (!json_is_object(object) || json_object_size(object) > VARIABLES_MAX) {
                (void)call_invalid_parameter(call, "environment",
                                             "'environment' is an object of at most %d strings",
                                             VARIABLES_MAX);
                return true;
        }
        json_object_foreach (object, name, value) {
                _cleanup_(freep) char *variable = NULL;
                const char *text = json_string_value(value);

                if (*name == '\0' || strchr(name, '=') || !text ||
                    strlen(name) + strlen(text) > VARIABLE_TEXT) {
                        (void)call_invalid_parameter(
                                call, "environment",
                                "the variable '%s' of 'environment' is no string of at most %zu KiB, or its "
                                "name is empty or has a '='",
                                name, VARIABLE_TEXT / 1024);
                        return true;
                }
                if (asprintf(&variable, "%s=%s", name, text) < 0)
                        variable = NULL;
                if (!variable || strings_append(&s->environment, variable) < 0) {
                        (void)wire_error(call, WIRE_SERVERS_LIMIT_REACHED,
                                         json_pack("{s:s}", "limit", "memory"), "out of memory");
                        return true;
                }
        }
        return false;
}

bool server_settings_read_refused(Call *call, json_t *parameters, ServerSettings *s) {
        int64_t spare = s->spare, timeout = (int64_t)s->preload_timeout; /* largest: for ever */

        if (words_read_refused(call, parameters, "modules", SERVER_MODULES_MAX, SERVER_MODULES_MAX,
                               &s->modules) ||
            words_read_refused(call, parameters, "command", WORDS_MAX, 1, &s->command) ||
            arguments_read_refused(call, parameters, s) ||
            environment_read_refused(call, parameters, s) ||
            int_read_refused(call, parameters, "spare", 0, SERVER_SPARE_MAX, &spare) ||
            int_read_refused(call, parameters, "preloadTimeoutUSec", 1, INT64_MAX, &timeout) ||
            bool_read_refused(call, parameters, "hugePages", &s->huge_pages))
                return true;
        s->spare = (unsigned)spare;
        s->preload_timeout = timeout == INT64_MAX ? USEC_INFINITY : (uint64_t)timeout;
        if (s->modules && s->command) {
                (void)call_invalid_parameter(
                        call, "command",
                        "a forkserver has either 'modules' or 'command', and not both");
                return true;
        }
        return false;
}
