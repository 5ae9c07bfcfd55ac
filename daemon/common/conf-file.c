/* SPDX-License-Identifier: Apache-2.0 */

/* Unit-file syntax, as text and as files with drop-ins. It keeps nothing: every assignment goes to
 * the caller as it is met. Lives in forkd. Values are read in conf-value.c. */

#include "conf-file.h"
#include "text.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <sys/stat.h>

typedef struct ConfParse {
        const char *file;
        ConfAssign assign;
        ConfWarn warn;
        void *userdata;
        const char *section; /* borrowed from section_buffer; NULL: lines are skipped */
        char section_buffer[256];
        bool any_section; /* a header has been seen, good or bad */
} ConfParse;

_printf_(3, 4) static void conf_warn(const ConfParse *p, unsigned line, const char *format, ...) {
        char sentence[512];
        va_list ap;

        if (!p->warn)
                return;
        va_start(ap, format);
        text_formatv(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        p->warn(p->file, line, sentence, p->userdata);
}

/* ---- one logical line */

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

/* Cuts white space off both ends, in place. */
static char *trim(char *s) {
        size_t n;

        while (is_space(*s))
                s++;
        n = strlen(s);
        while (n > 0 && is_space(s[n - 1]))
                n--;
        s[n] = '\0';
        return s;
}

/* What comes later travels in JSON and in logs. */
static bool is_utf8(const char *s) {
        const unsigned char *p = (const unsigned char *)s;

        while (*p) {
                unsigned n = *p < 0x80                 ? 0
                             : *p >= 0xc2 && *p < 0xe0 ? 1
                             : (*p & 0xf0) == 0xe0     ? 2
                             : *p >= 0xf0 && *p < 0xf5 ? 3
                                                       : 4;

                if (n == 4 || (*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
                    (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
                        return false;
                for (p++; n > 0; n--, p++)
                        if ((*p & 0xc0) != 0x80)
                                return false;
        }
        return true;
}

static void conf_section(ConfParse *p, unsigned line, char *s) {
        size_t n = strlen(s);

        p->any_section = true;
        p->section = NULL;
        if (s[n - 1] != ']' || n < 3 || n - 2 >= sizeof(p->section_buffer)) {
                conf_warn(p, line,
                          "'%.*s' is no section header such as [Daemon], ignoring its lines",
                          text_cut(s, 64), s);
                return;
        }
        s[n - 1] = '\0';
        if (strpbrk(s + 1, "[]")) {
                conf_warn(p, line, "section '%.*s' has a bracket in its name, ignoring its lines",
                          text_cut(s + 1, 64), s + 1);
                return;
        }
        memcpy(p->section_buffer, s + 1, n - 1);
        p->section = p->section_buffer;
}

static int conf_line(ConfParse *p, unsigned line, char *s) {
        char *equals;

        s = trim(s);
        if (*s == '\0')
                return 0;
        if (!is_utf8(s)) {
                conf_warn(p, line, "this line is not UTF-8, ignoring it");
                if (*s == '[') {
                        p->any_section = true;
                        p->section = NULL;
                }
                return 0;
        }
        if (*s == '[') {
                conf_section(p, line, s);
                return 0;
        }

        equals = strchr(s, '=');
        if (!equals || equals == s) {
                conf_warn(p, line, "'%.*s' is no assignment such as Key=value, ignoring it",
                          text_cut(s, 64), s);
                return 0;
        }
        *equals = '\0';
        s = trim(s);
        if (!p->section) {
                if (!p->any_section)
                        conf_warn(p, line, "'%.*s=' stands before any [Section], ignoring it",
                                  text_cut(s, 64), s);
                return 0;
        }
        return p->assign(p->file, line, p->section, s, trim(equals + 1), p->userdata);
}

/* ---- text */

/* Where physical lines become a logical one. */
typedef struct ConfBuffer {
        char *text;
        size_t length;
        unsigned line; /* of its first physical line */
        bool open;     /* the last line ended with a backslash */
} ConfBuffer;

static int conf_physical_line(ConfParse *p, ConfBuffer *b, unsigned line, const char *s, size_t n) {
        size_t skip = 0;
        bool continues;

        while (skip < n && is_space(s[skip]))
                skip++;
        if (skip < n && (s[skip] == '#' || s[skip] == ';'))
                return 0; /* in the middle of a continued line too, as in unit files */

        if (memchr(s, '\0', n)) {
                conf_warn(p, line, "this line has a NUL byte, ignoring it");
                return 0;
        }

        while (n > 0 && s[n - 1] == '\r')
                n--;
        continues = n > 0 && s[n - 1] == '\\';
        if (!b->open) {
                b->length = 0;
                b->line = line;
        }
        memcpy(b->text + b->length, s, n);
        b->length += n;
        b->open = continues;
        if (continues) {
                b->text[b->length - 1] = ' ';
                return 0;
        }
        b->text[b->length] = '\0';
        return conf_line(p, b->line, b->text);
}

int conf_parse_text(const char *file, const char *text, size_t length, ConfAssign assign,
                    ConfWarn warn, void *userdata) {
        ConfParse p = { .file = file, .assign = assign, .warn = warn, .userdata = userdata };
        _cleanup_(freep) char *buffer = NULL;
        ConfBuffer b = { 0 };
        unsigned line = 0;
        int r;

        if (length > CONF_FILE_MAX) {
                conf_warn(&p, 0, "the file is larger than 1 MiB, ignoring it");
                return -E2BIG;
        }
        buffer = malloc(length + 1);
        if (!buffer)
                return -ENOMEM;
        b.text = buffer;

        if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
                text += 3;
                length -= 3;
        }
        for (size_t at = 0; at < length;) {
                const char *end = memchr(text + at, '\n', length - at);
                size_t n = end ? (size_t)(end - (text + at)) : length - at;

                r = conf_physical_line(&p, &b, ++line, text + at, n);
                if (r < 0)
                        return r;
                at += n + 1;
        }
        if (!b.open)
                return 0;
        b.text[b.length] = '\0'; /* the file ended with a backslash */
        return conf_line(&p, b.line, b.text);
}

/* ---- files */

/* Reads all of fd, a regular file. */
static int file_read(int fd, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *text = malloc(CONF_FILE_MAX + 1);
        size_t n = 0;

        if (!text)
                return -ENOMEM;
        while (n <= CONF_FILE_MAX) {
                ssize_t k = read(fd, text + n, CONF_FILE_MAX + 1 - n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t)k;
        }
        *ret = steal(text);
        *ret_length = n;
        return 0;
}

/* -ENOENT when there is no such file, -ECANCELED when assign() ended it with *ret_assign. */
static int conf_parse_file(const ConfParse *p, const char *path, int *ret_assign) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        _cleanup_(freep) char *text = NULL;
        ConfParse at = { .file = path, .warn = p->warn, .userdata = p->userdata };
        size_t length = 0;
        struct stat st;
        int r;

        if (fd < 0 && errno == ENOENT)
                return -ENOENT;
        if (fd < 0 || fstat(fd, &st) < 0)
                r = -errno;
        else if (S_ISCHR(st.st_mode))
                return 0; /* a link to /dev/null masks */
        else if (S_ISDIR(st.st_mode))
                r = -EISDIR;
        else if (!S_ISREG(st.st_mode))
                r = -EINVAL;
        else
                r = file_read(fd, &text, &length);
        if (r < 0) {
                conf_warn(&at, 0, "cannot read this file: %s", strerror(-r));
                return r;
        }

        r = conf_parse_text(path, text, length, p->assign, p->warn, p->userdata);
        if (r < 0 && r != -E2BIG) {
                *ret_assign = r;
                return -ECANCELED;
        }
        return r;
}

typedef struct DropIns {
        char **paths;
        size_t n;
} DropIns;

static void drop_ins_done(DropIns *d) {
        for (size_t i = 0; i < d->n; i++)
                free(d->paths[i]);
        free(d->paths);
}

static const char *base_name(const char *path) {
        return strrchr(path, '/') + 1;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(base_name(*(char *const *)a), base_name(*(char *const *)b));
}

/* Adds what a lower directory has to what higher ones have. */
static int drop_ins_add(DropIns *d, const char *folder, const char *file) {
        size_t n = strlen(file);
        char **grown;

        if (file[0] == '.' || n < 6 || !streq(file + n - 5, ".conf"))
                return 0;
        for (size_t i = 0; i < d->n; i++)
                if (streq(base_name(d->paths[i]), file))
                        return 0;

        grown = reallocarray(d->paths, d->n + 1, sizeof(char *));
        if (!grown)
                return -ENOMEM;
        d->paths = grown;
        if (asprintf(&d->paths[d->n], "%s/%s", folder, file) < 0)
                return -ENOMEM;
        d->n++;
        return 0;
}

static void closedirp(DIR **d) {
        if (*d)
                closedir(*d);
}

static int drop_ins_collect(const ConfParse *p, DropIns *d, const char *folder) {
        _cleanup_(closedirp) DIR *dir = opendir(folder);
        ConfParse at = { .file = folder, .warn = p->warn, .userdata = p->userdata };
        struct dirent *e;
        int r;

        if (!dir && (errno == ENOENT || errno == ENOTDIR))
                return 0;
        if (!dir) {
                r = -errno;
                conf_warn(&at, 0, "cannot read this folder: %s", strerror(-r));
                return r;
        }
        while ((e = readdir(dir))) {
                r = drop_ins_add(d, folder, e->d_name);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int conf_parse_main(const ConfParse *p, const char *name, const char *const *dirs,
                           int *ret_assign) {
        for (; *dirs; dirs++) {
                _cleanup_(freep) char *path = NULL;
                int r;

                if (asprintf(&path, "%s/%s", *dirs, name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                r = conf_parse_file(p, path, ret_assign);
                if (r != -ENOENT)
                        return r;
        }
        return 0;
}

int conf_parse(const char *name, const char *const *dirs, ConfAssign assign, ConfWarn warn,
               void *userdata) {
        ConfParse p = { .file = name, .assign = assign, .warn = warn, .userdata = userdata };
        _cleanup_(drop_ins_done) DropIns d = { 0 };
        int first, r, ended = 0;

        first = conf_parse_main(&p, name, dirs, &ended);
        if (first == -ECANCELED)
                return ended;

        for (; *dirs; dirs++) {
                char folder[PATH_MAX];

                if (snprintf(folder, sizeof(folder), "%s/%s.d", *dirs, name) >= (int)sizeof(folder))
                        continue;
                r = drop_ins_collect(&p, &d, folder);
                if (r == -ENOMEM)
                        return r;
                first = first < 0 ? first : r;
        }
        if (d.n > 0)
                qsort(d.paths, d.n, sizeof(char *), compare_names);
        for (size_t i = 0; i < d.n; i++) {
                r = conf_parse_file(&p, d.paths[i], &ended);
                if (r == -ECANCELED)
                        return ended;
                if (r != -ENOENT) /* gone since it was listed */
                        first = first < 0 ? first : r;
        }
        return first;
}
