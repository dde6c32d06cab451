/* The peer libuv: a million timers scheduled, half of them cancelled, the rest expired. The same deadlines as timers.c. */
#include "../deadlines.h"
#include "../gate.h"
#include <stdlib.h>
#include <uv.h>

static size_t expired;

static void on_timer(uv_timer_t *t)
{
    (void)t;
    expired++;
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uv_loop_t *loop = uv_default_loop();
    uint64_t seed = DEADLINE_SEED;
    uint64_t *delay = malloc(n * sizeof *delay);
    uv_timer_t *timers = malloc(n * sizeof *timers);
    if (!delay || !timers)
        return 1;
    for (size_t i = 0; i < n; i++) {
        delay[i] = deadline_ms(&seed);
        uv_timer_init(loop, &timers[i]);
    }
    gate_open();
    uv_update_time(loop);
    for (size_t i = 0; i < n; i++)
        uv_timer_start(&timers[i], on_timer, delay[i], 0);
    for (size_t i = 0; i < n; i += 2)
        uv_timer_stop(&timers[i]);
    uv_run(loop, UV_RUN_DEFAULT);
    gate_close(n, "");
    if (expired != n / 2) {
        fprintf(stderr, "%zu timers expired, not %zu\n", expired, n / 2);
        return 1;
    }
    return 0;
}
