/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes of bench-server: which ways to an answer there are, how often each is asked in a round,
 * and with how much time between. Owned by the benchmark, in which they live. */

#include "server-bench.h"

#define LARGE_NEEDED_MIB 9216 /* seven processes hold 1 GiB each */
/* long enough for a spare to be forked and to settle */
#define GAP_USEC       10000
#define GAP_LARGE_USEC 50000

static ServerLane *lane_add(ServerBench *b, const char *title, LaneSamples *samples, unsigned n) {
        ServerLane *lane = &b->lanes[b->n_lanes++];

        *lane = (ServerLane){ .title = title, .samples = samples, .n = n };
        return lane;
}

static ServerLane *tiny_add(ServerBench *b, ServerLaneName name, unsigned n) {
        ServerLane *lane = lane_add(b, tiny_title(name), &b->results.tiny[name], n);

        if (name >= SPACED_FLOOR)
                lane->gap_usec = GAP_USEC;
        return lane;
}

static void tiny_add_floor(ServerBench *b, ServerLaneName name, unsigned n, FloorKind kind) {
        if (b->floors[kind])
                tiny_add(b, name, n)->floor = b->floors[kind];
}

static void tiny_add_helper(ServerBench *b, ServerLaneName name, unsigned n, Helper *helper,
                            const char *method) {
        ServerLane *lane;

        if (!helper)
                return;
        lane = tiny_add(b, name, n);
        lane->helper = helper;
        lane->method = method;
}

void tiny_lanes_open(ServerBench *b) {
        bool cgroups = b->floors[FLOOR_FORK_CGROUP] && b->floors[FLOOR_SPARE_CGROUP];
        ServerLane *lane;

        tiny_add_helper(b, TINY_FORK, 20, b->fork, "fork");
        tiny_add_floor(b, TINY_FLOOR, 20, FLOOR_FORK);
        tiny_add_floor(b, TINY_FLOOR_CGROUP, 20, FLOOR_FORK_CGROUP);
        tiny_add(b, TINY_FORKSERVER, 20)->job = server_job("forkserver", "tiny");
        tiny_add(b, TINY_TWIN, 20)->job = server_job("fork", NULL);
        tiny_add(b, TINY_SPARE, 20)->job = server_job("forkserver", "tiny-spare");
        tiny_add(b, TINY_SPAWN, 10)->job = server_job("spawn", "tiny");
        tiny_add_helper(b, TINY_PYTHON_FORK, 10, b->python, "os.fork");
        tiny_add_helper(b, TINY_MP_FORK, 10, b->python, "fork");
        tiny_add_helper(b, TINY_MP_FORKSERVER, 5, b->python, "forkserver");
        tiny_add_helper(b, TINY_MP_SPAWN, 2, b->python, "spawn");

        tiny_add_floor(b, SPACED_FLOOR, 5, cgroups ? FLOOR_FORK_CGROUP : FLOOR_FORK);
        tiny_add_floor(b, SPACED_FLOOR_SPARE, 5, cgroups ? FLOOR_SPARE_CGROUP : FLOOR_SPARE);
        tiny_add(b, SPACED_FORKSERVER, 5)->job = server_job("forkserver", "tiny");
        lane = tiny_add(b, SPACED_SPARE, 5);
        lane->job = server_job("forkserver", "tiny-spare");
        lane->spare_of = "tiny-spare";
        tiny_add_helper(b, SPACED_MP_FORKSERVER, 5, b->python, "forkserver");
}

static const char *const sized_servers[_SIZE_MAX][_SIZE_LANE_MAX] = {
        [SIZE_10M] = { [SIZE_FORKSERVER] = "of-10m",
                       [SIZE_SPARE] = "of-10m-spare",
                       [SIZE_FORKSERVER_HUGE] = "of-10m-huge" },
        [SIZE_100M] = { [SIZE_FORKSERVER] = "of-100m",
                        [SIZE_SPARE] = "of-100m-spare",
                        [SIZE_FORKSERVER_HUGE] = "of-100m-huge" },
        [SIZE_1G] = { [SIZE_FORKSERVER] = "of-1g",
                      [SIZE_SPARE] = "of-1g-spare",
                      [SIZE_FORKSERVER_HUGE] = "of-1g-huge" },
};

