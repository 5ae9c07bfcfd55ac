/* SPDX-License-Identifier: Apache-2.0 */

/* The named forkservers that there are: owned by the daemon; in forkd. They come from servers/ in
 * the configuration directories, and from servers.Start; a file's forkserver goes with its file,
 * one that was asked for when it is stopped. */

#include "named.h"

#include "daemon.h"
#include "host.h"
#include "log.h"
#include "named-private.h"
#include "server-private.h"
#include "text.h"

#include <utlist.h>

/* ---- which there are */

NamedServer *named_find(NamedSet *set, const char *name) {
        NamedServer *n;

        if (!set)
                return NULL;
        DL_FOREACH (set->servers, n)
                if (streq(n->settings->name, name))
                        return n;
        return NULL;
}

NamedServer *named_next(NamedSet *set, const NamedServer *n) {
        return n ? n->next : set ? set->servers : NULL;
}

void named_names_text(NamedSet *set, const Peer *peer, char *ret, size_t size) {
        const NamedServer *n;
        size_t length = 0;

        *ret = '\0';
        DL_FOREACH (set->servers, n)
                if (named_permits(n, peer)) {
                        text_format(ret + length, size - length, "%s%s", length > 0 ? ", " : "",
                                    n->settings->name);
                        length += strlen(ret + length);
                }
}

static size_t named_count(const NamedSet *set, uid_t uid, size_t *ret_of_uid) {
        const NamedServer *n;
        size_t count = 0;

        *ret_of_uid = 0;
        DL_FOREACH (set->servers, n) {
                count++;
                *ret_of_uid +=
                        n->settings->origin == SERVER_FROM_REQUEST && n->settings->user.uid == uid;
        }
        return count;
}

/* ---- by request */

/* One that has failed gives its name to who may stop it; what is left of it runs on until it ends.
 */
static bool may_replace(const NamedServer *n, const ServerSettings *settings) {
        uid_t uid = settings->user.uid;

        return n->settings->origin == SERVER_FROM_REQUEST && n->state == NAMED_FAILED &&
               (uid == n->settings->user.uid || uid == 0 || uid == geteuid());
}

/* What the old one has said is not the new one's, even if its process still says it. */
static void replace(NamedServer *n, ServerSettings *settings) {
        for (Server *s = named_next_generation(n, NULL); s; s = named_next_generation(n, s))
                host_log_detach(s->log);
        host_lines_clear(n->lines);
        json_decref(n->entries);
        n->entries = NULL;
        free(steal(n->reason));
        n->deaths = 0;
        named_take_settings(n, settings, NULL);
}

int named_start(NamedSet *set, ServerSettings *settings, NamedServer **ret) {
        NamedServer *n = named_find(set, settings->name);
        uid_t uid = settings->user.uid;
        size_t of_uid;
        int r;

        if (n) {
                if (!may_replace(n, settings)) {
                        server_settings_free(settings);
                        return NAMED_E_TAKEN;
                }
                replace(n, settings);
        } else {
                if (named_count(set, uid, &of_uid) >= NAMED_MAX ||
                    (uid != 0 && uid != geteuid() && of_uid >= NAMED_MAX / 2)) {
                        server_settings_free(settings);
                        return NAMED_E_LIMIT;
                }
                r = named_new(&n, set, settings);
                if (r < 0)
                        return r;
        }
        named_start_soon(n, false);
        *ret = n;
        return 0;
}

/* ---- from files */

static int set_add_warning(NamedSet *set, const char *format, ...) _printf_(2, 3);
static int set_add_warning(NamedSet *set, const char *format, ...) {
        char warning[512];
        va_list ap;

        va_start(ap, format);
        text_formatv(warning, sizeof(warning), format, ap);
        va_end(ap);
        log_about(LOG_WARNING, 0, LOG_EVENT(CONFIG_IGNORED), "%s", warning);
        return strings_append(&set->daemon->config->warnings, warning);
}

static int set_add_file(NamedSet *set, ServerSettings *settings, char *invalid) {
        NamedServer *n;
        size_t of_uid;
        int r;

        if (named_count(set, 0, &of_uid) >= NAMED_MAX) {
                r = set_add_warning(set,
                                    "servers/%s.conf: ignoring this file: there are %d forkservers "
                                    "already",
                                    settings->name, NAMED_MAX);
                server_settings_free(settings);
                free(invalid);
                return r;
        }
        r = named_new(&n, set, settings);
        if (r < 0) {
                free(invalid);
                return r;
        }
        n->invalid = invalid;
        named_begin(n);
        return 0;
}

static void set_change_file(NamedServer *n, ServerSettings *settings, char *invalid) {
        /* the next generation may be on its way, by what the file said before */
        const ServerSettings *now = n->next_settings ?: n->settings;
        bool same = !invalid && !n->invalid && server_settings_equal(now, settings);
        bool same_process = !invalid && server_settings_same_process(now, settings);
        bool boot = settings->start_at_boot;

        n->anew |= n->forget;
        n->forget = false;
        if (same && n->state != NAMED_FAILED) {
                server_settings_free(settings);
                return;
        }
        named_take_settings(n, settings, invalid);
        if (n->state == NAMED_READY) {
                if (!same_process)
                        named_start_soon(n, true);
        } else if (n->state == NAMED_STARTING || (n->state == NAMED_FAILED && boot && !invalid))
                named_start_soon(n, true);
        else if (n->state != NAMED_STOPPING && invalid && !n->stopped)
                named_fail(n, invalid);
        else
                named_rest(n);
}

