/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MESSAGE_ID= of the main events. Each has its entry in units/forkd.catalog, and never another
 * meaning. */

#define LOG_EVENT_READY            "2c3cf898acd64ab7ad4106042c0aa18a"
#define LOG_EVENT_STOPPING         "0adbe06f6ace4dacb7be27a8b6b5e4ce"
#define LOG_EVENT_DRAIN_OVER       "440b5b3d535240ab94d1ad1c0e58224f"
#define LOG_EVENT_RELOADED         "bec0e360b7ee4cba87f386743a007870"
#define LOG_EVENT_RELOAD_FAILED    "37b7e5bf928e4bd287f39c0c7bafb03f"
#define LOG_EVENT_CONFIG_IGNORED   "dea66340d0274919b8b7a2ee5ec07ae1"
#define LOG_EVENT_QUEUE_LOST       "6321ff9cd2ed41eabf6b57219d73d885"
#define LOG_EVENT_JOB_LEFT_RUNNING "b9c4eb4cdf8647829f2664eed7a36c4c"
#define LOG_EVENT_JOB_UNRECORDED   "a4eae790f42e46cbb114ac55ade70e33"
#define LOG_EVENT_JOB_UNKILLABLE   "8c3fd8d38d814e5b9c88dfddad361d76"
#define LOG_EVENT_OUTPUT_TO_FILE   "270af5424ceb430b83458130b4d6ac43"
#define LOG_EVENT_SERVER_READY     "945893264b654229a142ddf1cd85cd21"
#define LOG_EVENT_SERVER_FAILED    "fe9b261dc8db4f6ab92ae2ff94fe287c"
#define LOG_EVENT_SERVER_GONE      "2614d45a96d9424fb4efbeef081fbd8c"
#define LOG_EVENT_SPAWNER_HELD_UP  "88e7c40be6da43c7be6549a247000a3e"
#define LOG_EVENT_FORKD_ENDED      "2dd160346bf042598c4d12eecff4235d"
#define LOG_EVENT_FORKD_SILENT     "b39c3c00e7f64a339ddef155350ad4d2"
#define LOG_EVENT_FORKD_GIVEN_UP   "0c9ca31cdbc34e0fb72a89febbeca3bc"
