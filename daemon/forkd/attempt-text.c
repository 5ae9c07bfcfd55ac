/* SPDX-License-Identifier: Apache-2.0 */

/* How log lines name an attempt: in words, and as fields of the journal. In forkd. */

#include "attempt-private.h"

#include "server.h"

#include <inttypes.h>

const char *attempt_text(const Attempt *a, char buffer[static 96]) {
        if (a->job_id > 0)
                snprintf(buffer, 96, "job %" PRIu64, a->job_id);
        else if (a->kind == ATTEMPT_HOST)
                snprintf(buffer, 96, "forkserver %s", a->host ? server_label(a->host) : "");
        else
                snprintf(buffer, 96, "a spare of %s",
                         a->server ? server_label(a->server) : "one that is gone");
        return buffer;
}

LogAbout attempt_about(const Attempt *a, const char *event) {
        const Server *s = a->kind == ATTEMPT_HOST ? a->host : a->server;

        return (LogAbout){ .job = a->job_id, .server = s ? server_label(s) : NULL, .event = event };
}
