/* Entering and leaving stacks, with AddressSanitizer and ThreadSanitizer told about each switch. Uninstrumented: between the
 * telling and the switch nothing may run that keeps its own account of the stack. */
#include "stack.h"

#ifdef EVEN__ASAN
#include <sanitizer/common_interface_defs.h>
#define UNINSTRUMENTED __attribute__((no_sanitize("address"), noinline))
#elif defined(EVEN__TSAN)
#include <sanitizer/tsan_interface.h>
#define UNINSTRUMENTED __attribute__((no_sanitize("thread"), noinline))
#else
#define UNINSTRUMENTED
#endif

UNINSTRUMENTED void even__stack_enter(struct even__root *root, struct even__stack *stack)
{
#ifdef EVEN__ASAN
    void *fake;
    __sanitizer_start_switch_fiber(&fake, stack->low, (size_t)((char *)stack - stack->low));
#elif defined(EVEN__TSAN)
    root->fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(stack->fiber, 0);
#endif
    even__switch_asm(&root->context, &stack->context);
#ifdef EVEN__ASAN
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
#endif
}

UNINSTRUMENTED void even__stack_leave(struct even__root *root, struct even__stack *stack)
{
#ifdef EVEN__ASAN
    __sanitizer_start_switch_fiber(&stack->fiber, root->bottom, root->size);
#elif defined(EVEN__TSAN)
    __tsan_switch_to_fiber(root->fiber, 0);
#endif
    even__switch_asm(&stack->context, &root->context);
#ifdef EVEN__ASAN
    __sanitizer_finish_switch_fiber(stack->fiber, &root->bottom, &root->size);
#endif
}

UNINSTRUMENTED void even__stack_exit(struct even__root *root, struct even__stack *stack)
{
#ifdef EVEN__ASAN
    __sanitizer_start_switch_fiber(NULL, root->bottom, root->size);    /* its fake stack goes with it */
#elif defined(EVEN__TSAN)
    __tsan_switch_to_fiber(root->fiber, 0);
#endif
    even__switch_asm(&stack->context, &root->context);
    __builtin_unreachable();
}

UNINSTRUMENTED void even__stack_begin(struct even__root *root)
{
    (void)root;
#ifdef EVEN__ASAN
    __sanitizer_finish_switch_fiber(NULL, &root->bottom, &root->size);
#endif
}
