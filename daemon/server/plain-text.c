/* SPDX-License-Identifier: Apache-2.0 */

/* JSON takes only UTF-8, and people name things as they like. Lives in forkservers and workers. */

#include "plain-text.h"

json_t *plain_text(const char *text) {
        json_t *value = json_string(text);
        char *copy;

        if (value)
                return value;
        copy = strdup(text);
        if (!copy)
                return NULL;
        for (char *p = copy; *p; p++)
                if ((unsigned char)*p >= 0x80)
                        *p = '?';
        value = json_string(copy);
        free(copy);
        return value;
}
