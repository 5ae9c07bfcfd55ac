/* SPDX-License-Identifier: Apache-2.0 */

/* Values of configuration files, as systemd.syntax(7) and systemd.time(7) have them. Pure
 * functions; no locale has a say. */

#include "conf-file.h"

#include <strings.h>

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

int conf_parse_bool(const char *s, bool *ret) {
        static const char *const yes[] = { "1", "yes", "y", "true", "t", "on" };
        static const char *const no[] = { "0", "no", "n", "false", "f", "off" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                if (strcasecmp(s, yes[i]) == 0) {
                        *ret = true;
                        return 0;
                }
                if (strcasecmp(s, no[i]) == 0) {
                        *ret = false;
                        return 0;
                }
        }
        return -EINVAL;
}

/* Reads digits at *s and goes past them: -EINVAL when there are none, -ERANGE beyond 64 bits. */
static int parse_digits(const char **s, uint64_t *ret) {
        uint64_t v = 0;
        bool overflow = false;

        if (!is_digit(**s))
                return -EINVAL;
        for (; is_digit(**s); (*s)++)
                overflow = overflow || __builtin_mul_overflow(v, 10, &v) ||
                           __builtin_add_overflow(v, (unsigned)(**s - '0'), &v);
        if (overflow)
                return -ERANGE;
        *ret = v;
        return 0;
}

int conf_parse_unsigned(const char *s, unsigned min, unsigned max, unsigned *ret) {
        uint64_t v;
        int r;

        r = parse_digits(&s, &v);
        if (*s != '\0')
                return -EINVAL;
        if (r < 0)
                return r;
        if (v < min || v > max)
                return -ERANGE;
        *ret = (unsigned)v;
        return 0;
}

/* A fraction such as ".25" at *s times unit; 0 without one. */
static int parse_fraction(const char **s, uint64_t unit, uint64_t *ret) {
        unsigned __int128 scaled;
        uint64_t v = 0, power = 1;

        *ret = 0;
        if (**s != '.')
                return 0;
        (*s)++;
        if (!is_digit(**s))
                return -EINVAL;
        for (; is_digit(**s); (*s)++)
                if (power < UINT64_C(1000000000000)) { /* more digits say nothing */
                        v = v * 10 + (unsigned)(**s - '0');
                        power *= 10;
                }
        scaled = (unsigned __int128)unit * v / power;
        *ret = (uint64_t)scaled;
        return 0;
}

/* whole * unit + fraction, added to *total. */
static int add_scaled(uint64_t whole, uint64_t unit, uint64_t fraction, uint64_t *total) {
        uint64_t v;

        if (__builtin_mul_overflow(whole, unit, &v) || __builtin_add_overflow(v, fraction, &v) ||
            __builtin_add_overflow(*total, v, total) || *total == UINT64_MAX)
                return -ERANGE;
        return 0;
}

static int bytes_unit(const char *s, uint64_t *ret) {
        static const char suffixes[] = "KMGTPE";
        const char *p;

        if (*s == '\0' || streq(s, "B")) {
                *ret = 1;
                return 0;
        }
        p = strchr(suffixes, *s);
        if (!p || (s[1] != '\0' && !streq(s + 1, "B") && !streq(s + 1, "iB")))
                return -EINVAL;
        *ret = UINT64_C(1) << (10 * (p - suffixes + 1));
        return 0;
}

int conf_parse_bytes(const char *s, uint64_t *ret) {
        uint64_t whole, fraction, unit, total = 0;
        const char *end;
        int ranged, r;

        if (streq(s, "infinity")) {
                *ret = UINT64_MAX;
                return 0;
        }
        ranged = parse_digits(&s, &whole);
        if (ranged == -EINVAL)
                return -EINVAL;

        end = s + strspn(s, ".0123456789");
        while (*end == ' ')
                end++;
        r = bytes_unit(end, &unit);
        if (r < 0)
                return r;
        r = parse_fraction(&s, unit, &fraction);
        if (r < 0)
                return r;
        while (*s == ' ')
                s++;
        if (s != end)
                return -EINVAL; /* two points */
        if (ranged < 0)
                return ranged;
        r = add_scaled(whole, unit, fraction, &total);
        if (r < 0)
                return r;
        *ret = total;
        return 0;
}

#define MINUTE (60 * USEC_PER_SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* The unit at *s, past which it goes. None at all is seconds. */
static int time_unit(const char **s, uint64_t *ret) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "us", 1 },
                { "usec", 1 },
                { "\xc2\xb5s", 1 }, /* micro sign */
                { "\xce\xbcs", 1 }, /* Greek mu */
                { "ms", USEC_PER_MSEC },
                { "msec", USEC_PER_MSEC },
                { "s", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },
                { "second", USEC_PER_SEC },
                { "seconds", USEC_PER_SEC },
                { "m", MINUTE },
                { "min", MINUTE },
                { "minute", MINUTE },
                { "minutes", MINUTE },
                { "h", HOUR },
                { "hr", HOUR },
                { "hour", HOUR },
                { "hours", HOUR },
                { "d", DAY },
                { "day", DAY },
                { "days", DAY },
                { "w", 7 * DAY },
                { "week", 7 * DAY },
                { "weeks", 7 * DAY },
                { "M", 2629800 * USEC_PER_SEC },
                { "month", 2629800 * USEC_PER_SEC },
                { "months", 2629800 * USEC_PER_SEC },
                { "y", 31557600 * USEC_PER_SEC },
                { "year", 31557600 * USEC_PER_SEC },
                { "years", 31557600 * USEC_PER_SEC },
        };
        size_t n = strcspn(*s, " \t.0123456789");

        if (n == 0) {
                *ret = USEC_PER_SEC;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(units); i++)
                if (strlen(units[i].name) == n && strncmp(*s, units[i].name, n) == 0) {
                        *ret = units[i].usec;
                        *s += n;
                        return 0;
                }
        return -EINVAL;
}

static const char *skip_space(const char *s) {
        return s + strspn(s, " \t");
}

/* One part such as "1.5 min" at *s, added to *total. */
static int time_part(const char **s, uint64_t *total) {
        uint64_t whole, fraction, unit;
        const char *point, *end;
        int ranged, r;

        ranged = parse_digits(s, &whole);
        if (ranged == -EINVAL)
                return -EINVAL;
        point = *s;
        end = point + (*point == '.');
        end += strspn(end, "0123456789");
        if (*end == '.')
                return -EINVAL;
        end = skip_space(end);
        r = time_unit(&end, &unit);
        if (r < 0)
                return r;
        r = parse_fraction(&point, unit, &fraction);
        if (r < 0)
                return r;
        *s = skip_space(end);
        return ranged < 0 ? ranged : add_scaled(whole, unit, fraction, total);
}

int conf_parse_usec(const char *s, uint64_t *ret) {
        uint64_t total = 0;
        int r;

        s = skip_space(s);
        if (streq(s, "infinity")) {
                *ret = USEC_INFINITY;
                return 0;
        }
        do {
                r = time_part(&s, &total);
                if (r < 0)
                        return r;
        } while (*s != '\0');
        *ret = total;
        return 0;
}
