/* A clock of the program's: a loop.time() that is not ours. */
#ifndef EVENLOOP_PYTHON_CLOCK_H
#define EVENLOOP_PYTHON_CLOCK_H

#include "loop.h"

/* Find out whether the loop's class has a time() of its own. */
void loop_look_for_clock(struct loop *loop);
/* Does time() mean anything else than the core's clock? */
static inline bool loop_has_own_clock(struct loop *loop)
{
    if (!loop->time_version || loop->time_version != Py_TYPE(loop)->tp_version_tag)
        loop_look_for_clock(loop);
    return loop->class_time || loop->own_time;
}
void loop_change_clock(struct loop *loop);
/* asyncio's timers go by time(). So do ours: to be called where it may have changed what that means, while the loop is open. */
static inline void loop_follow_clock(struct loop *loop)
{
    if (loop_has_own_clock(loop) != loop->by_own_clock)
        loop_change_clock(loop);
}

#endif
