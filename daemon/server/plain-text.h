/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text that others have made (names of files and threads, errors of entries), for packets. */

#include "basic.h"

#include <jansson.h>

/* A JSON string; when text is no UTF-8, its bytes above ASCII become '?'. NULL without memory. */
json_t *plain_text(const char *text);
