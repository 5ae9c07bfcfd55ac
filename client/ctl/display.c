/* SPDX-License-Identifier: Apache-2.0 */

/* Text for a terminal; see display.h. Pure functions but for the locale. Lives in forkctl. */

#include "display.h"

#include <langinfo.h>
#include <locale.h>
#include <wchar.h>
#include <wctype.h>

void display_init(void) {
        if (setlocale(LC_CTYPE, "") && streq(nl_langinfo(CODESET), "UTF-8"))
                return;
        (void)setlocale(LC_CTYPE, "C.UTF-8");
}

const char *display_ellipsis(void) {
        /* As in setlocale(): the first that is set and not empty decides. */
        static const char *const variables[] = { "LC_ALL", "LC_CTYPE", "LANG" };

        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
                const char *v = getenv(variables[i]);

                if (v && v[0] != '\0')
                        return strcasestr(v, "utf-8") || strcasestr(v, "utf8") ? "…" : "...";
        }
        return "...";
}

/* The next character: its bytes (at least 1), and its columns, or -1 if it cannot be shown. */
static size_t next_character(const char *s, wchar_t *ret_character, int *ret_width) {
        mbstate_t state = { 0 };
        wchar_t c;
        size_t n;

        n = mbrtowc(&c, s, strlen(s), &state);
        if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
                *ret_character = (unsigned char)*s;
                *ret_width = -1;
                return 1;
        }
        *ret_character = c;
        *ret_width = wcwidth(c);
        /* Marks and overrides of the direction of writing have no width, and reorder what is around
         * them. */
        if ((c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
            (c >= 0x2066 && c <= 0x2069))
                *ret_width = -1;
        return n;
}

char *display_escape(const char *s) {
        char *text, *p;

        text = malloc(strlen(s) * 10 + 1); /* the longest: \u{10ffff} */
        if (!text)
                return NULL;

        p = text;
        while (*s) {
                wchar_t c;
                int width;
                size_t n = next_character(s, &c, &width);

                if (*s == '\n')
                        p = stpcpy(p, "\\n");
                else if (*s == '\t')
                        p = stpcpy(p, "\\t");
                else if (width >= 0)
                        p = mempcpy(p, s, n);
                else if (n == 1)
                        p += sprintf(p, "\\x%02x", (unsigned)c);
                else
                        p += sprintf(p, "\\u{%x}", (unsigned)c);
                s += n;
        }
        *p = '\0';
        return text;
}

size_t display_fit(const char *s, size_t columns, size_t *ret_width) {
        size_t bytes = 0, used = 0;

        while (s[bytes]) {
                wchar_t c;
                int width;
                size_t n = next_character(s + bytes, &c, &width);

                width = width < 0 ? 1 : width;
                if (used + (size_t)width > columns)
                        break;
                used += (size_t)width;
                bytes += n;
        }
        if (ret_width)
                *ret_width = used;
        return bytes;
}

size_t display_width(const char *s) {
        size_t width;

        display_fit(s, SIZE_MAX / 2, &width);
        return width;
}
