/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A forkd that does what a test says: connects to the Unix socket in $FAKE_FORKD, sends a line
 * there for everything that the keeper and signals tell it, and obeys lines that come back. */

/* The whole program. Returns an exit status. */
int fake_forkd_main(void);
