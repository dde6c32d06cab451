/* What the sanitizers are told of stacks and switches. Whichever the program was built with, it is found by weak references: the
 * library itself need not be built with any. Without one, stack.h has all there is to a switch.
 *
 * Uninstrumented: between the telling and the switch nothing may run that keeps its own account of the stack. */
#include "stack.h"
#include "../base/heap.h"
#include <stdlib.h>

#define UNINSTRUMENTED __attribute__((no_sanitize("address"), no_sanitize("thread"), noinline))
#define WEAK __attribute__((weak))

/* AddressSanitizer, and with the same names MemorySanitizer. A fake stack holds the locals whose use after a return it finds. */
void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t size) WEAK;
void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *size) WEAK;
void __asan_unpoison_memory_region(const volatile void *memory, size_t size) WEAK;
void *__asan_addr_is_in_fake_stack(void *fake, void *address, void **from, void **to) WEAK;
/* LeakSanitizer, which is a part of that, or alone. */
void __lsan_register_root_region(const void *memory, size_t size) WEAK;
void __lsan_unregister_root_region(const void *memory, size_t size) WEAK;
/* ThreadSanitizer. */
void *__tsan_get_current_fiber(void) WEAK;
void *__tsan_create_fiber(unsigned flags) WEAK;
void __tsan_destroy_fiber(void *fiber) WEAK;
void __tsan_switch_to_fiber(void *fiber, unsigned flags) WEAK;

bool even__sanitized;

/* ---- stacks ---- */

static size_t usable(const struct even__stack *stack)
{
    return (size_t)((const char *)stack - stack->low);
}

static void keep(void *memory, size_t size)
{
    __lsan_register_root_region(memory, size);
}

/* The frames of a fake stack that is left, if there is one; its size, which nobody tells, depends on that of the stack. */
static void keep_frames(void *fake, size_t size)
{
    enum { SMALLEST = 64, CLASSES = 11, LEAST = 1 << 16, MOST = 1 << 20 };
    size_t of_a_class = LEAST;
    while (of_a_class < size && of_a_class < MOST)
        of_a_class *= 2;
    char *end = fake ? (char *)fake + (CLASSES + 1) * of_a_class : NULL;
    for (char *p = fake; p < end; p += SMALLEST) {
        void *from, *to;
        if (__asan_addr_is_in_fake_stack(fake, p, &from, &to)) {
            keep(from, (size_t)((char *)to - (char *)from));
            p = (char *)to - SMALLEST;
        }
    }
}

static void keep_frames_of(struct even__stack *stack)
{
    keep_frames(stack->fiber, usable(stack));
}

/* Somebody called exit() while there were tasks. No leak is what their objects know, and the stacks that are left: those of tasks
 * and, if it was a task, the thread's own. */
static void at_exit(void)
{
    if (even__heap_live() > 0)
        even__heap_chunks(keep);
    even__stacks_each(keep_frames_of);
    const struct even__root *left = even__thread.left;
    if (left && left->bottom) {
        char *sp = left->context.sp;
        keep(sp, (size_t)((const char *)left->bottom + left->size - sp));
        keep_frames(left->fiber, left->size);
    }
}

void even__sanitizer_find(void)
{
    even__sanitized = __sanitizer_start_switch_fiber || __lsan_register_root_region || __tsan_switch_to_fiber;
    if (__lsan_register_root_region)
        atexit(at_exit);    /* it comes before the sanitizer's own, which was registered earlier */
}

/* From the one to the other, what a stack alone knows is no leak. */
static void begins(struct even__stack *stack)
{
    if (__lsan_register_root_region)
        keep(stack->low, stack->size);
}

static void ends(struct even__stack *stack)
{
    if (__lsan_unregister_root_region)
        __lsan_unregister_root_region(stack->low, stack->size);
}

/* Its fake stack goes as if it were entered and left for the last time; nothing is switched. */
static UNINSTRUMENTED void drop_fake_stack(struct even__stack *stack)
{
    void *fake;
    const void *bottom;
    size_t size;
    __sanitizer_start_switch_fiber(&fake, stack->low, usable(stack));
    __sanitizer_finish_switch_fiber(stack->fiber, &bottom, &size);
    __sanitizer_start_switch_fiber(NULL, bottom, size);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

void even__sanitizer_abandon(struct even__stack *stack)
{
    ends(stack);
    if (__sanitizer_start_switch_fiber && stack->fiber)
        drop_fake_stack(stack);
    even__sanitizer_end(stack->fiber);
    stack->fiber = NULL;
    even__sanitizer_unmap(stack->low, stack->size);
}

/* Frames that were not unwound have marked what lies around their locals. */
void even__sanitizer_unmap(void *memory, size_t size)
{
    if (__asan_unpoison_memory_region)
        __asan_unpoison_memory_region(memory, size);
}

void even__sanitizer_end(void *fiber)
{
    if (__tsan_destroy_fiber && fiber)
        __tsan_destroy_fiber(fiber);
}

/* ---- switches ---- */

UNINSTRUMENTED void even__sanitizer_enter(struct even__root *root, struct even__stack *stack)
{
    struct even__root *outer = even__thread.left;   /* a run in a child that was forked in a task */
    even__thread.left = root;
    if (__tsan_switch_to_fiber) {
        if (!stack->fiber)
            stack->fiber = __tsan_create_fiber(0);
        root->fiber = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(stack->fiber, 0);
    }
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&root->fiber, stack->low, usable(stack));
    even__switch_asm(&root->context, &stack->context);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(root->fiber, NULL, NULL);
    even__thread.left = outer;
}

UNINSTRUMENTED void even__sanitizer_leave(struct even__root *root, struct even__stack *stack)
{
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(root->fiber, 0);
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&stack->fiber, root->bottom, root->size);
    even__switch_asm(&stack->context, &root->context);
    if (__sanitizer_finish_switch_fiber) {
        __sanitizer_finish_switch_fiber(stack->fiber, &root->bottom, &root->size);
        stack->fiber = NULL;
    }
}

UNINSTRUMENTED void even__sanitizer_exit(struct even__root *root, struct even__stack *stack)
{
    ends(stack);
    if (__tsan_switch_to_fiber)
        __tsan_switch_to_fiber(root->fiber, 0);
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(NULL, root->bottom, root->size);     /* its fake stack goes with it */
    even__switch_asm(&stack->context, &root->context);
    __builtin_unreachable();
}

UNINSTRUMENTED void even__sanitizer_begin(struct even__root *root, struct even__stack *stack)
{
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(NULL, &root->bottom, &root->size);
    begins(stack);
}
