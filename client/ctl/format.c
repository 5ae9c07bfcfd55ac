/* SPDX-License-Identifier: Apache-2.0 */

/* Figures for people, and figures from people; pure functions. Lives in forkctl. */

#include "format.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>

const char *format_span(char buffer[static FORMAT_MAX], uint64_t usec) {
        const uint64_t s = usec / USEC_PER_SEC;

        if (usec == USEC_INFINITY)
                snprintf(buffer, FORMAT_MAX, "for ever");
        else if (usec < USEC_PER_MSEC)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " µs", usec);
        else if (usec < USEC_PER_SEC)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " ms", usec / USEC_PER_MSEC);
        else if (s < 10)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 " s", s, usec / 100000 % 10);
        else if (s < 60)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " s", s);
        else if (s < 3600)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
        else if (s < 86400)
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
                         s / 60 % 60);
        else
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
                         s / 3600 % 24);
        return buffer;
}

const char *format_bytes(char buffer[static FORMAT_MAX], uint64_t bytes) {
        static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        double v = (double)bytes;
        size_t i = 0;

        if (bytes < 1024) {
                snprintf(buffer, FORMAT_MAX, "%" PRIu64 " B", bytes);
                return buffer;
        }
        /* 1023.96 would be printed as 1024.0 of this unit */
        for (v /= 1024; v >= 1023.95 && i + 1 < ELEMENTSOF(units); i++)
                v /= 1024;
        snprintf(buffer, FORMAT_MAX, "%.1f %s", v, units[i]);
        return buffer;
}

const char *format_time(char buffer[static FORMAT_MAX], uint64_t usec) {
        const time_t t = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(buffer, FORMAT_MAX, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                snprintf(buffer, FORMAT_MAX, "@%" PRIu64, usec / USEC_PER_SEC);
        return buffer;
}

const char *format_signal(char buffer[static FORMAT_MAX], int signal) {
        const char *name = sigabbrev_np(signal);

        if (name)
                snprintf(buffer, FORMAT_MAX, "SIG%s", name);
        else if (signal >= SIGRTMIN && signal <= SIGRTMAX)
                snprintf(buffer, FORMAT_MAX, "SIGRTMIN+%d", signal - SIGRTMIN);
        else
                snprintf(buffer, FORMAT_MAX, "signal %d", signal);
        return buffer;
}

static bool word_is_plain(const char *s) {
        if (*s == '\0')
                return false;
        for (; *s; s++)
                if (!isalnum((unsigned char)*s) && !strchr("_-./,:=+@%^", *s) && !(*s & 0x80))
                        return false;
        return true;
}

static char *append_quoted(char *p, const char *word) {
        *p++ = '\'';
        for (; *word; word++) {
                if (*word == '\'')
                        p = stpcpy(p, "'\\'");
                *p++ = *word;
        }
        *p++ = '\'';
        return p;
}

char *format_command(const char *const *words, size_t n) {
        size_t room = 1;
        char *text, *p;

        for (size_t i = 0; i < n; i++)
                room += strlen(words[i]) * 4 + 3;
        text = p = malloc(room);
        if (!text)
                return NULL;

        for (size_t i = 0; i < n; i++) {
                if (i > 0)
                        *p++ = ' ';
                p = word_is_plain(words[i]) ? stpcpy(p, words[i]) : append_quoted(p, words[i]);
        }
        *p = '\0';
        return text;
}

static const struct {
        const char *name;
        uint64_t usec;
} units[] = {
        { "us", 1 },
        { "usec", 1 },
        { "µs", 1 },
        { "μs", 1 },
        { "ms", USEC_PER_MSEC },
        { "msec", USEC_PER_MSEC },
        { "", USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "sec", USEC_PER_SEC },
        { "second", USEC_PER_SEC },
        { "seconds", USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "min", 60 * USEC_PER_SEC },
        { "minute", 60 * USEC_PER_SEC },
        { "minutes", 60 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "hr", 3600 * USEC_PER_SEC },
        { "hour", 3600 * USEC_PER_SEC },
        { "hours", 3600 * USEC_PER_SEC },
        { "d", 86400 * USEC_PER_SEC },
        { "day", 86400 * USEC_PER_SEC },
        { "days", 86400 * USEC_PER_SEC },
        { "w", 604800 * USEC_PER_SEC },
        { "week", 604800 * USEC_PER_SEC },
        { "weeks", 604800 * USEC_PER_SEC },
};

static bool unit_find(const char *name, size_t n, uint64_t *ret) {
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == n && strncmp(units[i].name, name, n) == 0) {
                        *ret = units[i].usec;
                        return true;
                }
        return false;
}

