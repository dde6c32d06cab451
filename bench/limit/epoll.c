/* The limit on epoll: an echo server written by hand. One edge-triggered registration a connection for its whole life;
 * recv and send are tried first; a short recv means that the socket is drained, so that a round trip costs two calls and
 * its share of one epoll_wait. */
#include "listen.h"
#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 1024 };

struct connection {
    int fd;
    bool ended;             /* an EOF or an error may stand behind the data */
    bool drained;           /* nothing to read until the next event */
    size_t from, to;        /* what is still to be sent */
    char buffer[BUFFER];
};

static void drop(struct connection *c)
{
    close(c->fd);
    free(c);
}

static void serve(struct connection *c)
{
    for (;;) {
        while (c->from < c->to) {
            ssize_t n = send(c->fd, c->buffer + c->from, c->to - c->from, MSG_NOSIGNAL);
            if (n < 0) {
                if (errno != EAGAIN)
                    drop(c);
                return;
            }
            c->from += (size_t)n;
        }
        if (c->drained)
            return;
        ssize_t n = recv(c->fd, c->buffer, BUFFER, 0);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                drop(c);
            return;
        }
        c->from = 0;
        c->to = (size_t)n;
        c->drained = n < BUFFER && !c->ended;
    }
}

int main(int argc, char **argv)
{
    int listener = limit_listen(argc, argv, SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0)
        limit_fail("epoll", errno);
    for (;;) {
        static struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c) {
                c->ended |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
                c->drained = false;
                serve(c);
                continue;
            }
            for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
                c = malloc(sizeof *c);
                if (!c)
                    limit_fail("malloc", errno);
                c->fd = fd;
                c->ended = c->drained = false;
                c->from = c->to = 0;
                e = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c };
                if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                    limit_fail("epoll_ctl", errno);
            }
        }
    }
}