/* One name of the configuration. */
static int set_read_file(NamedSet *set, const char *name) {
        NamedServer *n = named_find(set, name);
        ServerSettings *settings;
        char *invalid = NULL;
        int r;

        if (n && n->settings->origin == SERVER_FROM_REQUEST)
                return set_add_warning(
                        set,
                        "servers/%s.conf: ignoring this file: uid %u has started a forkserver of "
                        "this name, which is to be stopped first",
                        name, n->settings->user.uid);
        r = server_settings_load(&settings, name, set->daemon->paths->config,
                                 &set->daemon->config->warnings, &invalid);
        if (r < 0)
                return r;
        if (r == SERVER_SETTINGS_E_NONE)
                return 0;
        if (!n)
                return set_add_file(set, settings, invalid);
        set_change_file(n, settings, invalid);
        return 0;
}

static int set_read(NamedSet *set) {
        _cleanup_(strings_freep) char **names = NULL;
        NamedServer *n, *next;
        int r;

        r = server_settings_names(&names, set->daemon->paths->config,
                                  &set->daemon->config->warnings);
        if (r < 0)
                return r;
        DL_FOREACH_SAFE (set->servers, n, next)
                if (n->settings->origin == SERVER_FROM_CONFIGURATION &&
                    !text_in_list(n->settings->name, (const char *const *)names)) {
                        n->forget = true;
                        named_stop(n, false);
                }
        for (char **name = names; *name; name++) {
                r = set_read_file(set, *name);
                if (r < 0)
                        return r;
        }
        return 0;
}

void named_set_reload(NamedSet *set) {
        int r = set_read(set);

        if (r < 0)
                log_about(LOG_ERR, r, LOG_EVENT(RELOAD_FAILED),
                          "cannot read the configuration of forkservers");
}

int named_set_new(NamedSet **ret, Daemon *daemon) {
        NamedSet *set = calloc(1, sizeof(*set));
        int r;

        if (!set)
                return -ENOMEM;
        set->daemon = daemon;
        *ret = set; /* named forkservers that start look for it there */
        r = set_read(set);
        if (r < 0) {
                *ret = named_set_free(set);
                return r;
        }
        return 0;
}

NamedSet *named_set_free(NamedSet *set) {
        if (!set)
                return NULL;
        while (set->servers)
                named_free(set->servers);
        free(set);
        return NULL;
}

/* ---- the end */

bool named_set_ended(const NamedSet *set) {
        const NamedServer *n;

        if (!set)
                return true;
        DL_FOREACH (set->servers, n)
                if (named_next_generation(n, NULL))
                        return false;
        return true;
}

void named_set_stop(NamedSet *set) {
        NamedServer *n, *next;

        if (!set || set->stopping)
                return;
        set->stopping = true;
        DL_FOREACH_SAFE (set->servers, n, next)
                named_stop(n, false);
}

/* ---- who may */

bool named_permits(const NamedServer *n, const Peer *peer) {
        const ServerSettings *s = n->settings;

        if (peer->uid == 0 || peer->uid == geteuid() || peer->uid == s->user.uid || s->allow_all)
                return true;
        for (size_t i = 0; i < s->n_allowed; i++)
                if (s->allowed[i] == peer->uid)
                        return true;
        return false;
}

bool named_permits_control(const NamedServer *n, const Peer *peer) {
        return peer->uid == 0 || peer->uid == geteuid() ||
               (n->settings->origin == SERVER_FROM_REQUEST && peer->uid == n->settings->user.uid);
}

/* ---- birth and death */

static int on_check(sd_event_source *source, void *userdata) {
        (void)source;
        named_check_stopped(userdata);
        return 0;
}

int named_new(NamedServer **ret, NamedSet *set, ServerSettings *settings) {
        NamedServer *n = calloc(1, sizeof(*n)), *other;
        int r = -ENOMEM;

        if (!n) {
                server_settings_free(settings);
                return r;
        }
        n->set = set;
        n->settings = settings;
        r = host_lines_new(&n->lines);
        if (r >= 0)
                r = sd_event_add_defer(set->daemon->event, &n->check, on_check, n);
        if (r >= 0)
                r = sd_event_source_set_enabled(n->check, SD_EVENT_OFF);
        DL_FOREACH (set->servers, other)
                if (strcmp(other->settings->name, settings->name) > 0)
                        break;
        DL_PREPEND_ELEM(set->servers, other, n);
        if (r < 0) {
                named_free(n);
                return r;
        }
        *ret = n;
        return 0;
}

NamedServer *named_free(NamedServer *n) {
        NamedWaiter *w, *next;

        DL_DELETE(n->set->servers, n);
        DL_FOREACH_SAFE (n->waiters, w, next)
                free(w);
        sd_event_source_disable_unref(n->start_timer);
        sd_event_source_disable_unref(n->check);
        server_settings_free(n->settings);
        server_settings_free(n->next_settings);
        host_lines_free(n->lines);
        json_decref(n->entries);
        free(n->invalid);
        free(n->reason);
        free(n);
        return NULL;
}
