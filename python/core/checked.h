/* The rule of every call into Python: what was checked before it may be otherwise after it. A method, a finalizer, a signal
 * handler may have closed, aborted, paused, written, exchanged the protocol, closed the loop.
 *
 * So what is used after such a call is either looked up again, or the call is made through call_checked(), which says whether
 * anything that matters was changed meanwhile. Each object counts what matters of it: an end, a loss, a pause, an exchange, a
 * release. scripts/check-calls.py lists the calls in python/core that do neither. */
#ifndef EVENLOOP_PYTHON_CHECKED_H
#define EVENLOOP_PYTHON_CHECKED_H

enum kept { CHANGED, KEPT };

static inline __attribute__((warn_unused_result)) enum kept kept_since(unsigned before, unsigned now)
{
    return before == now ? KEPT : CHANGED;
}

/* Make a call, an expression or an assignment; `count` is the object's, which must outlive the call. */
#define call_checked(count, ...)                                                                                       \
    __extension__({                                                                                                    \
        const unsigned even_before = (count);                                                                          \
        __VA_ARGS__;                                                                                                   \
        kept_since(even_before, (count));                                                                              \
    })

#endif
