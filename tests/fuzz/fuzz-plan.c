/* SPDX-License-Identifier: Apache-2.0 */

/* Plans: the parameters of Fork and of Adopt from any JSON. What is accepted has to be safe for the
 * child, which checks nothing. */

#include "basic.h"

#include "plan.h"

#include <sys/eventfd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (!condition) {
                fprintf(stderr, "fuzz-plan: %s\n", what);
                abort();
        }
}

static void check(const Plan *plan, PlanKind kind) {
        require(plan->envp != NULL, "no environment");
        require((plan->token < 0) == (kind == PLAN_ONE_SHOT), "no token, or one too many");
        require(!plan->argv == (kind != PLAN_COMMAND), "neither command nor entry, or both");
        require(plan->argv || (plan->channel < 0 && plan->cgroup < 0), "a command's descriptors");
        require(!plan->argv || (plan->argv[0] && plan->candidates && plan->candidates[0]),
                "nothing to run");
        require(plan->n_limits <= PLAN_LIMITS_MAX, "too many limits");
        for (int i = 0; i < 3; i++) {
                const PlanStdio *s = &plan->stdio[i];

                require(s->kind != PLAN_STDIO_FD || s->fd >= 0, "a stream without descriptor");
                require(s->kind != PLAN_STDIO_PATH || s->path, "a stream without path");
                require(s->kind != PLAN_STDIO_STDOUT || i == 2, "stdout to itself");
        }
        for (size_t i = 1; i < plan->n_groups; i++)
                require(plan->groups[i - 1] <= plan->groups[i], "groups out of order");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const PlanKind kinds[] = { PLAN_COMMAND, PLAN_ENTRY, PLAN_ONE_SHOT };
        Packet packet = PACKET_NULL;

        packet.object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(packet.object)) {
                json_decref(packet.object);
                return 0;
        }
        packet.parameters = packet.object;
        packet.n_fds = 2;
        packet.fds[0] = eventfd(1, EFD_CLOEXEC);
        packet.fds[1] = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                const char *reason = NULL;
                Plan *plan = NULL;
                int r = plan_new(&plan, &packet, kinds[i], &reason);

                require(r <= 0 || reason, "refused without a reason");
                if (r == 0)
                        check(plan, kinds[i]);
                plan_free(plan);
        }
        packet_done(&packet);
        return 0;
}
