/* SPDX-License-Identifier: Apache-2.0 */

/* What the worker of an entry says, whose client wants to hear of its progress. An input is lines,
 * see world.h; before it a job runs on a
 * worker of a host: its channel is the end 2. */

#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RUN(entry)                                                                                 \
        "W0 {\"method\":\"org.forkd.jobs.Run\",\"more\":true,\"parameters\":{\"job\":{\"server\":" \
        "\"spell\",\"entry\":\"" entry "\",\"graceUSec\":0}}}"

#define READY                                                                                      \
        "{\"method\":\"Ready\",\"parameters\":{\"safety\":{\"threads\":1},\"entries\":[{\"name\":\"a\"}]}}"

static const char *const before[] = {
        "s0 {\"method\":\"Running\",\"parameters\":{\"epoch\":1}}",
        RUN("a"),
        "s0l {\"method\":\"Started\",\"parameters\":{\"id\":0,\"attempt\":1,\"pid\":100,"
        "\"startTime\":7,\"pidfd\":0}}",
        "s1 {\"method\":\"Running\",\"parameters\":{\"epoch\":1}}",
        "s1 " READY,
        "s1l {\"method\":\"Started\",\"parameters\":{\"id\":1,\"attempt\":1,\"pid\":101,"
        "\"startTime\":7,\"pidfd\":0}}",
        NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World w;

        world_open(&w);
        world_lines(&w, before);
        world_input(&w, WORLD_CHANNELS WORLD_CLIENT, data, size);
        world_close(&w);
        return 0;
}
