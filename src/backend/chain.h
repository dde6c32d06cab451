/* Operations in the order of their starts, without a head: a pointer to the first of a circle, NULL for none. For what stands
 * in a table that moves as it grows. */
#ifndef EVEN__CHAIN_H
#define EVEN__CHAIN_H

#include "../loop/queue.h"

static inline even_op *even__op_of(even_handle *h)
{
    return even__container_of(h, even_op, handle);
}

static inline void even__chain_append(even_op **first, even_op *op)
{
    if (*first) {
        even__queue_append(&(*first)->handle, &op->handle);
    } else {
        even__check(op->handle.next == NULL);
        op->handle.next = op->handle.prev = &op->handle;
        *first = op;
    }
}

static inline void even__chain_remove(even_op **first, even_op *op)
{
    if (*first == op)
        *first = op->handle.next == &op->handle ? NULL : even__op_of(op->handle.next);
    even__queue_remove(&op->handle);
}

#endif
