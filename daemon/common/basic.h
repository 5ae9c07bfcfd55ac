/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The few helpers that every process of forkd uses: ownership, descriptors, time. Header only. */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))
#define ELEMENTSOF(x)  (sizeof(x) / sizeof((x)[0]))
#define STRING2(x)     #x
#define STRING(x)      STRING2(x)

#define USEC_PER_SEC  ((uint64_t)1000000)
#define USEC_PER_MSEC ((uint64_t)1000)
#define USEC_INFINITY UINT64_MAX

/* Takes the value out of a variable that has a cleanup, leaving NULL. */
#define steal(p)                                                                                   \
        ({                                                                                         \
                __typeof__(p) *p_ = &(p);                                                          \
                __typeof__(p) v_ = *p_;                                                            \
                *p_ = NULL;                                                                        \
                v_;                                                                                \
        })

/* Takes a descriptor out of a variable that has a cleanup, leaving -1. */
static inline int steal_fd(int *fd) {
        int v = *fd;

        *fd = -1;
        return v;
}

/* close() is never retried: on Linux the number is free even after EINTR. Keeps errno. */
static inline int close_fd(int fd) {
        if (fd >= 0) {
                int saved = errno;

                close(fd);
                errno = saved;
        }
        return -1;
}

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

static inline void freep(void *p) {
        free(*(void **)p);
}

static inline bool streq(const char *a, const char *b) {
        return strcmp(a, b) == 0;
}

/* NULL only equals NULL. */
static inline bool streq_null(const char *a, const char *b) {
        return a == b || (a && b && strcmp(a, b) == 0);
}

static inline uint64_t now_usec(clockid_t clock) {
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}
