/* On epoll: one edge-triggered registration a connection; recv and send at once; a short recv means that nothing is left. */
#include "bare.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BUFFER = 65536, EVENTS = 1024 };

/* Sends what it can. A failure stands behind the data as an event. */
static int transmit(struct transport *t)
{
    while (t->sending) {
        ssize_t n = send(t->fd, PyBytes_AS_STRING(t->sending) + t->sent, (size_t)(PyBytes_GET_SIZE(t->sending) - t->sent),
                         MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            n = PyBytes_GET_SIZE(t->sending) - t->sent;
        if ((t->sent += n) == PyBytes_GET_SIZE(t->sending) && bare_next(t) < 0)
            return -1;
    }
    return 0;
}

static int epoll_write(struct transport *t, PyObject *bytes)
{
    if (t->sending)
        return bare_keep(t, bytes);
    t->sending = Py_NewRef(bytes);
    return transmit(t);
}

static int serve(struct transport *t)
{
    static char buffer[BUFFER];
    if (transmit(t) < 0)
        return -1;
    for (ssize_t n = BUFFER; n == BUFFER || t->ended;) {
        n = recv(t->fd, buffer, BUFFER, 0);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return bare_drop(t);
        if (bare_received(t, buffer, n) < 0)
            return -1;
    }
    return 0;
}

static int accept_all(int epoll, int listener)
{
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct transport *t = bare_accepted(fd);
        if (!t)
            return -1;
        struct epoll_event e = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = t };
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    return 0;
}

static int epoll_serve(int listener)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll < 0 || fcntl(listener, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    for (;;) {
        static struct epoll_event events[EVENTS];
        int n;
        Py_BEGIN_ALLOW_THREADS
        n = epoll_wait(epoll, events, EVENTS, -1);
        Py_END_ALLOW_THREADS
        if (n < 0 && PyErr_CheckSignals() < 0)
            return -1;
        for (int i = 0; i < n; i++) {
            struct transport *t = events[i].data.ptr;
            if (t)
                t->ended |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            if ((t ? serve(t) : accept_all(epoll, listener)) < 0)
                return -1;
        }
    }
}

const struct engine bare_epoll = { epoll_serve, epoll_write };
