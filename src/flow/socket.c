/* A socket as the end of a source and of a sink: by the operation of a receiver, which the backend carries out as it can best,
 * and by sends. */
#include "sink.h"
#include "source.h"
#include "../base/sys.h"

static void over(even_op *op)
{
    even_receiver *r = even__container_of(op, even_receiver, op);
    int32_t result = op->result;
    if (result == -ENOBUFS && !(op->args.receive.how & EVEN__RECEIVE_DIRECT)) {
        r->direct = true;       /* no buffer is left: so it is fetched as it is taken */
        r->small = 0;
        result = -EINTR;
    }
    even__source_over(r, result);
}

static void start(even_receiver *r)
{
    even__op_receive(&r->op, r->fd, r->direct);
}

static void stop(even_receiver *r)
{
    even_op_cancel(&r->op);
}

static ssize_t take(even_receiver *r, void *buffer, size_t size)
{
    const ssize_t n = r->loop->backend->receive(r->loop, &r->op, buffer, size);
    r->working = r->op.state != EVEN__OP_IDLE;
    return n;
}

static void put(struct even__sink *s, const void *data, size_t n)
{
    even_op_send(&s->op, s->fd, data, n, 0);
}

static void sent(even_op *op)
{
    even__sink_went(even__container_of(op, struct even__sink, op), op->result);
}

static int shut(struct even__sink *s)
{
    return s->loop->backend->net->shutdown(s->loop, s->fd, SHUT_WR);
}

static void cancel(struct even__sink *s)
{
    even_op_cancel(&s->op);
}

const struct even__end even__end_socket = {
    .what = "socket",
    .start = start,
    .stop = stop,
    .take = take,
    .put = put,
    .shutdown = shut,
    .cancel = cancel,
};

void even__receiver_ready(even_op *op)
{
    even__source_ready(even__container_of(op, even_receiver, op));
}

void even__receiver_piece(even_op *op, struct even__piece *piece)
{
    even__source_piece(even__container_of(op, even_receiver, op), piece);
}

void even_receiver_init(even_receiver *r, even_loop *loop, int fd, void (*run)(even_handle *))
{
    even__source_init(r, loop, &even__end_socket, run);
    even_op_init(&r->op, loop, NULL);
    r->op.complete = over;
    r->fd = fd;
}

void even__sink_of_socket(struct even__sink *s, even_loop *loop, int fd, void (*run)(even_handle *))
{
    even__sink_init(s, loop, &even__end_socket, run);
    even_op_init(&s->op, loop, NULL);
    s->op.complete = sent;
    s->fd = fd;
}
