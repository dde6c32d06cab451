/* What the library knows of a thread: its only thread-local variable. Each part belongs to the room that its comment names; this
 * room knows them as pointers. */
#ifndef EVEN__THREAD_H
#define EVEN__THREAD_H

#include "base.h"

struct even_loop;
struct even__task;
struct even__heap;
struct even__pool;

/* Where a stack that was left goes on. */
struct even__context {
    void *sp, *fp, *pc;
};

/* The thread's own stack, while a task runs on another. */
struct even__root {
    struct even__context context;
    void *fiber;                    /* ThreadSanitizer's, or AddressSanitizer's fake stack while it is left, */
    const void *bottom;             /* and what that knows of the stack itself */
    size_t size;
};

enum { EVEN__THREAD_ENDS = 4 };

struct even__thread {
    struct even_loop *loop;         /* loop: the one that runs */
    struct even__task *task;        /* await: the one that runs */
    struct even__heap *heap;        /* base */
    struct even__pool *stacks;      /* stack */
    struct even__root root;
    struct even__root *left;        /* stack: `root` while a sanitizer is told of switches and a task runs */
    int *errno_location;            /* await: errno belongs to the task, and is kept over each switch */
    void *to_release;               /* await: objects whose last reference is gone, while one of them is being released */
    int32_t last_status;            /* await: of an await or a run outside of tasks */
    uint32_t walks;                 /* await: the number of the last walk of a cancellation */
    bool releases;                  /* await: such an object */
    bool watches_overflow;          /* stack */
    uint8_t ends_count;
    uint64_t number;                /* see even__thread_number() */
    void *alternate_stack;          /* stack: on which an overflow is told */
    struct {
        const char *kind;
        const void *place;
        unsigned long untold;
    } report;                       /* base: the one that is about to be made */
    char unknown_error[64];         /* base: the words of even_strerror() for a number that has none */
    void (*ends[EVEN__THREAD_ENDS])(void);
};
extern __thread struct even__thread even__thread __attribute__((tls_model("initial-exec")));

/* Call `end` in this thread when it ends: the last that was asked for comes first. Each function is called once, however often it
 * was asked for. 0, or a negative errno, and it will not be called. */
int even__thread_at_end(void (*end)(void));

/* The thread's number: never 0, and never another thread's, while pthread's and the kernel's are used again. */
uint64_t even__thread_new_number(void);
static inline uint64_t even__thread_number(void)
{
    return even__likely(even__thread.number) ? even__thread.number : even__thread_new_number();
}

#endif
