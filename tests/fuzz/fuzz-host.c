/* SPDX-License-Identifier: Apache-2.0 */

/* Hostile forkservers: whatever the spawner, a host and their workers say in whatever order, while
 * jobs come and are ended, forkd goes on, signals no stranger and tells of each end. An input is
 * lines, see world.h. */

#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        World w;

        world_open(&w);
        world_input(&w, WORLD_CHANNELS, data, size);
        world_close(&w);
        return 0;
}