/* A number with a unit; moves *p behind both. */
static int parse_part(const char **p, double *ret_usec) {
        size_t digits = strspn(*p, "0123456789"), n;
        const char *unit = *p + digits;
        uint64_t usec;

        if (digits == 0)
                return -EINVAL;
        if (*unit == '.') {
                n = strspn(unit + 1, "0123456789");
                if (n == 0)
                        return -EINVAL;
                unit += 1 + n;
        }
        unit += strspn(unit, " ");
        n = strcspn(unit, " 0123456789");
        if (!unit_find(unit, n, &usec))
                return -EINVAL;
        *ret_usec = strtod(*p, NULL) * (double)usec;
        *p = unit + n;
        return 0;
}

int parse_span(const char *s, uint64_t *ret_usec) {
        double total = 0;
        bool any = false;

        if (streq(s, "infinity")) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }
        for (;;) {
                double part;

                s += strspn(s, " ");
                if (*s == '\0')
                        break;
                if (parse_part(&s, &part) < 0)
                        return -EINVAL;
                total += part;
                any = true;
        }
        if (!any)
                return -EINVAL;
        if (total >= 9.0e15) /* some 285 years, and all integers below are exact */
                return -ERANGE;
        *ret_usec = (uint64_t)(total + 0.5);
        return 0;
}

static int parse_clock(const char *s, uint64_t now, uint64_t *ret_usec) {
        static const struct {
                const char *format;
                bool date, clock;
        } forms[] = {
                { "%Y-%m-%d %H:%M:%S", true, true }, { "%Y-%m-%d %H:%M", true, true },
                { "%Y-%m-%dT%H:%M:%S", true, true }, { "%Y-%m-%d", true, false },
                { "%H:%M:%S", false, true },         { "%H:%M", false, true },
        };
        const time_t present = (time_t)(now / USEC_PER_SEC);

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                struct tm tm;
                const char *end;
                time_t t;

                if (!localtime_r(&present, &tm))
                        return -EINVAL;
                tm.tm_sec = 0;
                if (!forms[i].clock)
                        tm.tm_hour = tm.tm_min = 0;
                end = strptime(s, forms[i].format, &tm);
                if (!end || *end != '\0')
                        continue;

                tm.tm_isdst = -1;
                t = mktime(&tm);
                if (!forms[i].date && t < present) {
                        tm.tm_mday++;
                        tm.tm_isdst = -1;
                        t = mktime(&tm);
                }
                if (t < 0)
                        return -ERANGE;
                *ret_usec = (uint64_t)t * USEC_PER_SEC;
                return 0;
        }
        return -EINVAL;
}

int parse_time(const char *s, uint64_t now, uint64_t *ret_usec) {
        uint64_t usec;
        int64_t n;
        int r;

        if (streq(s, "now")) {
                *ret_usec = now;
                return 0;
        }
        if (s[0] == '@') {
                r = parse_integer(s + 1, 0, INT64_C(1) << 40, &n);
                if (r == 0)
                        *ret_usec = (uint64_t)n * USEC_PER_SEC;
                return r;
        }
        if (s[0] == '+') {
                r = parse_span(s + 1, &usec);
                if (r == 0 && usec == USEC_INFINITY)
                        return -ERANGE;
                if (r == 0)
                        *ret_usec = now + usec;
                return r;
        }
        return parse_clock(s, now, ret_usec);
}

int parse_signal(const char *s) {
        int64_t n;

        if (parse_integer(s, 1, 64, &n) == 0)
                return (int)n;
        if (strncasecmp(s, "SIG", 3) == 0)
                s += 3;
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *name = sigabbrev_np(i);

                if (name && strcasecmp(name, s) == 0)
                        return i;
        }
        if (strncasecmp(s, "RTMIN+", 6) == 0 &&
            parse_integer(s + 6, 0, SIGRTMAX - SIGRTMIN, &n) == 0)
                return SIGRTMIN + (int)n;
        if (strcasecmp(s, "RTMIN") == 0)
                return SIGRTMIN;
        if (strcasecmp(s, "RTMAX") == 0)
                return SIGRTMAX;
        return -EINVAL;
}

int parse_integer(const char *s, int64_t min, int64_t max, int64_t *ret) {
        char *end;
        long long n;

        if (!isdigit((unsigned char)(s[0] == '-' ? s[1] : s[0])))
                return -EINVAL;
        errno = 0;
        n = strtoll(s, &end, 10);
        if (*end != '\0')
                return -EINVAL;
        if (errno == ERANGE || n < min || n > max)
                return -ERANGE;
        *ret = n;
        return 0;
}
