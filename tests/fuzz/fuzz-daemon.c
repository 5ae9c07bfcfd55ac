/* SPDX-License-Identifier: Apache-2.0 */

/* Clients of the whole daemon: messages in split writes, with descriptors, half-closes and closes,
 * for all interfaces; the forkservers answer as the input says. An input is lines, see world.h. */

#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const before[] = {
        "s0 {\"method\":\"Running\",\"parameters\":{\"epoch\":1}}",
        "s0 {\"method\":\"Ready\",\"parameters\":{}}",
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
