/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The process of a generation of a named forkserver: forkd-server with modules, or a Command=. The
 * spawner starts it as it starts commands, so that it is born in a cgroup of its own, as its user,
 * and neither its exec nor its user's file system can hold forkd up. Its Attempt has no job. */

#include "host-log.h"
#include "json-text.h"
#include "server-settings.h"
#include "server.h"

#include <jansson.h>

/* Orders the start. The server gets its channel; the process is told of by host_started(). Its
 * output goes to lines, too, which are borrowed. 0, SERVER_E_WAIT (no spawner is up) or -errno. */
int host_start(Server *s, const ServerSettings *settings, HostLines *lines);
/* Told to end when its last worker has. */
void host_retire(Server *s);
/* Its channel is closed: it has a moment to end by itself. */
void host_gone(Server *s);
/* What it says itself; a Ready that must not be believed becomes a refusal. */
void host_ready(Server *s, json_t *parameters);
void host_refused(Server *s, const char *reason);
/* It has sent what is no packet, maybe instead of Ready. */
void host_broken(Server *s);
/* SIGKILL of all its processes; workers are in cgroups of their own. */
void host_kill(Server *s);
/* The command of a one-shot host for entries of these settings, or of Module= (NULL):
 * NULL-terminated, owned by the caller. */
int host_one_shot_command(Daemon *daemon, const ServerSettings *settings, char ***ret);
/* "environment" of the plan that it, or a one-shot host, is started by. */
int host_write_environment(JsonText *t, Daemon *daemon, const ServerSettings *settings,
                           const char *label, bool one_shot);

/* What becomes of its Attempt; attempt.c calls these. pidfd stays the attempt's. */
void host_started(Server *s, pid_t pid, int pidfd);
void host_failed(Server *s, const char *stage, int error, const char *text);
void host_ended(Server *s, const AttemptEnd *end); /* its attempt is freed after that */
