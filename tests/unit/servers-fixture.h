/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of org.forkd.servers share: calls that succeed or are refused, files of forkservers,
 * and what is told of them. */

#include "daemon-fixture.h"

#include "interfaces.h"

#include <sys/stat.h>

#define MODULE(name)        TEST_MODULES "/" name ".so"
#define START(name, module) "{'name':'" name "','modules':['" MODULE(module) "'],'spare':0}"

/* The call is answered with this error, in whose sentence the part stands. */
static inline void refused(DaemonFixture *f, Client *c, const char *method, const char *parameters,
                           const char *error, const char *part) {
        char *sentence;

        client_send(c, method, false, "%s", parameters);
        sentence = client_expect_error(f, c, error);
        if (!strstr(sentence, part))
                fail_msg("%s %s: %s", method, parameters, sentence);
        free(sentence);
}

/* The call succeeds: its reply, the caller's. */
static inline json_t *done(DaemonFixture *f, Client *c, const char *method,
                           const char *parameters) {
        json_t *reply;

        client_send(c, method, false, "%s", parameters);
        reply = client_receive(f, c);
        if (json_object_get(reply, "error"))
                fail_msg("%s %s: %s", method, parameters, reply_string(reply, "sentence"));
        return reply;
}

static inline void just(DaemonFixture *f, Client *c, const char *method, const char *parameters) {
        json_decref(done(f, c, method, parameters));
}

static inline void write_conf(DaemonFixture *f, const char *name, const char *text) {
        char path[160];
        FILE *file;

        snprintf(path, sizeof(path), "%s/config/servers", f->root);
        (void)mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/config/servers/%s.conf", f->root, name);
        file = fopen(path, "we");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
}

/* servers/NAME.conf appears and is read. */
static inline void configure(DaemonFixture *f, const char *name, const char *text) {
        write_conf(f, name, text);
        assert_int_equal(daemon_reload(f->daemon), 0);
}

static inline const char *text_of(const json_t *object, const char *name) {
        const char *text = json_string_value(json_object_get(object, name));

        assert_non_null(text);
        return text;
}

static inline json_int_t integer_of(const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

/* Of this type of org.forkd.servers. */
static inline void assert_members(const json_t *object, const char *type) {
        const char *text, *end;
        const char *name;
        char head[64], declared[2048];
        json_t *value;

        snprintf(head, sizeof(head), "type %s (\n", type);
        text = strstr(varlink_org_forkd_servers, head);
        assert_non_null(text);
        end = strstr(text, "\n)");
        snprintf(declared, sizeof(declared), "%.*s", (int)(end - text), text);
        json_object_foreach ((json_t *)object, name, value) {
                char member[64];

                snprintf(member, sizeof(member), "\n  %s: ", name);
                if (!strstr(declared, member))
                        fail_msg("a %s has no '%s'", type, name);
        }
        /* what has no question mark is always there */
        for (const char *line = strchr(declared, '\n'); line; line = strchr(line + 1, '\n')) {
                const char *colon = strchr(line, ':');
                char member[64];

                if (!colon || colon[2] == '?')
                        continue;
                snprintf(member, sizeof(member), "%.*s", (int)(colon - line - 3), line + 3);
                if (!json_object_get(object, member))
                        fail_msg("this %s lacks '%s'", type, member);
        }
}

/* The next reply under more with this member; the caller's. */
static inline json_t *receive_until(DaemonFixture *f, Client *c, const char *member,
                                    const char *text) {
        for (;;) {
                json_t *reply = client_receive(f, c);
                const char *said = json_string_value(reply_member(reply, member));

                if ((text && said && streq(said, text)) || !reply_continues(reply))
                        return reply;
                json_decref(reply);
        }
}
