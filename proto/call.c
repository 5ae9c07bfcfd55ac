/* SPDX-License-Identifier: Apache-2.0 */

/* A call: one request of a client, from its dispatch to its final reply. Its connection owns it
 * until then; the method's function, or whatever keeps it to answer later, only borrows it. The
 * function that dispatches it holds a reference, so that what it handed out lives until the method
 * has returned, however soon the answer came. */

#include "service-private.h"

#include "log.h"

#include <assert.h>
#include <stdarg.h>

#define ERROR(name) "org.varlink.service." name

/* ---- texts of replies */

typedef struct Text {
        char *bytes;
        size_t length, room;
} Text;

static void text_done(Text *t) {
        free(t->bytes);
}

static int text_add(Text *t, const char *bytes, size_t n) {
        if (t->room - t->length < n) {
                size_t room = t->room ? t->room : 512;
                char *grown;

                while (room - t->length < n)
                        room *= 2;
                grown = realloc(t->bytes, room);
                if (!grown)
                        return -ENOMEM;
                t->bytes = grown;
                t->room = room;
        }
        memcpy(t->bytes + t->length, bytes, n);
        t->length += n;
        return 0;
}

static int text_add_string(Text *t, const char *s) {
        return text_add(t, s, strlen(s));
}

static int on_json_bytes(const char *bytes, size_t n, void *userdata) {
        return text_add(userdata, bytes, n);
}

static int text_add_json(Text *t, const json_t *value) {
        if (!value)
                return text_add_string(t, "{}");
        return json_dump_callback(value, on_json_bytes, t, JSON_COMPACT) < 0 ? -ENOMEM : 0;
}

/* ---- its life */

void call_unref(Call *call) {
        assert(call->n_ref > 0);
        if (--call->n_ref > 0)
                return;
        envelope_done(&call->envelope);
        stream_message_done(&call->message);
        free(call);
}

static void call_unrefp(Call **call) {
        if (*call)
                call_unref(*call);
}

/* Its connection lets go of it. */
static void call_finish(Call *call) {
        Connection *connection = call->connection;

        assert(!call->answered);
        call->answered = true;
        connection_call_done(connection);
        call_unref(call);
}

void call_lost(Call *call) {
        _cleanup_(call_unrefp) Call *reference = call;

        reference->n_ref++;
        if (call->gone)
                call->gone(call, call->gone_userdata);
        if (!call->answered)
                call_finish(call);
}

size_t call_pending_output(const Call *call) {
        return call->connection ? stream_pending_output(call->connection->stream) : 0;
}

Connection *call_connection(const Call *call) {
        return call->connection;
}

const char *call_method(const Call *call) {
        return call->envelope.method;
}

bool call_wants_more(const Call *call) {
        return call->envelope.more;
}

bool call_is_oneway(const Call *call) {
        return call->envelope.oneway;
}

size_t call_n_captured(const Call *call) {
        return call->envelope.scan.n_spans;
}

const char *call_captured(const Call *call, size_t i, size_t *ret_length) {
        const Scan *scan = &call->envelope.scan;

        if (i >= scan->n_spans)
                return NULL;
        *ret_length = scan->spans[i].length;
        return call->message.text + scan->spans[i].offset;
}

size_t call_n_fds(const Call *call) {
        return call->message.n_fds;
}

int call_fd(const Call *call, size_t i) {
        if (i >= call->message.n_fds || call->message.fds[i] < 0)
                return -EBADF;
        return call->message.fds[i];
}

int call_take_fd(Call *call, size_t i) {
        if (i >= call->message.n_fds || call->message.fds[i] < 0)
                return -EBADF;
        return steal_fd(&call->message.fds[i]);
}

void call_close_fds(Call *call) {
        for (size_t i = 0; i < call->message.n_fds; i++)
                close_fdp(&call->message.fds[i]);
}

void call_set_gone(Call *call, CallGone gone, void *userdata) {
        call->gone = gone;
        call->gone_userdata = userdata;
}

/* ---- replies */

static int call_send(Call *call, const Text *text, const int *fds, size_t n_fds, bool continues) {
        int r;

        if (!call->envelope.oneway) {
                r = connection_write(call->connection, text->bytes, text->length, fds, n_fds);
                if (r < 0)
                        return r;
        }
        if (!continues)
                call_finish(call);
        return 0;
}

/* One of json and bytes gives the parameters; without both they are {}. */
static int call_reply_any(Call *call, const json_t *json, const char *bytes, size_t length,
                          const int *fds, size_t n_fds, bool continues) {
        _cleanup_(text_done) Text text = { 0 };
        int r;

        assert(!call->answered);
        assert(!continues || call->envelope.more);

        r = text_add_string(&text, "{\"parameters\":");
        if (r == 0)
                r = bytes ? text_add(&text, bytes, length) : text_add_json(&text, json);
        if (r == 0)
                r = text_add_string(&text, continues ? ",\"continues\":true}" : "}");
        if (r < 0)
                return r;
        return call_send(call, &text, fds, n_fds, continues);
}

int call_reply(Call *call, json_t *parameters, bool continues) {
        return call_reply_any(call, parameters, NULL, 0, NULL, 0, continues);
}

int call_reply_text(Call *call, const char *parameters, size_t length, bool continues) {
        return call_reply_any(call, NULL, parameters, length, NULL, 0, continues);
}

