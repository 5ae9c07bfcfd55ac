/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where clients come from: sockets passed by systemd or kept by the keeper, connections that are
 * there already, or a socket of our own. */

#include "basic.h"

typedef struct Daemon Daemon;

/* Adds all of them to the daemon's service. Errors are logged. */
int listener_open(Daemon *d);
/* On the way out: connections to a passed socket wait for the next forkd, those to our own are told
 * that this one is draining. */
void listener_drain(Daemon *d);
/* No longer accepts, and removes the file of our own socket. */
void listener_close(Daemon *d);
