/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the daemon ends: drain to a deadline, then end what runs, then leave. See also daemon.h. */

#include "daemon.h"

/* Attempts that have outlived their jobs, at the very end. */
void drain_free_attempts(Daemon *d);
