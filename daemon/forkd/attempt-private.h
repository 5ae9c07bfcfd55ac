/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Shared by attempt.c and orphan.c only. */

#include "attempt.h"

/* True when the token was still there: the attempt will never run. */
bool attempt_take_token(Attempt *a);
/* The job goes its way, the attempt stays until all of it is gone. */
void attempt_detach(Attempt *a);
/* Nothing of it is left but the zombie: lets it be reaped, unless what it left behind is still
 * being ended. */
void attempt_conclude(Attempt *a);
