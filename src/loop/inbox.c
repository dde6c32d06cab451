/* Wake-ups from other threads and from signal handlers.
 *
 * A push is one compare-and-swap, and a write to the wake-up descriptor only if the loop sleeps. That the loop does not
 * fall asleep over a push: it says `asleep` first and looks at the inbox then; the push fills the inbox first and looks
 * at `asleep` then; in the total order of these four (all seq_cst) one of the two sees the other.
 */
#include "../base/sys.h"
#include "loop.h"
#include <sys/eventfd.h>
#include <unistd.h>

/* The end of the stack: a handle that was pushed has a link in any case, so that a second push is noticed. */
static even_handle end;

int even_call_soon_threadsafe(even_loop *loop, even_handle *h)
{
    if (__atomic_load_n(&loop->closing, __ATOMIC_ACQUIRE))
        return -EVEN_ECLOSED;
    if (even__unlikely(h->next || h->prev) &&
        even__handle_is_taken(h, "even_call_soon_threadsafe", __builtin_return_address(0)))
        return -EVEN_ESTATE;
    even_handle *head = atomic_load(&loop->inbox);
    do
        h->prev = head ? head : &end;   /* prev is the link of the stack; next stays NULL until the loop takes it in */
    while (!atomic_compare_exchange_weak(&loop->inbox, &head, h));
    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false)) {
        int saved = errno;
        uint64_t one = 1;
        (void)!write(loop->wake_fd, &one, sizeof one);  /* can only fail when it is full, which wakes as well */
        errno = saved;
    }
    return 0;
}

bool even__inbox_sleep(even_loop *loop)
{
    atomic_store(&loop->asleep, true);
    return atomic_load(&loop->inbox) == NULL;
}

void even__inbox_drain(even_loop *loop)
{
    even_handle *h = atomic_exchange(&loop->inbox, NULL), *first = NULL, *next;
    for (; h; h = next) {   /* a stack: turn it round, so that they run in the order of their pushes */
        next = h->prev == &end ? NULL : h->prev;
        h->prev = first;
        first = h;
    }
    for (; first; first = next) {
        next = first->prev;
        first->prev = NULL;
        even__call_soon(loop, first);
    }
}

static void woken(even_op *op)
{
    even_loop *loop = even__container_of(op, even_loop, wake);
    if (!loop->closing)
        even_op_read(&loop->wake, loop->wake_fd, &loop->wake_value, sizeof loop->wake_value);
}

int even__inbox_open(even_loop *loop)
{
    int fd = (int)even__sys(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (fd < 0)
        return fd;
    loop->wake_fd = fd;
    even_op_init(&loop->wake, loop, NULL);
    loop->wake.complete = woken;
    even_op_read(&loop->wake, fd, &loop->wake_value, sizeof loop->wake_value);
    return 0;
}

void even__inbox_close(even_loop *loop)
{
    if (loop->wake_fd >= 0)
        close(loop->wake_fd);
    loop->wake_fd = -1;
}
