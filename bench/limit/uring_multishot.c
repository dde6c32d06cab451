/* The limit on io_uring, multishot: an echo server written by hand. Each connection has one multishot recv that takes its
 * buffers from a ring shared by all, and sends straight out of them; a buffer goes back when its send is over. */
enum { BUFFERS = 4096, BUFFER = 4096, NONE = 0xffff };

#include "buffers.h"

struct connection {
    int fd;
    int references;             /* a recv that is armed, a send in flight */
    uint16_t first, last;       /* buffers to be sent, in order; the first is in flight */
    uint32_t from;              /* what of it was sent */
};

static int listener;
static uint32_t length[BUFFERS];
static uint16_t next[BUFFERS];

/* Completions are told apart by the pointer's last bit. */
enum { RECV = 0, SEND = 1 };

static void receive(struct connection *c)
{
    limit_receive(c->fd, (uintptr_t)c | RECV);
    c->references++;
}

static void transmit(struct connection *c)
{
    struct io_uring_sqe *sqe = limit_sqe();
    unsigned id = c->first;
    io_uring_prep_send(sqe, c->fd, limit_buffer(id) + c->from, length[id] - c->from, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, (uintptr_t)c | SEND);
    c->references++;
}

static void accepted(struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        limit_accept(listener);
    if (cqe->res < 0)
        return;
    struct connection *c = malloc(sizeof *c);
    if (!c)
        limit_fail("malloc", errno);
    *c = (struct connection){ .fd = cqe->res, .first = NONE, .last = NONE };
    receive(c);
}

static void received(struct connection *c, struct io_uring_cqe *cqe)
{
    if (cqe->res > 0) {
        uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        length[id] = (uint32_t)cqe->res;
        next[id] = NONE;
        if (c->first == NONE) {
            c->first = c->last = id;
            c->from = 0;
            transmit(c);
        } else {
            next[c->last] = id;
            c->last = id;
        }
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return;
    c->references--;
    if (cqe->res > 0 || cqe->res == -ENOBUFS)
        receive(c);
}

static void sent(struct connection *c, struct io_uring_cqe *cqe)
{
    unsigned id = c->first;
    c->references--;
    if (cqe->res >= 0 && (c->from += (uint32_t)cqe->res) < length[id]) {
        transmit(c);
        return;
    }
    if (cqe->res < 0)
        shutdown(c->fd, SHUT_RDWR);
    limit_give_back(id);
    c->first = next[id];
    c->from = 0;
    if (c->first != NONE)
        transmit(c);
}

static void completed(struct io_uring_cqe *cqe)
{
    if (!cqe->user_data) {
        accepted(cqe);
        return;
    }
    struct connection *c = (struct connection *)(uintptr_t)(cqe->user_data & ~(uint64_t)SEND);
    if (cqe->user_data & SEND)
        sent(c, cqe);
    else
        received(c, cqe);
    if (c->references == 0) {
        close(c->fd);
        free(c);
    }
}

int main(int argc, char **argv)
{
    listener = limit_listen(argc, argv, 0);
    limit_ring();
    limit_buffers();
    limit_accept(listener);
    limit_loop(completed);
}
