/* SPDX-License-Identifier: Apache-2.0 */

/* Settings of a named forkserver: owned by it (named.c), or by the request on its way there; in
 * forkd. Read again at every reload. */

#include "server-settings.h"

#include "conf-file.h"
#include "environment.h"
#include "text.h"
#include "words.h"

#include <jansson.h>

#define SERVER_ARGUMENTS_MAX                                                                       \
        ((size_t)64 * 1024) /* bytes: they travel in an environment variable                       \
                             */

typedef struct SettingsKey SettingsKey;

struct SettingsKey {
        const char *name;
        const char *fallback; /* the default, in the syntax of the file; NULL: none */
        const char *section;
        int (*parse)(const SettingsKey *key, ServerSettings *s, const char *value);
        size_t offset;
        const char *expects; /* "yes or no" */
};

/* ---- values: 0, -ENOMEM, or another negative errno for what does not fit */

static int parse_modules(const SettingsKey *key, ServerSettings *s, const char *value) {
        _cleanup_(strings_freep) char **words = NULL;
        size_t n = 0;
        int r = words_split(value, &words);

        (void)key;
        if (r < 0)
                return r;
        if (!*words) { /* empty starts anew */
                strings_free(s->modules);
                s->modules = NULL;
                return 0;
        }
        for (char **w = words; *w; w++)
                if (strchr(*w, '/') && **w != '/')
                        return -EINVAL;
        while (s->modules && s->modules[n])
                n++;
        for (char **w = words; *w; w++) {
                if (n++ == SERVER_MODULES_MAX)
                        return -E2BIG;
                r = strings_append(&s->modules, *w);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_command(const SettingsKey *key, ServerSettings *s, const char *value) {
        char **words;
        int r = words_split(value, &words);

        (void)key;
        if (r < 0)
                return r;
        if (*words && strchr(*words, '/') && **words != '/') {
                strings_free(words);
                return -EINVAL;
        }
        strings_free(s->command);
        s->command = words;
        if (!*words) {
                free(words);
                s->command = NULL;
        }
        return 0;
}

static int parse_arguments(const SettingsKey *key, ServerSettings *s, const char *value) {
        json_t *object;
        char *copy;

        (void)key;
        if (*value == '\0') {
                free(s->arguments);
                s->arguments = NULL;
                return 0;
        }
        if (strlen(value) > SERVER_ARGUMENTS_MAX)
                return -E2BIG;
        object = json_loads(value, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(object)) {
                json_decref(object);
                return -EINVAL;
        }
        json_decref(object);
        copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        free(s->arguments);
        s->arguments = copy;
        return 0;
}

static bool variable_valid(const char *s) {
        const char *equals = strchr(s, '=');

        return equals && equals > s && (*s < '0' || *s > '9');
}

static int parse_environment(const SettingsKey *key, ServerSettings *s, const char *value) {
        _cleanup_(strings_freep) char **words = NULL;
        int r = words_split(value, &words);

        (void)key;
        if (r < 0)
                return r;
        if (!*words) {
                strings_free(s->environment);
                s->environment = NULL;
        }
        for (char **w = words; *w; w++)
                if (!variable_valid(*w))
                        return -EINVAL;
        for (char **w = words; *w && r >= 0; w++)
                r = strings_append(&s->environment, *w);
        return r;
}

static int parse_user(const SettingsKey *key, ServerSettings *s, const char *value) {
        UserIdentity user;
        int r;

        (void)key;
        r = user_lookup(value, &user);
        if (r < 0)
                return r;
        if (geteuid() != 0 && user.uid != geteuid()) {
                user_identity_done(&user);
                return -EPERM;
        }
        free(s->user.groups);
        s->user = (Owner){
                .uid = user.uid,
                .gid = user.gid,
                .groups = user.groups, /* taken over */
                .n_groups = user.n_groups,
        };
        return 0;
}

/* Names are looked up now: the user database may be slow, and asking whether somebody may must not
 * be. */
static int parse_allow_users(const SettingsKey *key, ServerSettings *s, const char *value) {
        _cleanup_(strings_freep) char **words = NULL;
        int r = words_split(value, &words);

        (void)key;
        if (r < 0)
                return r;
        if (!*words) {
                strings_free(s->allow_users);
                s->allow_users = NULL;
                s->n_allowed = 0;
                s->allow_all = false;
        }
        for (char **w = words; *w; w++) {
                uid_t *grown;
                UserIdentity user;

                if (streq(*w, "*"))
                        s->allow_all = true;
                else {
                        r = user_lookup(*w, &user);
                        if (r < 0)
                                return r;
                        grown = reallocarray(s->allowed, s->n_allowed + 1, sizeof(uid_t));
                        if (grown) {
                                s->allowed = grown;
                                s->allowed[s->n_allowed++] = user.uid;
                        }
                        user_identity_done(&user);
                        if (!grown)
                                return -ENOMEM;
                }
                r = strings_append(&s->allow_users, *w);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int parse_start(const SettingsKey *key, ServerSettings *s, const char *value) {
        (void)key;
        if (!streq(value, "boot") && !streq(value, "use"))
                return -EINVAL;
        s->start_at_boot = streq(value, "boot");
        return 0;
}

static int parse_timeout(const SettingsKey *key, ServerSettings *s, const char *value) {
        uint64_t usec;
        int r = conf_parse_usec(value, &usec);

        (void)key;
        if (r < 0)
                return r;
        if (usec == 0)
                return -ERANGE;
        s->preload_timeout = usec;
        return 0;
}

static int parse_bool(const SettingsKey *key, ServerSettings *s, const char *value) {
        return conf_parse_bool(value, (bool *)((char *)s + key->offset));
}

static int parse_spare(const SettingsKey *key, ServerSettings *s, const char *value) {
        (void)key;
        return conf_parse_unsigned(value, 0, SERVER_SPARE_MAX, &s->spare);
}

static const SettingsKey keys[] = {
        { "Module", NULL, "Server", parse_modules, 0,
          "names or absolute paths of modules, at most 64" },
        { "Command", NULL, "Server", parse_command, 0,
          "a program, by its absolute path or as a name in PATH, and its arguments, quoted as in a shell" },
        { "Arguments", NULL, "Server", parse_arguments, 0, "a JSON object of at most 64 KiB" },
        { "Environment", NULL, "Server", parse_environment, 0,
          "assignments NAME=value, quoted as in a shell" },
        { "User", NULL, "Server", parse_user, 0, "a user that exists" },
        { "AllowUsers", NULL, "Server", parse_allow_users, 0, "users that exist, or *" },
        { "Start", "use", "Server", parse_start, 0, "boot or use" },
        { "PreloadTimeout", "60s", "Server", parse_timeout, 0, "a time span such as 60s, above 0" },
        { "HugePages", "no", "Server", parse_bool, offsetof(ServerSettings, huge_pages),
          "yes or no" },
        { "Spare", "1", "Pool", parse_spare, 0, "a number from 0 to 64" },
};

/* [Limits] has a key for each resource: "1024", "64M", "infinity", or soft and hard as "1024:4096".
 */
static int parse_limit(ServerSettings *s, int resource, const char *value) {
        const char *colon = strchr(value, ':');
        _cleanup_(freep) char *soft =
                colon ? strndup(value, (size_t)(colon - value)) : strdup(value);
        JobLimit limit = { .resource = resource }, *grown;
        int r;

        if (!soft)
                return -ENOMEM;
        r = conf_parse_bytes(soft, &limit.soft);
        if (r >= 0)
                r = conf_parse_bytes(colon ? colon + 1 : soft, &limit.hard);
        if (r < 0)
                return r;
        if (limit.soft > limit.hard)
                return -ERANGE;

        for (size_t i = 0; i < s->n_limits; i++)
                if (s->limits[i].resource == resource) {
                        s->limits[i] = limit;
                        return 0;
                }
        grown = reallocarray(s->limits, s->n_limits + 1, sizeof(JobLimit));
        if (!grown)
                return -ENOMEM;
        s->limits = grown;
        s->limits[s->n_limits++] = limit;
        return 0;
}

/* ---- files */

typedef struct Reading {
        ServerSettings *settings; /* borrowed, as what follows */
        char ***warnings;
        char **reason; /* the first line without which it cannot be started */
} Reading;

static void on_warning(const char *file, unsigned line, const char *sentence, void *userdata) {
        const Reading *reading = userdata;

        server_file_warn(reading->warnings, file, line, sentence);
}

/* Where ignoring a line would run other code than was meant, or as somebody else. */
static bool is_vital(const char *key) {
        static const char *const vital[] = { "Module", "Command", "Arguments", "User", NULL };

        return text_in_list(key, vital);
}

static void on_bad_value(Reading *reading, const char *file, unsigned line, const char *key,
                         const char *value, const char *expects, int error) {
        bool vital = is_vital(key);
        char sentence[512];

        if (error == -EPERM)
                text_format(sentence, sizeof(sentence),
                            "%s=%s: only a forkd that runs as root can start one as another user",
                            key, value);
        else
                text_format(sentence, sizeof(sentence), "%s%s=%.*s: it takes %s",
                            vital ? "" : "ignoring ", key, text_cut(value, 200), value, expects);
        on_warning(file, line, sentence, reading);
        if (vital && !*reading->reason)
                *reading->reason = strdup(sentence);
}

static int assign_limit(Reading *reading, const char *file, unsigned line, const char *key,
                        const char *value) {
        int resource = job_limit_from_string(key), r;
        char sentence[256];

        if (resource < 0) {
                text_format(sentence, sizeof(sentence),
                            "ignoring the unknown limit %s=; LimitNOFILE= and its kin work", key);
                on_warning(file, line, sentence, reading);
                return 0;
        }
        r = parse_limit(reading->settings, resource, value);
        if (r < 0 && r != -ENOMEM) {
                on_bad_value(reading, file, line, key, value,
                             "a number, 'infinity', or two with a colon between, soft and hard", r);
                return 0;
        }
        return r;
}

static int on_assign(const char *file, unsigned line, const char *section, const char *key,
                     const char *value, void *userdata) {
        Reading *reading = userdata;
        char sentence[256];

        if (streq_null(section, "Limits"))
                return assign_limit(reading, file, line, key, value);

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                int r;

                if (!streq(keys[i].name, key))
                        continue;
                if (!streq_null(section, keys[i].section)) {
                        text_format(sentence, sizeof(sentence),
                                    "ignoring %s= in section [%s]: it belongs into [%s]", key,
                                    section ?: "", keys[i].section);
                        on_warning(file, line, sentence, userdata);
                        return 0;
                }
                r = keys[i].parse(&keys[i], reading->settings, value);
                if (r < 0 && r != -ENOMEM) {
                        on_bad_value(reading, file, line, key, value, keys[i].expects, r);
                        r = 0;
                }
                return r;
        }

        text_format(sentence, sizeof(sentence), "ignoring the unknown key %s= in section [%s]", key,
                    section ?: "");
        on_warning(file, line, sentence, userdata);
        return 0;
}

/* What no single line is to blame for. */
static const char *contradiction(const ServerSettings *s) {
        if (s->modules && s->command)
                return "it has both Module= and Command=, where it takes one of them";
        if (!s->modules && !s->command)
                return "it has neither Module= nor Command=, and so nothing to preload";
        return NULL;
}

typedef struct Source {
        const char *name;
        char *const *dirs; /* NULL: text */
        const char *text;
        size_t length;
} Source;

static int settings_read(ServerSettings **ret, const Source *source, char ***warnings,
                         char **ret_reason) {
        _cleanup_(server_settings_freep) ServerSettings *s = NULL;
        _cleanup_(freep) char *reason = NULL;
        char file[sizeof("servers/.conf") + SERVER_NAME_MAX];
        Reading reading = { .warnings = warnings, .reason = &reason };
        const char *sentence;
        int r;

        r = server_settings_new(&s, source->name);
        if (r < 0)
                return r;
        s->origin = SERVER_FROM_CONFIGURATION;
        reading.settings = s;
        snprintf(file, sizeof(file), "servers/%s.conf", source->name);
        if (source->dirs)
                r = conf_parse(file, (const char *const *)source->dirs, on_assign, on_warning,
                               &reading);
        else
                r = conf_parse_text(file, source->text, source->length, on_assign, on_warning,
                                    &reading);
        if (r == -ENOMEM)
                return r;
        if (r < 0 && !reason && asprintf(&reason, "%s cannot be read: %s", file, strerror(-r)) < 0)
                return -ENOMEM;

        sentence = contradiction(s);
        if (!reason && sentence) {
                reason = strdup(sentence);
                if (!reason)
                        return -ENOMEM;
                on_warning(file, 0, sentence, &reading);
        }

        *ret = steal(s);
        if (!reason)
                return 0;
        *ret_reason = steal(reason);
        return SERVER_SETTINGS_E_INVALID;
}

int server_settings_parse(ServerSettings **ret, const char *name, const char *text, size_t length,
                          char ***warnings, char **ret_reason) {
        const Source source = { .name = name, .text = text, .length = length };

        return settings_read(ret, &source, warnings, ret_reason);
}

int server_settings_load(ServerSettings **ret, const char *name, char *const *dirs,
                         char ***warnings, char **ret_reason) {
        const Source source = { .name = name, .dirs = dirs };
        char **names = NULL;
        bool there = false;
        int r;

        if (!server_name_valid(name))
                return SERVER_SETTINGS_E_NONE;
        r = server_settings_names(&names, dirs, NULL);
        if (r < 0)
                return r;
        for (char **n = names; *n; n++)
                there |= streq(*n, name);
        strings_free(names);
        return there ? settings_read(ret, &source, warnings, ret_reason) : SERVER_SETTINGS_E_NONE;
}

/* ---- birth and death */

int server_settings_new(ServerSettings **ret, const char *name) {
        _cleanup_(server_settings_freep) ServerSettings *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->name = strdup(name);
        if (!s->name)
                return -ENOMEM;
        s->origin = SERVER_FROM_REQUEST;
        s->user.uid = geteuid();
        s->user.gid = getegid();
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].fallback) {
                        int r = keys[i].parse(&keys[i], s, keys[i].fallback);

                        if (r < 0)
                                return r;
                }

        *ret = steal(s);
        return 0;
}

ServerSettings *server_settings_free(ServerSettings *s) {
        if (!s)
                return NULL;
        free(s->name);
        strings_free(s->modules);
        strings_free(s->command);
        free(s->arguments);
        strings_free(s->environment);
        strings_free(s->allow_users);
        free(s->allowed);
        free(s->user.groups);
        free(s->limits);
        free(s);
        return NULL;
}
