/* Entering and leaving stacks, with AddressSanitizer and ThreadSanitizer told about each switch. Uninstrumented: between the
 * telling and the switch nothing may run that keeps its own account of the stack. Without a sanitizer, see stack.h. */
#include "stack.h"

#ifdef EVEN__ASAN
#include <sanitizer/common_interface_defs.h>
#define UNINSTRUMENTED __attribute__((no_sanitize("address"), noinline))

UNINSTRUMENTED void even__stack_enter(struct even__root *root, struct even__stack *stack)
{
    void *fake;
    __sanitizer_start_switch_fiber(&fake, stack->low, (size_t)((char *)stack - stack->low));
    even__switch_asm(&root->context, &stack->context);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

UNINSTRUMENTED void even__stack_leave(struct even__root *root, struct even__stack *stack)
{
    __sanitizer_start_switch_fiber(&stack->fiber, root->bottom, root->size);
    even__switch_asm(&stack->context, &root->context);
    __sanitizer_finish_switch_fiber(stack->fiber, &root->bottom, &root->size);
}

UNINSTRUMENTED void even__stack_exit(struct even__root *root, struct even__stack *stack)
{
    __sanitizer_start_switch_fiber(NULL, root->bottom, root->size);    /* its fake stack goes with it */
    even__switch_asm(&stack->context, &root->context);
    __builtin_unreachable();
}

UNINSTRUMENTED void even__stack_begin(struct even__root *root)
{
    __sanitizer_finish_switch_fiber(NULL, &root->bottom, &root->size);
}

#elif defined(EVEN__TSAN)
#include <sanitizer/tsan_interface.h>
#define UNINSTRUMENTED __attribute__((no_sanitize("thread"), noinline))

UNINSTRUMENTED void even__stack_enter(struct even__root *root, struct even__stack *stack)
{
    root->fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(stack->fiber, 0);
    even__switch_asm(&root->context, &stack->context);
}

UNINSTRUMENTED void even__stack_leave(struct even__root *root, struct even__stack *stack)
{
    __tsan_switch_to_fiber(root->fiber, 0);
    even__switch_asm(&stack->context, &root->context);
}

UNINSTRUMENTED void even__stack_exit(struct even__root *root, struct even__stack *stack)
{
    __tsan_switch_to_fiber(root->fiber, 0);
    even__switch_asm(&stack->context, &root->context);
    __builtin_unreachable();
}

UNINSTRUMENTED void even__stack_begin(struct even__root *root)
{
    (void)root;
}
#endif