int call_reply_fds(Call *call, json_t *parameters, const int *fds, size_t n_fds) {
        return call_reply_any(call, parameters, NULL, 0, fds, n_fds, false);
}

int call_error(Call *call, const char *error, json_t *parameters) {
        _cleanup_(text_done) Text text = { 0 };
        int r;

        assert(!call->answered);
        r = text_add_string(&text, "{\"error\":\"");
        if (r == 0)
                r = text_add_string(&text, error);
        if (r == 0)
                r = text_add_string(&text, "\",\"parameters\":");
        if (r == 0)
                r = text_add_json(&text, parameters);
        if (r == 0)
                r = text_add_string(&text, "}");
        if (r < 0)
                return r;
        return call_send(call, &text, NULL, 0, false);
}

/* Sentences quote what is no text at times: then what is not ASCII is left out. */
static json_t *sentence_new(const char *format, va_list arguments) {
        _cleanup_(freep) char *sentence = NULL;
        json_t *json;

        if (vasprintf(&sentence, format, arguments) < 0) {
                sentence = NULL;
                return NULL;
        }
        json = json_string(sentence);
        if (json)
                return json;
        for (char *p = sentence; *p; p++)
                if ((uint8_t)*p >= 0x80)
                        *p = '?';
        return json_string(sentence);
}

/* An error with up to one name and a sentence in its parameters; takes the sentence. */
static int call_error_named(Call *call, const char *error, const char *key, const char *value,
                            json_t *sentence) {
        json_t *parameters = json_object();
        int r = -ENOMEM;

        if (parameters && (!key || json_object_set_new(parameters, key, json_string(value)) == 0) &&
            (!sentence || json_object_set(parameters, "sentence", sentence) == 0))
                r = call_error(call, error, parameters);

        json_decref(parameters);
        json_decref(sentence);
        return r;
}

int call_invalid_parameter(Call *call, const char *parameter, const char *format, ...) {
        json_t *sentence;
        va_list arguments;

        va_start(arguments, format);
        sentence = sentence_new(format, arguments);
        va_end(arguments);
        if (!sentence)
                return -ENOMEM;
        return call_error_named(call, ERROR("InvalidParameter"), "parameter", parameter, sentence);
}

int call_permission_denied(Call *call, const char *format, ...) {
        json_t *sentence;
        va_list arguments;

        va_start(arguments, format);
        sentence = sentence_new(format, arguments);
        va_end(arguments);
        if (!sentence)
                return -ENOMEM;
        return call_error_named(call, ERROR("PermissionDenied"), NULL, NULL, sentence);
}

/* ---- dispatch */

static const char *const *service_captures(const char *method, void *userdata) {
        const char *dot = strrchr(method, '.');
        const Interface *interface;
        const Method *found;

        interface = dot ? service_find_interface(userdata, method, (size_t)(dot - method)) : NULL;
        found = interface ? interface_find_method(interface, dot + 1) : NULL;
        return found ? found->captures : NULL;
}

static int call_run(Call *call, const Interface *interface, const Method *method) {
        Service *service = call->connection->service;
        int r;

        r = method->function(call, call->envelope.parameters,
                             interface == &service_interface ? service : service->userdata);
        if (r < 0)
                log_warning_errno(r, "cannot answer %s", call->envelope.method);
        return r < 0 ? r : 0;
}

static int call_route(Call *call) {
        const char *name = call->envelope.method, *dot = strrchr(name, '.');
        _cleanup_(freep) char *prefix = NULL;
        const Interface *interface;
        const Method *method;

        if (!dot)
                return call_invalid_parameter(
                        call, "method",
                        "a method is named by its interface, a dot and its own name");
        interface = service_find_interface(call->connection->service, name, (size_t)(dot - name));
        if (!interface) {
                prefix = strndup(name, (size_t)(dot - name));
                return prefix ? call_error_named(call, ERROR("InterfaceNotFound"), "interface",
                                                 prefix, NULL)
                              : -ENOMEM;
        }

        method = interface_find_method(interface, dot + 1);
        if (!method && !interface_describes_method(interface, dot + 1))
                return call_error_named(call, ERROR("MethodNotFound"), "method", name, NULL);
        /* no method of ours goes on in another protocol */
        if (!method || call->envelope.upgrade)
                return call_error_named(call, ERROR("MethodNotImplemented"), "method", name, NULL);
        if (call->message.n_fds > 0 && !(method->flags & METHOD_DESCRIPTORS))
                return call_invalid_parameter(call, "descriptors", "%s takes no descriptors", name);
        if (method->flags & METHOD_MORE_REQUIRED && !call->envelope.more)
                return call_error(call, ERROR("ExpectedMore"), NULL);
        return call_run(call, interface, method);
}

int call_dispatch(Connection *connection, StreamMessage *message, const char **ret_why) {
        _cleanup_(call_unrefp) Call *call = calloc(1, sizeof(*call));
        int r;

        if (!call) {
                stream_message_done(message);
                return -ENOMEM;
        }
        call->n_ref = 1;
        call->message = *message;
        *message = STREAM_MESSAGE_NULL;

        r = envelope_parse(call->message.text, call->message.length, service_captures,
                           connection->service, &call->envelope, ret_why);
        if (r != 0)
                return r;

        call->connection = connection;
        connection->call = call;
        call->n_ref++;
        return call_route(call);
}
