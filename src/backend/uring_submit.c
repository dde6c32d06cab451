/* Handing over: a submission entry for each operation and watch that waits, and for each cancel. */
#include "uring.h"
#include "net.h"
#include <poll.h>

static void set_data(struct io_uring_sqe *sqe, const void *pointer, unsigned tag)
{
    sqe->user_data = (uint64_t)(uintptr_t)pointer | tag;
}

/* The poll of an operation that is done by system calls when it has come. */
static void prepare_poll(struct io_uring_sqe *sqe, const even_op *op)
{
    unsigned events = even__op_row(op)->waits == EVEN__OUT ? POLLOUT : POLLIN;
    if (op->moved > 0 && even__op_wants_all(op) && events == POLLIN)
        events |= POLLPRI;
    if (even__unlikely(op->own & EVEN__URING_EDGES))
        io_uring_prep_poll_multishot(sqe, op->fd, events);
    else
        io_uring_prep_poll_add(sqe, op->fd, events);
}

static void prepare(struct even__uring_state *s, struct io_uring_sqe *sqe, even_op *op)
{
    union even_op_args *a = &op->args;
    if (even__unlikely(op->own & EVEN__URING_EDGES) || even__op_wants_all(op)) {
        prepare_poll(sqe, op);
        set_data(sqe, op, 0);
        return;
    }
    switch (even__op_kind(op)) {
    case EVEN_OP_RECV: io_uring_prep_recv(sqe, op->fd, a->bytes.buffer, a->bytes.length, (int)op->flags); break;
    case EVEN_OP_SEND: io_uring_prep_send(sqe, op->fd, a->bytes.buffer, a->bytes.length, (int)op->flags); break;
    case EVEN_OP_READ:
        io_uring_prep_read(sqe, op->fd, a->bytes.buffer, (unsigned)a->bytes.length, (uint64_t)-1);
        break;
    case EVEN_OP_WRITE:
        io_uring_prep_write(sqe, op->fd, a->bytes.buffer, (unsigned)a->bytes.length, (uint64_t)-1);
        break;
    case EVEN_OP_RECVMSG: io_uring_prep_recvmsg(sqe, op->fd, a->message.message, op->flags); break;
    case EVEN_OP_SENDMSG: io_uring_prep_sendmsg(sqe, op->fd, a->message.message, op->flags); break;
    case EVEN_OP_SENDFILE: prepare_poll(sqe, op); break;
    case EVEN_OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, a->accept.address, a->accept.length, (int)op->flags);
        break;
    case EVEN_OP_CONNECT:
        if (a->connect.phase == EVEN__URING_CONNECT_WAIT)
            io_uring_prep_poll_add(sqe, op->fd, POLLOUT);
        else
            io_uring_prep_connect(sqe, op->fd, a->connect.address, a->connect.length);
        break;
    case EVEN_OP_POLL: io_uring_prep_poll_add(sqe, op->fd, (unsigned)a->poll.events); break;
    case EVEN_OP_CLOSE: io_uring_prep_close(sqe, op->fd); break;
    case EVEN_OP_RECEIVE: even__uring_prepare_receive(s, sqe, op); break;
    case EVEN_OP_NONE: even__bug("an operation without a kind", __FILE__, __LINE__);
    }
    set_data(sqe, op, 0);
}

/* A transfer with MSG_WAITALL is tried before it waits in a poll: what is wrong with its descriptor is told, and what is there
 * already is not waited for. */
static bool is_over_at_once(struct even__uring_state *s, even_op *op)
{
    long r = even__net_transfer_all(op);
    if (r == -EAGAIN)
        return false;
    int lane = even__uring_lane_of(op);
    if (lane >= 0)
        even__uring_lane_leave(s, op->fd, lane);
    op->result = (int32_t)r;
    op->state = EVEN__OP_CANCELING;     /* it cannot be canceled any more */
    even__uring_move(&s->ended, &op->handle);
    return true;
}

/* A cancel's own completion says nothing that the other's does not. */
void even__uring_prepare_cancel(struct io_uring_sqe *sqe, uint64_t target)
{
    io_uring_prep_cancel64(sqe, target, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_data(sqe, NULL, EVEN__URING_FOR_NOBODY);
}

/* Where an operation stands that the kernel has. */
static even_handle *list_in_kernel(struct even__uring_state *s, const even_op *op)
{
    return even__unlikely(even__op_is(op, EVEN__OP_THREAD)) ? &s->working : &s->submitted;
}

bool even__uring_fill_cancels(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe;
    while (!even__queue_is_empty(&s->canceling)) {
        even_handle *h = s->canceling.next;
        if (!(sqe = even__uring_next_entry(s)))
            return false;
        even__uring_prepare_cancel(sqe, (uint64_t)(uintptr_t)even__op_of(h));
        even__uring_move(list_in_kernel(s, even__op_of(h)), h);
    }
    while (!even__queue_is_empty(&s->disarming)) {
        even_handle *h = s->disarming.next;
        if (!(sqe = even__uring_next_entry(s)))
            return false;
        even__uring_prepare_cancel(sqe, (uint64_t)(uintptr_t)even__uring_record_of(h) | EVEN__URING_FOR_RECORD);
        even__uring_move(&s->armed, h);
    }
    return true;
}

/* Cancels go first, so that they meet nothing that was started after them. */
bool even__uring_fill(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe;

    if (even__unlikely(!s->wake_armed)) {
        if (!(sqe = even__uring_next_entry(s)))
            return false;
        io_uring_prep_poll_multishot(sqe, s->wake_fd, POLLIN);
        set_data(sqe, NULL, EVEN__URING_FOR_WAKE);
        s->wake_armed = true;
    }
    if (even__unlikely(!even__queue_is_empty(&s->canceling) || !even__queue_is_empty(&s->disarming)) &&
        !even__uring_fill_cancels(s))
        return false;
    for (even_handle *h = s->arming.next, *next; h != &s->arming; h = next) {
        struct even__uring_record *r = even__uring_record_of(h);
        next = h->next;
        if (even_handle_is_queued(&r->watch->handle))
            continue;
        if (!(sqe = even__uring_next_entry(s)))
            return false;
        io_uring_prep_poll_add(sqe, r->watch->fd, r->watch->events);
        set_data(sqe, r, EVEN__URING_FOR_RECORD);
        r->in_kernel = true;
        s->pending++;
        even__uring_move(&s->armed, h);
    }
    while (!even__queue_is_empty(&s->waiting)) {
        even_op *op = even__op_of(s->waiting.next);
        int lane = even__uring_lane_of(op);
        if (lane >= 0 && op->state != EVEN__URING_GRANTED) {
            if (!even__uring_lane_enter(s, op, lane))
                continue;
            op->state = EVEN__URING_GRANTED;
        }
        if (even__op_wants_all(op) && op->moved == 0 && is_over_at_once(s, op))
            continue;
        even__check(1u << op->state & EVEN__URING_WAITS);
        if (!(sqe = even__uring_next_entry(s)))
            return false;
        prepare(s, sqe, op);
        op->state = EVEN__URING_SUBMITTED;
        s->pending++;
        even__uring_move(list_in_kernel(s, op), &op->handle);
    }
    return true;
}
