/* SIGINT and SIGTERM: the first asks the main task of the process's run to end, the second ends the program. */
#include "interrupt.h"
#include "../base/sys.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The run that SIGINT and SIGTERM are for: one in the process, that of the main thread. */
static struct interrupt {
    even_handle handle;
    even_door *door;
    even_loop *loop;
    even_awaitable *main;
    double grace;
    volatile sig_atomic_t number;   /* the signal that came first; 0: none */
    volatile sig_atomic_t pending;  /* the loop has not seen the last one yet */
    volatile sig_atomic_t urgent;   /* the next one ends the program */
    volatile sig_atomic_t last;     /* the signal that came last */
    bool told;                      /* the main object was asked to end */
    bool second;
    unsigned forks;                 /* of the process whose run it is: in a child of it, nobody's */
} interrupt;

/* It asked the main object to end, which has not taken that back. What is no task cannot. Of a task, another request may have
 * come since, which is no signal's. */
static bool has_asked(void)
{
    const even_awaitable *x = interrupt.main;
    if (!interrupt.told || (even__is_task(x) && even_cancelling((const even_task *)(const void *)x) == 0))
        return false;
    return even_is_done(x) || even__end_is_on(interrupt.loop);
}

/* The first asks the main task to end. The second is urgent, and ends the program after the run. */
static void interrupted(even_handle *h)
{
    (void)h;
    interrupt.pending = 0;
    if (!interrupt.main)
        return;
    if (even_is_done(interrupt.main) || has_asked()) {
        interrupt.second = has_asked();
        interrupt.urgent = 1;
        even__end_at_once(interrupt.loop);
        return;
    }
    even__end_is_off(interrupt.loop);
    interrupt.told = true;
    even_cancel_any(interrupt.main);
    even__end_begins(interrupt.loop, interrupt.grace, interrupt.main);
}

static void on_signal(int number)
{
    if (interrupt.forks == even__forks && !interrupt.pending && !interrupt.urgent) {
        interrupt.pending = 1;
        interrupt.last = number;
        if (!interrupt.number)
            interrupt.number = number;
        even_door_call_soon(interrupt.door, &interrupt.handle);
        return;
    }
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigaction(number, &standard, NULL);
    raise(number);
}

static const struct { int number; unsigned bit; } stops[EVEN__STOP_SIGNALS] = {
    { SIGINT, EVEN_STOP_ON_SIGINT }, { SIGTERM, EVEN_STOP_ON_SIGTERM },
};

/* Nobody handles it, or a run that this process was forked in. */
static bool is_free(int number, struct sigaction *old)
{
    if (sigaction(number, NULL, old) < 0 || (old->sa_flags & SA_SIGINFO))
        return false;
    if (old->sa_handler == on_signal && interrupt.forks != even__forks) {
        *old = (struct sigaction){ .sa_handler = SIG_DFL };
        sigaction(number, old, NULL);   /* while `interrupt` is filled in anew */
    }
    return old->sa_handler == SIG_DFL;
}

/* Another thread may still be in the handler, with the last run's door: so that is given up only now. */
static void set_interrupt(even_loop *loop, even_awaitable *x, double grace)
{
    even_door *last = interrupt.door;
    interrupt = (struct interrupt){ .handle = EVEN_HANDLE(interrupted), .door = even_loop_door(loop), .loop = loop, .main = x,
                                    .grace = grace, .forks = even__forks };
    even_door_unref(last);
}

void even__signals_take(struct even__signals *s, even_loop *loop, even_awaitable *x, const even_run_options *options)
{
    const unsigned wanted = options && options->stop_on ? options->stop_on : EVEN_STOP_ON_SIGINT | EVEN_STOP_ON_SIGTERM;
    const bool is_main_thread = getpid() == gettid();
    bool is_wanted[EVEN__STOP_SIGNALS];
    *s = (struct even__signals){ .took_any = false };
    for (int i = 0; i < EVEN__STOP_SIGNALS; i++)
        s->took_any |= is_wanted[i] = is_main_thread && (wanted & stops[i].bit) && is_free(stops[i].number, &s->old[i]);
    if (s->took_any)
        set_interrupt(loop, x, options ? options->grace : 0);
    struct sigaction ours = { .sa_handler = on_signal };
    sigemptyset(&ours.sa_mask);
    for (int i = 0; i < EVEN__STOP_SIGNALS; i++)
        s->took[i] = is_wanted[i] && sigaction(stops[i].number, &ours, NULL) == 0;
}

void even__signals_give_back(struct even__signals *s)
{
    for (int i = 0; i < EVEN__STOP_SIGNALS; i++)
        if (s->took[i])
            sigaction(stops[i].number, &s->old[i], NULL);
    if (s->took_any)
        interrupt.main = NULL;
}

int even__signals_stopped(const struct even__signals *s, const even_awaitable *x)
{
    return s->took_any && interrupt.told && x->status == -ECANCELED ? interrupt.number : 0;
}

void even__die_of(int number)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    fflush(NULL);           /* all that exit() would still do */
    sigaction(number, &standard, NULL);
    raise(number);
}

/* It may have come as the run ended. */
int even__signals_deadly(const struct even__signals *s)
{
    return s->took_any && (interrupt.second || (interrupt.pending && has_asked())) ? interrupt.last : 0;
}

/* ---- the exit ---- */

/* A shell goes on with its script, or its loop, after a program that gave 130 by itself: Ctrl-C is to end that, too. So a program
 * that a signal ended, and whose main() gives what even_main() gave it, dies of that signal in the end. */
static volatile int ended_by, dies_of;

static void look_at_exit_status(int status, void *unused)
{
    (void)unused;
    dies_of = status == EVEN__BY_SIGNAL + ended_by ? ended_by : 0;
}

__attribute__((destructor)) static void die_as_interrupted(void)
{
    if (dies_of)
        even__die_of(dies_of);
}

int even__exit_by(int number)
{
    if (number && !ended_by)
        (void)on_exit(look_at_exit_status, NULL);
    ended_by = number;
    return number ? EVEN__BY_SIGNAL + number : 0;
}
