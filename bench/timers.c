/* A million timers scheduled, half of them cancelled, the rest expired: `bench_timers [N]`. */
#include "deadlines.h"
#include "gate.h"
#include <evenloop.h>
#include <stdlib.h>

static even_loop *loop;
static size_t expired, expected;

static void on_timer(even_handle *h)
{
    (void)h;
    if (++expired == expected)
        even_loop_stop(loop);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    uint64_t seed = DEADLINE_SEED, *delay = malloc(n * sizeof *delay);
    even_timer *timers = malloc(n * sizeof *timers);
    int rc = even_loop_new(&loop, NULL);
    if (rc < 0 || !delay || !timers) {
        fprintf(stderr, "bench_timers: %s\n", even_strerror(rc < 0 ? rc : -12));
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        delay[i] = deadline_ms(&seed);
        timers[i] = (even_timer)EVEN_TIMER(on_timer);
    }
    expected = n / 2;
    gate_open();
    int64_t start = even_time_ns(loop);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = even_call_at_ns(loop, &timers[i], start + (int64_t)delay[i] * 1000000);
    for (size_t i = 0; i < n; i += 2)
        even_timer_cancel(loop, &timers[i]);
    if (rc == 0 && expected > 0)
        rc = even_loop_run_forever(loop);
    gate_close(n, "");
    if (rc == 0 && expired != expected)
        rc = -EVEN_ESTATE;
    if (rc < 0)
        fprintf(stderr, "bench_timers: %s, %zu of %zu expired\n", even_strerror(rc), expired, expected);
    even_loop_close(loop);
    free(timers);
    free(delay);
    return rc < 0;
}
