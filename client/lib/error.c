/* SPDX-License-Identifier: Apache-2.0 */

/* What went wrong: the one table of the errors of the protocol on the client's side, and the memory
 * of the last failure of a connection, which the connection owns. Lives in clients. */

#include "connection.h"

#include <stdarg.h>

static const struct {
        const char *name;
        int outcome;
} errors[] = {
        { "NoSuchJob", FORKD_E_NO_SUCH_JOB },
        { "NoSuchServer", FORKD_E_NO_SUCH_SERVER },
        { "NoSuchEntry", FORKD_E_NO_SUCH_ENTRY },
        { "NameTaken", FORKD_E_NAME_TAKEN },
        { "WrongState", FORKD_E_WRONG_STATE },
        { "QueueFull", FORKD_E_QUEUE_FULL },
        { "LimitReached", FORKD_E_LIMIT_REACHED },
        { "StorageFull", FORKD_E_STORAGE_FULL },
        { "KeyConflict", FORKD_E_KEY_CONFLICT },
        { "ServerFailed", FORKD_E_SERVER_FAILED },
        { "JobFailed", FORKD_E_JOB_FAILED },
        { "CallFailed", FORKD_E_CALL_FAILED },
        { "TimedOut", FORKD_E_TIMED_OUT },
        { "Draining", FORKD_E_DRAINING },
        { "ReloadFailed", FORKD_E_RELOAD_FAILED },
        { "InvalidParameter", FORKD_E_INVALID_PARAMETER },
        { "PermissionDenied", FORKD_E_PERMISSION_DENIED },
        { "InterfaceNotFound", FORKD_E_INTERFACE_NOT_FOUND },
        { "MethodNotFound", FORKD_E_METHOD_NOT_FOUND },
        { "MethodNotImplemented", FORKD_E_METHOD_NOT_IMPLEMENTED },
        { "ExpectedMore", FORKD_E_EXPECTED_MORE },
};

int error_from_name(const char *name) {
        const char *last = strrchr(name, '.');

        if (!last)
                return FORKD_E_OTHER;
        if (strncmp(name, "org.forkd.", strlen("org.forkd.")) != 0 &&
            strncmp(name, "org.varlink.service.", strlen("org.varlink.service.")) != 0)
                return FORKD_E_OTHER;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (streq(errors[i].name, last + 1))
                        return errors[i].outcome;
        return FORKD_E_OTHER;
}

static void connection_forget_error(Forkd *f) {
        free(steal(f->sentence));
        free(steal(f->error_name));
        json_decref(steal(f->error_parameters));
}

int connection_fault(Forkd *f, int r, const char *format, ...) {
        va_list ap;
        char *s;

        va_start(ap, format);
        if (vasprintf(&s, format, ap) < 0)
                s = NULL;
        va_end(ap);

        connection_forget_error(f);
        f->sentence = s;
        return r;
}

/* An error that came without a sentence, or of another service. */
static char *sentence_make(const char *name, const json_t *parameters) {
        const char *what = NULL;
        char *s = NULL;

        switch (error_from_name(name)) {
        case FORKD_E_INVALID_PARAMETER:
                what = json_string_value(json_object_get(parameters, "parameter"));
                if (asprintf(&s, "the parameter '%s' is not valid", what ?: "?") < 0)
                        return NULL;
                return s;
        case FORKD_E_PERMISSION_DENIED:
                return strdup("permission denied");
        case FORKD_E_INTERFACE_NOT_FOUND:
                what = json_string_value(json_object_get(parameters, "interface"));
                if (asprintf(
                            &s,
                            "the daemon does not know the interface %s; it may be older than this client",
                            what ?: "?") < 0)
                        return NULL;
                return s;
        case FORKD_E_METHOD_NOT_FOUND:
        case FORKD_E_METHOD_NOT_IMPLEMENTED:
                what = json_string_value(json_object_get(parameters, "method"));
                if (asprintf(
                            &s,
                            "the daemon does not know the method %s; it may be older than this client",
                            what ?: "?") < 0)
                        return NULL;
                return s;
        default:
                if (asprintf(&s, "the daemon answered with the error %s", name) < 0)
                        return NULL;
                return s;
        }
}

int connection_error(Forkd *f, const char *name, json_t *parameters) {
        const char *s = json_string_value(json_object_get(parameters, "sentence"));

        if (!name)
                return 0;

        connection_forget_error(f);
        f->sentence = s && s[0] != '\0' ? strdup(s) : sentence_make(name, parameters);
        f->error_name = strdup(name);
        f->error_parameters = json_incref(parameters);
        return error_from_name(name);
}

const char *forkd_error_sentence(const Forkd *f) {
        return f->sentence ?: "something went wrong, and there is no memory to say what";
}

const char *forkd_error_name(const Forkd *f) {
        return f->error_name;
}

json_t *forkd_error_parameters(const Forkd *f) {
        return f->error_parameters;
}
