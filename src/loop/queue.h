/* Circular lists of embedded handles. A head is a handle that stands for itself; one that stands in no list has
 * next == NULL. Unlinking needs no list, so whoever owns a handle can always take it back. */
#ifndef EVEN__QUEUE_H
#define EVEN__QUEUE_H

#include "../base/base.h"
#include <evenloop/loop.h>

static inline void even__queue_init(even_handle *head)
{
    head->next = head->prev = head;
    head->run = NULL;
}

static inline bool even__queue_is_empty(const even_handle *head)
{
    return head->next == head;
}

static inline void even__queue_append(even_handle *head, even_handle *h)
{
    even__check(h->next == NULL);
    even_handle *last = head->prev;
    h->next = head;
    h->prev = last;
    last->next = h;
    head->prev = h;
}

static inline void even__queue_remove(even_handle *h)
{
    h->prev->next = h->next;
    h->next->prev = h->prev;
    h->next = h->prev = NULL;
}

/* Move all of `from` to the end of `to`. */
static inline void even__queue_splice(even_handle *to, even_handle *from)
{
    if (even__queue_is_empty(from))
        return;
    even_handle *first = from->next, *last = from->prev;
    first->prev = to->prev;
    to->prev->next = first;
    last->next = to;
    to->prev = last;
    from->next = from->prev = from;
}

#endif
