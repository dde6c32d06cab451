/* Stacks for tasks: a pool of a few size classes, guarded, reused last in first out while they are hot.
 *
 *     low                                                                high
 *     | guard, 64 KiB | what the task may use ...... | struct even__stack |
 *
 * The descriptor stands in the page where the task's first frames are, or the one above: 4 KiB more than it asked for. */
#ifndef EVEN__STACK_H
#define EVEN__STACK_H

#include "../base/base.h"
#include "switch.h"

enum { EVEN__STACK_DEFAULT = 64 * 1024, EVEN__GUARD = 64 * 1024, EVEN__STACK_OWN = 4096 };

struct even__stack {
    struct even__context context;   /* where it is to go on */
    struct even__stack *next;       /* in the pool's list of idle ones */
    char *low;                      /* the lowest usable byte: the guard ends here */
    uint32_t size;                  /* from there on, this and EVEN__STACK_OWN included */
    uint32_t class;
    void *fiber;                    /* ThreadSanitizer's, or AddressSanitizer's fake stack while it is left */
};

/* A stack of at least `size` bytes (0: the default), from this thread's pool; NULL and *error (-ENOMEM, -EINVAL for more than
 * the largest class). At the limit of mappings a report says so. */
struct even__stack *even__stack_get(size_t size, int *error);
/* Back to the pool of this thread. */
void even__stack_put(struct even__stack *stack);

/* Give the pages of idle stacks back, all but the `keep` hottest of each class. (Those that nobody wanted for a while are given
 * back without being asked.) */
void even__stacks_trim(unsigned keep);

/* Those of this thread's pool that are, or were, in use. */
void even__stacks_each(void (*visit)(struct even__stack *stack));

/* Bytes that were ever used of it since it was mapped or trimmed. */
size_t even__stack_high_water(const struct even__stack *stack);

/* To be entered from its beginning: even__stack_main(). */
static inline void even__stack_reset(struct even__stack *s)
{
    s->context = (struct even__context){ (void *)((uintptr_t)s & ~(uintptr_t)15), NULL,
                                         (void *)(uintptr_t)even__stack_entry };
}

/* ---- switching ---- */

/* Is there a sanitizer in the program, whatever the library was built with? Then it is told of stacks and switches, by the
 * functions of switch.c. Known with the process's first stack. */
extern bool even__sanitized __attribute__((visibility("hidden")));
void even__sanitizer_find(void);
void even__sanitizer_enter(struct even__root *root, struct even__stack *stack);
void even__sanitizer_leave(struct even__root *root, struct even__stack *stack);
void even__sanitizer_exit(struct even__root *root, struct even__stack *stack) __attribute__((noreturn));
void even__sanitizer_begin(struct even__root *root, struct even__stack *stack);
void even__sanitizer_abandon(struct even__stack *stack);
void even__sanitizer_unmap(void *memory, size_t size);
void even__sanitizer_end(void *fiber);

/* Inline, and so is what calls them: each function less that returns after a switch (base.h). */
#define EVEN__SWITCHING static inline __attribute__((always_inline))

/* From the loop onto a stack, until it leaves. `told`: a sanitizer is. */
EVEN__SWITCHING void even__stack_enter(struct even__root *root, struct even__stack *stack, bool told)
{
    if (told)
        even__sanitizer_enter(root, stack);
    else
        even__switch_asm(&root->context, &stack->context);
}

/* From the stack to the loop, until it is entered again. */
EVEN__SWITCHING void even__stack_leave(struct even__root *root, struct even__stack *stack, bool told)
{
    if (told)
        even__sanitizer_leave(root, stack);
    else
        even__switch_asm(&stack->context, &root->context);
}

/* The same for the last time. */
EVEN__SWITCHING __attribute__((noreturn)) void even__stack_exit(struct even__root *root, struct even__stack *stack, bool told)
{
    if (told)
        even__sanitizer_exit(root, stack);
    even__switch_asm(&stack->context, &root->context);
    __builtin_unreachable();
}

/* The first thing on a new stack. */
EVEN__SWITCHING void even__stack_begin(struct even__root *root, struct even__stack *stack)
{
    if (even__unlikely(even__sanitized))
        even__sanitizer_begin(root, stack);
}

/* A stack that was left will never be entered again; its frames stay as they are. */
static inline void even__stack_abandon(struct even__stack *stack)
{
    if (even__sanitized)
        even__sanitizer_abandon(stack);
}

/* What runs on a new stack: the layer above defines it. It never returns. */
void even__stack_main(void) __attribute__((noreturn));

/* ---- overflow ---- */

/* Whose stack it is. */
struct even__runner {
    const char *name;               /* NULL: it is called "Task-<id>" */
    const char *kind;
    uint32_t id;
};

/* Install the handler for this thread, where SIGSEGV has none: says which task overflowed which stack, then dies as before.
 * `describe` gives the running task's stack and fills in whose it is, or gives NULL; it is called from the handler. */
void even__overflow_watch(const struct even__stack *(*describe)(struct even__runner *who));

#endif
