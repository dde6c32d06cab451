/* Watches: as long as a descriptor has one, it is registered level-triggered. */
#include "epoll.h"
#include "../base/sys.h"
#include <poll.h>

int even__epoll_watch(even_loop *loop, even_watch *w)
{
    struct even__epoll_state *e = loop->backend_state;
    bool in = w->events & POLLIN, out = w->events & POLLOUT;

    if (!in && !out)
        return -EINVAL;
    struct even__epoll_slot *s = even__epoll_find(e, w->fd);
    if (!s) {
        struct pollfd p = { w->fd, 0, 0 };
        if (w->fd < 0 || even__sys(poll(&p, 1, 0)) < 0 || p.revents & POLLNVAL)
            return -EBADF;
        if (!(s = even__epoll_find_or_grow(e, w->fd)))
            return -ENOMEM;
    }
    if ((in && s->watch[EVEN__IN]) || (out && s->watch[EVEN__OUT]))
        return -EEXIST;
    if (in)
        s->watch[EVEN__IN] = w;
    if (out)
        s->watch[EVEN__OUT] = w;
    int rc = even__epoll_update(loop, w->fd, s, true);
    if (rc < 0) {
        if (in)
            s->watch[EVEN__IN] = NULL;
        if (out)
            s->watch[EVEN__OUT] = NULL;
        even__epoll_refused(loop, s, rc);
    }
    return rc;
}

void even__epoll_unwatch(even_loop *loop, even_watch *w)
{
    struct even__epoll_state *e = loop->backend_state;
    struct even__epoll_slot *s = even__epoll_find(e, w->fd);

    if (s->watch[EVEN__IN] != w && s->watch[EVEN__OUT] != w)
        return;     /* its descriptor was closed before it */
    for (int list = EVEN__IN; list <= EVEN__OUT; list++)
        if (s->watch[list] == w)
            s->watch[list] = NULL;
    even__epoll_update_or_end(loop, w->fd, s);
}
