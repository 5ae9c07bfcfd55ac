/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A worker that runs one entry and ends. */

#include "basic.h"
#include "module.h"
#include "plan.h"
#include "title.h"

#include <stdnoreturn.h>

/* The channel is at CHILD_CHANNEL_FD, all of the plan has been done but the environment and the
 * title. */
noreturn void worker_run(const ModuleSet *modules, const Plan *plan, const TitleArea *area);
