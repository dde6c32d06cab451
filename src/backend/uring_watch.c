/* Watches: each has a record, a poll of one shot that is armed again in the pass after it came. */
#include "uring.h"
#include "../base/sys.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

/* What epoll says to the descriptor, so that both backends refuse the same. */
static int may_be_watched(int fd)
{
    struct stat st;
    int rc = (int)even__sys(fstat(fd, &st));
    if (rc < 0)
        return rc;
    if (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))
        return 0;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
        return -EPERM;
    /* Devices, eventfd and its like: only epoll itself knows. */
    int epoll = (int)even__sys(epoll_create1(EPOLL_CLOEXEC));
    if (epoll < 0)
        return epoll;
    struct epoll_event e = { .events = EPOLLIN };
    rc = (int)even__sys(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
    close(epoll);
    return rc;
}

int even__uring_watch(even_loop *loop, even_watch *w)
{
    struct even__uring_state *s = loop->backend_state;
    if ((unsigned)w->fd >= EVEN__URING_PORTS_MAX)
        return -EBADF;
    int rc = may_be_watched(w->fd);
    if (rc < 0)
        return rc;
    struct even__uring_port *p = even__uring_port_of(s, w->fd);
    if (!p)
        return -ENOMEM;
    bool in = w->events & POLLIN, out = w->events & POLLOUT;
    if ((in && p->in) || (out && p->out))
        return -EEXIST;
    struct even__uring_record *r = even__calloc(sizeof *r);
    if (!r)
        return -ENOMEM;
    r->watch = w;
    if (in)
        p->in = r;
    if (out)
        p->out = r;
    w->backend = r;
    even__queue_append(&s->arming, &r->link);
    return 0;
}

void even__uring_unwatch(even_loop *loop, even_watch *w)
{
    struct even__uring_state *s = loop->backend_state;
    struct even__uring_record *r = w->backend;
    struct even__uring_port *p = &s->ports[w->fd];
    if (p->in == r)
        p->in = NULL;
    if (p->out == r)
        p->out = NULL;
    w->backend = NULL;
    if (r->in_kernel) {
        r->watch = NULL;
        even__uring_move(&s->disarming, &r->link);
        if (!s->attached)
            even__uring_let_go(s);
    } else {
        even__queue_remove(&r->link);
        even__free(r);
    }
}
