/* Futures: a result that somebody will set. */
#include "kinds.h"
#include "../base/sys.h"

static bool cancel(even_awaitable *x)
{
    even__complete(x, -ECANCELED);
    return true;
}

struct nothing { char c[0]; };
static const even_kind kinds[EVEN__KINDS] = EVEN__KINDS_OF(struct nothing, .name = "future", .borrows = 1, .cancel = cancel);
static struct even__failed without_memory[] = EVEN__FAILED_OF(kinds, -ENOMEM);

even_awaitable *even_future_new_any(size_t result_size, enum even_result_class class)
{
    even_awaitable *x = NULL;
    if (class == EVEN_RESULT_VOID)
        class = EVEN_RESULT_INT;
    if ((class == EVEN_RESULT_INT && result_size != sizeof(int)) || (class == EVEN_RESULT_LONG && result_size != sizeof(long)))
        class = EVEN_RESULT_OTHER;
    if (result_size <= EVEN__RESULT_MAX)
        x = even__zeroed_new(&kinds[even__kind_index(class, result_size)], __builtin_return_address(0));
    return x ? x : &without_memory[class].base;
}
