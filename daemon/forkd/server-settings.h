/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a named forkserver is to be: read from servers/NAME.conf, or from the parameters of
 * servers.Start. The keys, their defaults and what they mean stand in one table in
 * server-settings.c. See forkd.conf(5). */

#include "basic.h"
#include "job-spec.h"
#include "job.h"

#define SERVER_SPARE_MAX   64
#define SERVER_NAME_MAX    47 /* bytes; a letter, then letters, digits, '.', '_', '-' */
#define SERVER_MODULES_MAX 64
#define SERVER_ENTRIES_MAX 256 /* more in a Ready are refused */

typedef enum ServerOrigin {
        SERVER_FROM_CONFIGURATION,
        SERVER_FROM_REQUEST, /* servers.Start */
} ServerOrigin;

typedef struct ServerSettings {
        char *name;
        ServerOrigin origin;
        char **modules;     /* Module=; or … */
        char **command;     /* … Command=: exactly one of them is there */
        char *arguments;    /* Arguments=, a JSON object as text; NULL: none */
        char **environment; /* Environment=, NAME=value, added to the default of its user */
        Owner user;         /* as whom it runs: User=, forkd's own, or the peer that started it */
        char **allow_users; /* AllowUsers=: who may run entries besides root, forkd's uid and its
                               own; "*": everybody. As written … */
        uid_t *allowed;     /* … and looked up */
        size_t n_allowed;
        bool allow_all;
        bool start_at_boot;       /* Start=boot; else at first use. A request starts at once */
        uint64_t preload_timeout; /* µs */
        bool huge_pages;
        unsigned spare;   /* Spare= of [Pool] */
        JobLimit *limits; /* [Limits]: of the forkserver, and so of its workers */
        size_t n_limits;
} ServerSettings;

enum {
        SERVER_SETTINGS_E_INVALID = 1, /* *ret_reason says what is wrong, in a sentence */
        SERVER_SETTINGS_E_NONE,        /* no directory has servers/NAME.conf */
};

/* Reads servers/NAME.conf with its drop-ins. Bad lines become warnings, appended to *warnings as in
 * Config; what makes it unusable (neither Module= nor Command=, or both; an unknown user) is
 * SERVER_SETTINGS_E_INVALID, with *ret then being what could be read, so that it can be listed as
 * failed. */
int server_settings_load(ServerSettings **ret, const char *name, char *const *dirs,
                         char ***warnings, char **ret_reason);
/* The same of a text instead of a file and its drop-ins. */
int server_settings_parse(ServerSettings **ret, const char *name, const char *text, size_t length,
                          char ***warnings, char **ret_reason);
/* The names for which there is a servers/NAME.conf, sorted; NULL-terminated, owned by the caller.
 * Warnings (or NULL) are about files whose names are none. */
int server_settings_names(char ***ret, char *const *dirs, char ***warnings);
/* All defaults, for a request. */
int server_settings_new(ServerSettings **ret, const char *name);
ServerSettings *server_settings_free(ServerSettings *s);
static inline void server_settings_freep(ServerSettings **s) {
        server_settings_free(*s);
}
bool server_settings_equal(const ServerSettings *a, const ServerSettings *b);
/* A process that was started with the one need not be started again for the other. */
bool server_settings_same_process(const ServerSettings *a, const ServerSettings *b);
bool server_name_valid(const char *name);
/* Logs and adds "FILE:LINE: sentence", once; line 0: of the whole file. */
void server_file_warn(char ***warnings, const char *file, unsigned line, const char *sentence);
