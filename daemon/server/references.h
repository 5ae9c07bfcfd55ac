/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the loader has made references of this process's libraries lead to. */

#include "basic.h"

/* True when every library that refers to this function gets to the one at that address, or has not
 * called it yet. */
bool references_lead_to(const char *function, uintptr_t address);
