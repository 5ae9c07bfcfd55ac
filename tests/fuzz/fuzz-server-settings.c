/* SPDX-License-Identifier: Apache-2.0 */

/* servers/NAME.conf: any bytes give settings within their bounds, and a reason for those that
 * nothing may be started by; the same bytes give the same settings. */

#include "environment.h"
#include "log.h"
#include "server-settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(char *const *list) {
        size_t n = 0;

        while (list && list[n])
                n++;
        return n;
}

static void check_settings(const ServerSettings *s, bool startable) {
        if (startable && (count(s->modules) > 0) == (count(s->command) > 0))
                abort();
        if (count(s->modules) > SERVER_MODULES_MAX || s->spare > SERVER_SPARE_MAX ||
            s->preload_timeout == 0 || s->origin != SERVER_FROM_CONFIGURATION)
                abort();
        for (char *const *m = s->modules; m && *m; m++)
                if (strchr(*m, '/') && **m != '/')
                        abort();
        for (char *const *v = s->environment; v && *v; v++)
                if (!strchr(*v, '='))
                        abort();
        for (size_t i = 0; i < s->n_limits; i++)
                if (s->limits[i].soft > s->limits[i].hard)
                        abort();
        if (geteuid() != 0 && s->user.uid != geteuid())
                abort();
}

static ServerSettings *parse(const char *text, size_t size) {
        ServerSettings *s = NULL;
        char **warnings = NULL, *reason = NULL;
        int r = server_settings_parse(&s, "fuzz", text, size, &warnings, &reason);

        if (r == -ENOMEM)
                return NULL;
        if (r < 0 || !s || (r == SERVER_SETTINGS_E_INVALID) != (reason && *reason))
                abort();
        if (reason && !warnings) /* what --check says is not less than what the daemon does */
                abort();
        check_settings(s, r == 0);
        strings_free(warnings);
        free(reason);
        return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1); /* of its own size, so that one byte too far is noticed */
        ServerSettings *s, *again;

        if (!text)
                return 0;
        log_set_level(LOG_EMERG);
        memcpy(text, data, size);
        s = parse(text, size);
        again = parse(text, size);
        if (s && again &&
            (!server_settings_equal(s, again) || !server_settings_same_process(s, again)))
                abort();
        server_settings_free(again);
        server_settings_free(s);
        free(text);
        return 0;
}
