/* SPDX-License-Identifier: Apache-2.0 */

/* Text of complaints; pure functions, used in forkd and in clients. */

#include "text.h"

#include <ctype.h>

#define NAME_MAX_COMPARED 48

/* How many of the first n bytes of s are whole characters, when a cut at n may have halved the
 * last. */
static size_t text_cut_bytes(const char *s, size_t n) {
        size_t lead = n, need;

        while (lead > 0 && ((unsigned char)s[lead - 1] & 0xc0) == 0x80)
                lead--;
        if (lead == 0 || (unsigned char)s[lead - 1] < 0xc0)
                return n;

        need = (unsigned char)s[lead - 1] >= 0xf0 ? 4 : (unsigned char)s[lead - 1] >= 0xe0 ? 3 : 2;
        return n - (lead - 1) < need ? lead - 1 : n;
}

int text_cut(const char *s, size_t max) {
        size_t n = strnlen(s, max + 1);

        return (int)(n <= max ? n : text_cut_bytes(s, max));
}

void text_formatv(char *buffer, size_t size, const char *format, va_list ap) {
        int k = vsnprintf(buffer, size, format, ap);

        if (k < 0) {
                buffer[0] = '\0';
                return;
        }
        if ((size_t)k < size)
                return;

        buffer[text_cut_bytes(buffer, size - 1)] = '\0';
}

void text_format(char *buffer, size_t size, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        text_formatv(buffer, size, format, ap);
        va_end(ap);
}

bool text_in_list(const char *s, const char *const *names) {
        for (; *names; names++)
                if (streq(s, *names))
                        return true;
        return false;
}

/* Optimal string alignment distance, letters of either case being equal. */
static unsigned text_distance(const char *a, size_t n, const char *b, size_t m) {
        unsigned d[NAME_MAX_COMPARED + 1][NAME_MAX_COMPARED + 1];

        for (size_t i = 0; i <= n; i++)
                d[i][0] = (unsigned)i;
        for (size_t j = 0; j <= m; j++)
                d[0][j] = (unsigned)j;

        for (size_t i = 1; i <= n; i++)
                for (size_t j = 1; j <= m; j++) {
                        int x = tolower((unsigned char)a[i - 1]),
                            y = tolower((unsigned char)b[j - 1]);
                        unsigned best = d[i - 1][j - 1] + (x != y);

                        if (d[i - 1][j] + 1 < best)
                                best = d[i - 1][j] + 1;
                        if (d[i][j - 1] + 1 < best)
                                best = d[i][j - 1] + 1;
                        if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                            y == tolower((unsigned char)a[i - 2]) && d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        return d[n][m];
}

const char *text_nearest(const char *s, const char *const *names) {
        size_t n = strlen(s);
        const char *nearest = NULL;
        unsigned least = n < 4 ? 2 : 3; /* one slip in a short name, two in a longer one */

        if (n > NAME_MAX_COMPARED)
                return NULL;
        for (; *names; names++) {
                size_t m = strlen(*names);
                unsigned k;

                if (m > NAME_MAX_COMPARED)
                        continue;
                k = text_distance(s, n, *names, m);
                if (k < least && k < m) {
                        least = k;
                        nearest = *names;
                }
        }
        return nearest;
}
