/* What is remembered of each descriptor, and its registration with epoll. */
#include "epoll.h"
#include "../base/sys.h"
#include <string.h>
#include <unistd.h>

struct even__epoll_slot *even__epoll_find_or_grow(struct even__epoll_state *e, int fd)
{
    if (even__likely((uint32_t)fd < e->slots))
        return &e->slot[fd];
    uint32_t slots = e->slots ? e->slots : 64;
    while (slots <= (uint32_t)fd)
        slots *= 2;
    struct even__epoll_slot *slot = even__realloc(e->slot, slots * sizeof *slot);
    if (!slot)
        return NULL;
    memset(slot + e->slots, 0, (slots - e->slots) * sizeof *slot);
    e->slot = slot;
    e->slots = slots;
    return &slot[fd];
}

void even__epoll_finish_all(struct even__epoll_state *e, struct even__epoll_slot *s, int result)
{
    for (int list = 0; list < EVEN__EPOLL_LISTS; list++) {
        while (s->pending[list]) {
            even_op *op = s->pending[list];
            even__chain_remove(&s->pending[list], op);
            even__epoll_finish(e, op, result);
        }
    }
}

static int control(even_loop *loop, int what, int fd, const struct even__epoll_slot *s, uint32_t events)
{
    struct even__epoll_state *e = loop->backend_state;
    struct epoll_event event = { .events = events, .data.u64 = (uint64_t)s->generation << 32 | (uint32_t)fd };
    if (loop->pid != getpid())      /* the set is shared with the parent: it is the parent's */
        return -EVEN_EFORK;
    return (int)even__sys(epoll_ctl(e->fd, what, fd, &event));
}

uint32_t even__epoll_wanted(const struct even__epoll_slot *s)
{
    uint32_t events = s->pending[EVEN__ANY] ? s->polled : 0;

    if (!even__epoll_is_watched(s)) {
        bool waits = s->pending[EVEN__IN] || s->pending[EVEN__OUT] || s->pending[EVEN__ANY];
        /* An edge-triggered registration costs nothing while nobody waits: it stays. */
        return waits || s->events == EVEN__EPOLL_EDGE ? EVEN__EPOLL_EDGE : 0;
    }
    if (s->watch[EVEN__IN] || s->pending[EVEN__IN])
        events |= EPOLLIN;
    if (s->watch[EVEN__OUT] || s->pending[EVEN__OUT])
        events |= EPOLLOUT;
    return events;
}

int even__epoll_update(even_loop *loop, int fd, struct even__epoll_slot *s, bool make_sure)
{
    uint32_t events = even__epoll_wanted(s);
    if (events == s->events && !make_sure)
        return 0;
    if (!events) {
        control(loop, EPOLL_CTL_DEL, fd, s, 0);     /* fails if it was closed, which is as good */
        s->events = 0;
        s->generation++;
        return 0;
    }
    bool known = s->events != 0;
    int rc = control(loop, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, s, events);
    if (rc == (known ? -ENOENT : -EEXIST))
        rc = control(loop, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, s, events);
    s->events = rc < 0 ? 0 : events;
    s->dry = 0;     /* whichever call it was, epoll tells at once of what is ready */
    return rc;
}

void even__epoll_update_or_end(even_loop *loop, int fd, struct even__epoll_slot *s)
{
    int rc = even__epoll_update(loop, fd, s, false);
    if (even__unlikely(rc < 0))
        even__epoll_refused(loop, s, rc);
}

void even__epoll_refused(even_loop *loop, struct even__epoll_slot *s, int rc)
{
    even__epoll_finish_all(loop->backend_state, s, rc);
    for (int i = EVEN__IN; i <= EVEN__OUT; i++)
        if (s->watch[i])
            even__watch_ready(s->watch[i], EPOLLERR);
}

void even__epoll_forget(even_loop *loop, int fd)
{
    struct even__epoll_slot *s = even__epoll_find(loop->backend_state, fd);
    if (!s)
        return;
    if (s->events && s->events != EVEN__EPOLL_EDGE)     /* an edge of a duplicate does no harm, a level would be told for ever */
        control(loop, EPOLL_CTL_DEL, fd, s, 0);
    even__epoll_finish_all(loop->backend_state, s, -ECANCELED);
    *s = (struct even__epoll_slot){ .generation = s->generation + 1 };
}
