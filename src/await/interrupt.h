/* The signals that end a run. */
#ifndef EVEN__INTERRUPT_H
#define EVEN__INTERRUPT_H

#include "await.h"
#include <signal.h>

enum { EVEN__STOP_SIGNALS = 2, EVEN__BY_SIGNAL = 128 };

/* What a run changed, to be put back. */
struct even__signals {
    struct sigaction old[EVEN__STOP_SIGNALS];
    bool took[EVEN__STOP_SIGNALS], took_any;
};

/* From now on they are for this run, as far as `options` say so, this is the main thread, and nobody else handles them. */
void even__signals_take(struct even__signals *s, even_loop *loop, even_awaitable *x, const even_run_options *options);
void even__signals_give_back(struct even__signals *s);
/* The signal that ended the run; and the one, the second, that is to end the program. 0: none. */
int even__signals_stopped(const struct even__signals *s, const even_awaitable *x);
int even__signals_deadly(const struct even__signals *s);

/* As if nobody handled it. */
void even__die_of(int number);
/* The exit status of a program whose run it ended; 0 for none. One that exits with that dies of it in the end. */
int even__exit_by(int number);

#endif
