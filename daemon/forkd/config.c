/* SPDX-License-Identifier: Apache-2.0 */

/* The configuration of forkd: read at start and at reload, owned by the daemon. */

#include "config.h"

#include "conf-file.h"
#include "environment.h"
#include "log.h"

#include <sched.h>

typedef struct ConfigKey ConfigKey;

struct ConfigKey {
        const char *name;
        const char *fallback; /* the default, in the syntax of the file; NULL: the number of CPUs,
                                 or none */
        int (*parse)(const ConfigKey *key, Config *config, const char *value);
        size_t offset;
        unsigned min, max;
        const char *expects; /* "a number from 1 to 10000" */
};

static int parse_number(const ConfigKey *key, Config *config, const char *value) {
        return conf_parse_unsigned(value, key->min, key->max,
                                   (unsigned *)(void *)((char *)config + key->offset));
}

static int parse_size(const ConfigKey *key, Config *config, const char *value) {
        return conf_parse_bytes(value, (uint64_t *)(void *)((char *)config + key->offset));
}

static int parse_time(const ConfigKey *key, Config *config, const char *value) {
        return conf_parse_usec(value, (uint64_t *)(void *)((char *)config + key->offset));
}

static int parse_log_to(const ConfigKey *key, Config *config, const char *value) {
        bool *journal = (bool *)(void *)((char *)config + key->offset);

        if (!streq(value, "journal") && !streq(value, "file"))
                return -EINVAL;
        *journal = streq(value, "journal");
        return 0;
}

/* A repeated key adds to the list; several in one line are separated by blanks; empty starts anew.
 */
static int parse_list(const ConfigKey *key, Config *config, const char *value) {
        char ***list = (char ***)(void *)((char *)config + key->offset);
        _cleanup_(freep) char *copy = strdup(value);
        char *saved = NULL;

        if (!copy)
                return -ENOMEM;
        if (*value == '\0') {
                strings_free(*list);
                *list = NULL;
        }
        for (char *word = strtok_r(copy, " \t", &saved); word; word = strtok_r(NULL, " \t", &saved))
                if (strings_append(list, word) < 0)
                        return -ENOMEM;
        return 0;
}

static const ConfigKey keys[] = {
        { "Module", NULL, parse_list, offsetof(Config, modules), 0, 0,
          "names or paths of modules" },
        { "MaxRunning", NULL, parse_number, offsetof(Config, max_running), 1, CONFIG_RUNNING_MAX,
          "a number from 1 to 10000" },
        { "MaxAttached", "256", parse_number, offsetof(Config, max_attached), 1,
          CONFIG_ATTACHED_MAX, "a number from 1 to 10000" },
        { "QueueMax", "100000", parse_number, offsetof(Config, queue_max), 1, 10000000,
          "a number from 1 to 10000000" },
        { "KeepFinished", "10000", parse_number, offsetof(Config, keep_finished), 0, 10000000,
          "a number from 0 to 10000000" },
        { "OutputMax", "64M", parse_size, offsetof(Config, output_max), 0, 0,
          "a size such as 64M" },
        { "DrainTimeout", "30s", parse_time, offsetof(Config, drain_timeout), 0, 0,
          "a time span such as 30s" },
        { "LogTo", "file", parse_log_to, offsetof(Config, log_to_journal), 0, 0,
          "file or journal" },
};

static void on_warning(const char *file, unsigned line, const char *sentence, void *userdata) {
        Config *config = userdata;
        _cleanup_(freep) char *warning = NULL;

        if ((line > 0 ? asprintf(&warning, "%s:%u: %s", file, line, sentence)
                      : asprintf(&warning, "%s: %s", file, sentence)) < 0)
                return;
        log_about(LOG_WARNING, 0, LOG_EVENT(CONFIG_IGNORED), "%s", warning);
        (void)strings_append(&config->warnings, warning);
}

static int on_assign(const char *file, unsigned line, const char *section, const char *key,
                     const char *value, void *userdata) {
        Config *config = userdata;
        char sentence[512];

        if (!section || !streq(section, "Daemon")) {
                snprintf(sentence, sizeof(sentence),
                         "ignoring %s= in section [%s]: forkd.conf has only [Daemon]", key,
                         section ?: "");
                on_warning(file, line, sentence, userdata);
                return 0;
        }

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                int r;

                if (!streq(keys[i].name, key))
                        continue;
                r = keys[i].parse(&keys[i], config, value);
                if (r == -ENOMEM)
                        return r;
                if (r < 0) {
                        snprintf(sentence, sizeof(sentence), "ignoring %s=%s: it takes %s", key,
                                 value, keys[i].expects);
                        on_warning(file, line, sentence, userdata);
                }
                return 0;
        }

        snprintf(sentence, sizeof(sentence), "ignoring the unknown key %s=", key);
        on_warning(file, line, sentence, userdata);
        return 0;
}

static unsigned cpu_count(void) {
        cpu_set_t set;

        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        return (unsigned)CPU_COUNT(&set);
}

int config_load(Config **ret, char *const *dirs) {
        _cleanup_(config_freep) Config *config = calloc(1, sizeof(*config));
        int r;

        if (!config)
                return -ENOMEM;

        config->max_running = cpu_count();
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (keys[i].fallback) {
                        r = keys[i].parse(&keys[i], config, keys[i].fallback);
                        if (r < 0)
                                return r;
                }

        r = conf_parse("forkd.conf", (const char *const *)dirs, on_assign, on_warning, config);
        if (r < 0)
                return r;

        *ret = steal(config);
        return 0;
}

Config *config_free(Config *c) {
        if (!c)
                return NULL;
        strings_free(c->modules);
        strings_free(c->warnings);
        free(c);
        return NULL;
}
