/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process title, so that ps and htop tell workers apart. */

#include "basic.h"

typedef struct TitleArea TitleArea;

/* Looks in the forkserver where the kernel reads titles; workers then only set theirs. */
int title_area_new(TitleArea **ret);
TitleArea *title_area_free(TitleArea *area);
static inline void title_area_freep(TitleArea **a) {
        title_area_free(*a);
}
/* The arguments stay as they are, where the kernel reads titles from nowhere else. */
void title_area_keep_arguments(TitleArea *area);
/* text must stay where it is. Best effort. */
void title_set(const TitleArea *area, const char *text);