static int sized_helper(ServerBench *b, SizeName size, bool huge_pages) {
        char bytes[32];
        char *const argv[] = { (char *)b->options->programs.fork_floor, bytes,
                               huge_pages ? (char *)"--huge-pages" : NULL, NULL };

        snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size_bytes(size));
        return helper_new(&b->sized[size][huge_pages], argv);
}

static int size_open_fork(ServerBench *b, SizeName size, bool huge_pages, ServerLane *lane) {
        Helper **helper = &b->sized[size][huge_pages];
        int r = *helper ? 0 : sized_helper(b, size, huge_pages);

        lane->helper = *helper;
        lane->method = "fork";
        return r;
}

static int size_open_hops(ServerBench *b, SizeName size, bool huge_pages, ServerLane *lane) {
        FloorKind kind = b->floors[FLOOR_FORK_CGROUP] ? FLOOR_FORK_CGROUP : FLOOR_FORK;
        int r;

        r = floor_new_holding(&b->sized_floors[size][huge_pages], kind, size_bytes(size),
                              huge_pages);
        lane->floor = b->sized_floors[size][huge_pages];
        return r > 0 ? -EOPNOTSUPP : r;
}

static int size_open_server(ServerBench *b, SizeName size, SizeLaneName name, ServerLane *lane) {
        const ServerShape shape = { .name = sized_servers[size][name],
                                    .bytes = size_bytes(size),
                                    .spare = name == SIZE_SPARE,
                                    .huge_pages = name == SIZE_FORKSERVER_HUGE };

        lane->job = server_job("forkserver", shape.name);
        if (shape.spare > 0)
                lane->spare_of = shape.name;
        return lane->job ? server_start(b->f, &shape) : -ENOMEM;
}

static int size_open(ServerBench *b, SizeName size) {
        const unsigned n = size == SIZE_1G ? 4 : 10;
        int r = 0;

        for (unsigned l = 0; l < _SIZE_LANE_MAX && r == 0; l++) {
                ServerLane *lane = lane_add(b, size_title(l), &b->results.sizes[size][l], n);

                if (sized_servers[size][l])
                        r = size_open_server(b, size, l, lane);
                else if (l == SIZE_HOPS || l == SIZE_HOPS_HUGE)
                        r = size_open_hops(b, size, l == SIZE_HOPS_HUGE, lane);
                else
                        r = size_open_fork(b, size, l == SIZE_FORK_HUGE, lane);
                if (l == SIZE_SPARE || l == SIZE_FORK_SPACED) {
                        lane->n = 4;
                        lane->gap_usec = size == SIZE_1G ? GAP_LARGE_USEC : GAP_USEC;
                }
        }
        return r;
}

static uint64_t memory_available_mib(void) {
        unsigned long long kib = 0;
        char line[128];
        FILE *f = fopen("/proc/meminfo", "re");

        while (f && fgets(line, sizeof(line), f) &&
               sscanf(line, "MemAvailable: %llu kB", &kib) != 1)
                ;
        if (f)
                fclose(f);
        return kib / 1024;
}

int size_lanes_open(ServerBench *b) {
        uint64_t available = memory_available_mib();
        int r = 0;

        if (b->options->large && available < LARGE_NEEDED_MIB) {
                fprintf(stderr,
                        "bench-server: --large needs %d MiB of free memory, and there are %llu\n",
                        LARGE_NEEDED_MIB, (unsigned long long)available);
                return -ENOMEM;
        }
        for (int size = 0; size < _SIZE_MAX && r == 0; size++)
                if (size != SIZE_1G || b->options->large)
                        r = size_open(b, size);
        return r;
}
