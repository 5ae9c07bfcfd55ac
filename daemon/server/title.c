/* SPDX-License-Identifier: Apache-2.0 */

/* The process title: the kernel is told to read it from elsewhere; where it does not allow that,
 * the text goes where the arguments stood, as far as it fits. What is found in /proc/self/stat
 * belongs to the forkserver and is as true in its workers. */

#include "title.h"

#include <linux/prctl.h>
#include <sys/prctl.h>

struct TitleArea {
        struct prctl_mm_map map;
        char *arguments;
        size_t size;
};

/* Fields of proc(5), counted from 1. */
enum {
        FIELD_START_CODE = 26,
        FIELD_END_CODE = 27,
        FIELD_START_STACK = 28,
        FIELD_START_DATA = 45,
        FIELD_END_DATA,
        FIELD_START_BRK,
        FIELD_ARG_START,
        FIELD_ARG_END,
        FIELD_ENV_START,
        FIELD_ENV_END,
        _FIELD_MAX,
};

static int read_fields(uint64_t fields[static _FIELD_MAX]) {
        _cleanup_(close_fdp) int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
        char text[2048], *p;
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';

        p = strrchr(text, ')');
        if (!p || strlen(p) < 4)
                return -EBADMSG;
        p += 3; /* past the state, field 3 */
        for (int i = 4; i < _FIELD_MAX; i++) {
                char *end;

                fields[i] = strtoull(p, &end, 10);
                if (end == p)
                        return -EBADMSG;
                p = end;
        }
        return 0;
}

int title_area_new(TitleArea **ret) {
        uint64_t f[_FIELD_MAX] = { 0 };
        TitleArea *area;
        int r;

        r = read_fields(f);
        if (r < 0)
                return r;
        area = calloc(1, sizeof(TitleArea));
        if (!area)
                return -ENOMEM;

        area->map = (struct prctl_mm_map){
                .start_code = f[FIELD_START_CODE],
                .end_code = f[FIELD_END_CODE],
                .start_data = f[FIELD_START_DATA],
                .end_data = f[FIELD_END_DATA],
                .start_brk = f[FIELD_START_BRK],
                .start_stack = f[FIELD_START_STACK],
                .env_start = f[FIELD_ENV_START],
                .env_end = f[FIELD_ENV_END],
                .exe_fd = (uint32_t)-1,
        };
        area->arguments = (char *)(uintptr_t)f[FIELD_ARG_START];
        area->size = f[FIELD_ARG_END] - f[FIELD_ARG_START];
        *ret = area;
        return 0;
}

TitleArea *title_area_free(TitleArea *area) {
        free(area);
        return NULL;
}

void title_area_keep_arguments(TitleArea *area) {
        area->size = 0;
}

void title_set(const TitleArea *area, const char *text) {
        size_t length = strlen(text);
        struct prctl_mm_map map;

        prctl(PR_SET_NAME, text); /* what fits into 15 bytes */
        if (!area)
                return;

        map = area->map;
        map.brk = (uintptr_t)sbrk(0);
        map.arg_start = (uintptr_t)text;
        map.arg_end = map.arg_start + length + 1;
        if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0)
                return;

        if (area->size > 0) {
                size_t fits = length < area->size ? length : area->size - 1;

                memset(area->arguments, 0, area->size);
                memcpy(area->arguments, text, fits);
        }
}
