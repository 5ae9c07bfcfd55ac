/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

typedef struct Daemon Daemon;

/* What a former forkd of this state directory left behind: ended, and said so. Taking it over is
 * not done yet. */
void leftover_end_all(Daemon *d);
