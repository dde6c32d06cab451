/* The limit on io_uring, single-shot: an echo server written by hand. A connection has one operation in flight: a recv,
 * then the send of what came, then a recv again; a pass is one system call for all connections.
 * (Tried, and no cheaper: the send linked to the next recv and its completion skipped; registered files.) */
#include "uring.h"
#include <stdbool.h>
#include <stdint.h>

enum { BUFFER = 65536 };

struct connection {
    int fd;
    bool sending;
    uint32_t from, to;
    char buffer[BUFFER];
};

static int listener;

static void receive(struct connection *c)
{
    struct io_uring_sqe *sqe = limit_sqe();
    io_uring_prep_recv(sqe, c->fd, c->buffer, BUFFER, 0);
    io_uring_sqe_set_data(sqe, c);
    c->sending = false;
}

static void transmit(struct connection *c)
{
    struct io_uring_sqe *sqe = limit_sqe();
    io_uring_prep_send(sqe, c->fd, c->buffer + c->from, c->to - c->from, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data(sqe, c);
    c->sending = true;
}

static void completed(struct io_uring_cqe *cqe)
{
    struct connection *c = io_uring_cqe_get_data(cqe);
    if (!c) {
        if (!(cqe->flags & IORING_CQE_F_MORE))
            limit_accept(listener);
        if (cqe->res < 0)
            return;
        c = malloc(sizeof *c);
        if (!c)
            limit_fail("malloc", errno);
        c->fd = cqe->res;
        receive(c);
    } else if (cqe->res <= 0) {
        close(c->fd);
        free(c);
    } else if (!c->sending) {
        c->from = 0;
        c->to = (uint32_t)cqe->res;
        transmit(c);
    } else if ((c->from += (uint32_t)cqe->res) < c->to) {
        transmit(c);
    } else {
        receive(c);
    }
}

int main(int argc, char **argv)
{
    listener = limit_listen(argc, argv, 0);
    limit_ring();
    limit_accept(listener);
    limit_loop(completed);
}
