/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The interface files of this folder, embedded at build. */

extern const char varlink_org_varlink_service[];
extern const char varlink_org_forkd_jobs[];
extern const char varlink_org_forkd_manager[];
extern const char varlink_org_forkd_servers[];
