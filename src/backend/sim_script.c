/* What a test, or whoever looks for a fault, prescribes to the simulation. */
#include "sim.h"
#include <errno.h>
#include <stdlib.h>

int even__sim_read_seed(even_loop *loop, const even_loop_options *options)
{
    uint64_t seed = options ? options->seed : 0;
    const char *text = getenv("EVENLOOP_SEED");
    if (seed == 0 && text && *text) {
        char *end;
        errno = 0;
        seed = strtoull(text, &end, 0);
        if (errno || *end) {
            even__report("EVENLOOP_SEED is no number: '%s'", text);
            return -EINVAL;
        }
    }
    loop->seeded = seed != 0;
    loop->random = seed;
    return 0;
}

void even__sim_set_latency(even_loop *loop, int64_t ns)
{
    even__sim_of(loop)->latency = ns;
}

void even__sim_fail_accepts(even_loop *loop, uint32_t count, int error)
{
    struct even__sim_state *sim = even__sim_of(loop);
    sim->fail_accepts = count;
    sim->fail_accepts_with = error;
}
