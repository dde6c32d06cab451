/* What must hold of the epoll backend between two polls. */
#include "epoll.h"

/* Those that wait in a list of a descriptor, added to *n. */
static bool chain_is_valid(even_loop *loop, const struct even__epoll_slot *s, int fd, int list, size_t *n)
{
    even_op *first = s->pending[list], *op = first;
    do {
        if (!op->handle.next || op->handle.next->prev != &op->handle || op->loop != loop || op->fd != fd ||
            op->state != EVEN__OP_PENDING || even__op_row(op)->waits != list)
            return false;
        if (list == EVEN__ANY && even__epoll_asked(op) & ~s->polled)
            return false;
        op = even__op_of(op->handle.next);
        ++*n;
    } while (op != first);
    return true;
}

static bool slot_is_valid(even_loop *loop, const struct even__epoll_slot *s, int fd, size_t *n)
{
    bool waits = false;
    for (int list = 0; list < EVEN__EPOLL_LISTS; list++) {
        if (!s->pending[list])
            continue;
        waits = true;
        if (!chain_is_valid(loop, s, fd, list, n))
            return false;
    }
    for (int i = EVEN__IN; i <= EVEN__OUT; i++)
        if (s->watch[i] && (s->watch[i]->loop != loop || s->watch[i]->fd != fd))
            return false;
    /* Who waits is registered; and a direction is only known to be dry where the next edge of it will be told. */
    return (!waits || (s->events && !(even__epoll_wanted(s) & ~s->events))) && (!s->dry || s->events == EVEN__EPOLL_EDGE);
}

bool even__epoll_is_valid(even_loop *loop)
{
    struct even__epoll_state *e = loop->backend_state;
    size_t n = 0;
    if (!even__list_is_valid(loop, &e->done))
        return false;
    for (even_handle *h = e->done.next; h != &e->done; h = h->next, n++)
        if (even__op_of(h)->state != EVEN__EPOLL_DONE || even__op_of(h)->loop != loop)
            return false;
    for (uint32_t fd = 0; fd < e->slots; fd++)
        if (!slot_is_valid(loop, &e->slot[fd], (int)fd, &n))
            return false;
    loop->walked += e->slots + n;
    return n == loop->operations;
}
