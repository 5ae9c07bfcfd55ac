/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* forkd's end of the keeper channel. Before there is a loop, keeper_link_new() reads what the
 * keeper hands over; afterwards it tells of orphans and takes status, readiness and signs of life.
 */

#include "basic.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct Daemon Daemon;
typedef struct KeeperLink KeeperLink;

/* Reads HELLO … BEGIN (at most 5 s). Takes fd over on success. */
int keeper_link_new(KeeperLink **ret, int fd);
KeeperLink *keeper_link_free(KeeperLink *k);

/* Which start of forkd this is, from 1. */
unsigned keeper_link_start(const KeeperLink *k);
pid_t keeper_link_pid(const KeeperLink *k);
/* The descriptor stored under name, taken out; -ENOENT. */
int keeper_link_take(KeeperLink *k, const char *name);

/* From now on orphans are handled and signs of life are sent. */
int keeper_link_attach(KeeperLink *k, Daemon *daemon);

void keeper_link_store(KeeperLink *k, const char *name, int fd);
void keeper_link_ready(KeeperLink *k, const char *status);
void keeper_link_status(KeeperLink *k, const char *status);
void keeper_link_reloading(KeeperLink *k);
void keeper_link_stopping(KeeperLink *k);
void keeper_link_acknowledge(KeeperLink *k, pid_t pid);
