/* shield: ends as x does, and takes the cancellation in its stead. Follows asyncio.shield. */
#include "kinds.h"
#include "../base/sys.h"
#include <string.h>

struct own {
    even_handle done;           /* among the waiters of x */
    even_awaitable *inner;
    even_awaitable *self;
};

static void inner_done(even_handle *h)
{
    struct own *s = even__container_of(h, struct own, done);
    even_awaitable *x = s->inner, *self = s->self;
    s->inner = NULL;
    if (self->state == EVEN_ACTIVE) {
        int status = even_status_of(x);
        if (status == 0)
            memcpy(even__result(self), even__result(x), x->kind->result_size);
        even__complete(self, status);
    }
    even_unref(x);
}

static bool cancel(even_awaitable *self)
{
    even__complete(self, -ECANCELED);
    return true;
}

static void drop(even_awaitable *self)
{
    struct own *s = even__own(self);
    if (s->inner) {
        even__remove_waiter(s->inner, &s->done);
        even_unref(s->inner);
    }
}

static const even_kind kinds[EVEN__KINDS] =
    EVEN__KINDS_OF(struct own, .name = "shield", .borrows = 1, .cancel = cancel, .drop = drop);
static struct even__failed without_memory[] = EVEN__FAILED_OF(kinds, -ENOMEM);
static struct even__failed without_loop[] = EVEN__FAILED_OF(kinds, -EVEN_ENOLOOP);

even_awaitable *even_shield_any(even_awaitable *x)
{
    bool was_inert = x->state == EVEN_INERT;
    const void *site = __builtin_return_address(0);
    even_awaitable *self = NULL;

    if (x->kind->result_size <= EVEN__RESULT_MAX && even__thread.loop)
        self = even__zeroed_new(&kinds[even__kind_index(x->kind->result_class, x->kind->result_size)], site);
    if (!self) {
        unsigned class = x->kind->result_class;
        if (was_inert)
            even__drop_silently(x);
        return even__thread.loop ? &without_memory[class].base : &without_loop[class].base;
    }
    even__create_task(x, NULL, site);
    struct own *s = even__own(self);
    *s = (struct own){ EVEN_HANDLE(inner_done), x, self };
    if (!was_inert)
        even_ref_any(x);        /* borrowed; what it made a task itself is its own, and the loop's */
    int status = even__check_shared(x, even__thread.loop, site);
    if (status < 0) {
        s->inner = NULL;
        if (x->state == EVEN_ACTIVE)
            even_unref(x);
        even__complete(self, status);
    } else {
        even__add_waiter(x, &s->done, even__thread.loop);
    }
    return self;
}
