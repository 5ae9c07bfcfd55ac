/* SPDX-License-Identifier: Apache-2.0 */

/* The failing allocator of the tests; its state belongs to the test program. */

#include "failing-alloc.h"

#include <stdarg.h>

static bool armed, failed;
static size_t countdown;

void alloc_fail_at(size_t n) {
        armed = true;
        failed = false;
        countdown = n;
}

bool alloc_failed(void) {
        armed = false;
        return failed;
}

static bool fails_now(void) {
        if (!armed || failed)
                return false;
        if (countdown > 0) {
                countdown--;
                return false;
        }
        failed = true;
        errno = ENOMEM;
        return true;
}

/* Names that the linker knows: --wrap=malloc makes them of malloc. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_asprintf(char **ret, const char *format, ...) _printf_(2, 3);

void *__wrap_malloc(size_t n) {
        return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
        return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n) {
        return fails_now() ? NULL : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s) {
        return fails_now() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n) {
        return fails_now() ? NULL : __real_strndup(s, n);
}

int __wrap_asprintf(char **ret, const char *format, ...) {
        va_list ap;
        int k;

        if (fails_now())
                return -1;
        va_start(ap, format);
        k = vasprintf(ret, format, ap);
        va_end(ap);
        return k;
}
