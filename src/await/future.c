/* Futures: a result that somebody will set. */
#include "kinds.h"
#include "../base/sys.h"

static bool cancel(even_awaitable *x)
{
    even__complete(x, -ECANCELED);
    return true;
}

struct nothing { char c[8]; };
static const even_kind kinds[EVEN__KINDS] = EVEN__KINDS_OF(struct nothing, .name = "future", .borrows = 1, .cancel = cancel);
static struct even__failed without_memory[] = EVEN__FAILED_OF(kinds, -ENOMEM);

even_awaitable *even_future_new_any(size_t result_size)
{
    if (result_size > EVEN__RESULT_MAX)
        return &without_memory[EVEN_RESULT_OTHER].base;
    even_awaitable *x = even_awaitable_new(&kinds[even__kind_index(EVEN_RESULT_OTHER, result_size)]);
    return x ? x : &without_memory[EVEN_RESULT_OTHER].base;
}
