/* Completions: what they mean for the operations and watches that they are of. */
#include "uring.h"
#include "net.h"
#include <poll.h>

static void mark_message(const struct msghdr *m, size_t left)
{
    even__uring_mark_written(m, sizeof *m);
    even__uring_mark_written(m->msg_name, m->msg_name ? m->msg_namelen : 0);
    even__uring_mark_written(m->msg_control, m->msg_control ? m->msg_controllen : 0);
    for (size_t i = 0; i < m->msg_iovlen && left; i++) {
        size_t n = m->msg_iov[i].iov_len < left ? m->msg_iov[i].iov_len : left;
        even__uring_mark_written(m->msg_iov[i].iov_base, n);
        left -= n;
    }
}

static void mark_received(const even_op *op, int32_t result)
{
    const union even_op_args *a = &op->args;
    size_t n = (size_t)result;
    if (op->kind == EVEN_OP_RECV || op->kind == EVEN_OP_READ)   /* with MSG_TRUNC the result may be longer than the buffer */
        even__uring_mark_written(a->bytes.buffer, n < a->bytes.length ? n : a->bytes.length);
    else if (op->kind == EVEN_OP_RECVMSG)
        mark_message(a->message.message, n);
    else if (op->kind == EVEN_OP_ACCEPT && a->accept.address && a->accept.length)
        even__uring_mark_written(a->accept.address, *a->accept.length);
}

/* It is to be handed over again. While all is recalled it keeps its place among the others. */
static void take_back(struct even__uring_state *s, even_op *op)
{
    op->state = even__uring_lane_of(op) >= 0 ? EVEN__URING_GRANTED : EVEN__OP_PENDING;
    if (!s->recalling_all)
        even__uring_move(&s->waiting, &op->handle);
}

/* The same for one that the kernel let go before it was over: a connect, which went on in its socket, is looked at first. */
void even__uring_ask_again(struct even__uring_state *s, even_op *op)
{
    if (op->kind == EVEN_OP_CONNECT)
        op->args.connect.phase = EVEN__URING_CONNECT_WAIT;
    take_back(s, op);
}

/* A connect that was recalled once: true if it goes on. */
static bool connect_goes_on(struct even__uring_state *s, even_op *op, int32_t *result)
{
    if (op->args.connect.phase == EVEN__URING_CONNECT_WAIT && *result >= 0) {
        op->args.connect.phase = EVEN__URING_CONNECT_AGAIN;     /* now connect(2) tells how it ended */
    } else if (op->args.connect.phase == EVEN__URING_CONNECT_AGAIN && *result == -EALREADY) {
        op->args.connect.phase = EVEN__URING_CONNECT_WAIT;
    } else {
        if (op->args.connect.phase == EVEN__URING_CONNECT_AGAIN && *result == -EISCONN)
            *result = 0;
        return false;
    }
    if (op->state == EVEN__OP_CANCELING) {
        *result = -ECANCELED;
        return false;
    }
    take_back(s, op);
    return true;
}

/* Its poll has come: -EAGAIN if there is nothing to be done all the same, or not all of it. */
static int32_t attempt(even_op *op, int32_t seen)
{
    long r;
    do {
        if (op->kind == EVEN_OP_SENDFILE)
            r = even__net_sendfile(op);
        else if (op->kind == EVEN_OP_RECEIVE)       /* its receiver fetches; but is there more than the queue of errors? */
            r = seen & POLLIN ? seen : even__net_peek(op->fd);
        else
            r = even__net_transfer_all(op);
    } while (r == -EINTR);
    return (int32_t)r;
}

static bool is_polled(const even_op *op)
{
    if (even__likely(!(1u << op->kind & (1u << EVEN_OP_SENDFILE | 1u << EVEN_OP_RECEIVE))))
        return even__op_wants_all(op);
    return op->kind == EVEN_OP_SENDFILE || (op->args.receive.how & EVEN__URING_POLLED);
}

/* One that is done by system calls when its poll has come: true if it waits on. One that was asked to end by then moves nothing
 * more. */
static bool polled_goes_on(struct even__uring_state *s, even_op *op, int32_t *result)
{
    const int32_t seen = *result;
    if (seen < 0)
        return false;
    if (op->state == EVEN__OP_CANCELING) {
        *result = -ECANCELED;
        return false;
    }
    *result = attempt(op, seen);
    if (*result != -EAGAIN)
        return false;
    if (seen & POLLERR)
        op->own |= EVEN__URING_EDGES;
    take_back(s, op);
    return true;
}

/* A poll of many shots has come: true if that is not its end. */
static bool edge_goes_on(struct even__uring_state *s, even_op *op, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        op->own = 0;
        return false;
    }
    if (op->state == EVEN__URING_SUBMITTED && cqe->res >= 0) {
        int32_t r = attempt(op, cqe->res);
        if (r != -EAGAIN) {
            op->result = r;
            op->state = EVEN__URING_ENDING;
            even__uring_move(&s->canceling, &op->handle);
        }
    }
    return true;
}

static void op_ended(struct even__uring_state *s, even_op *op, int32_t result)
{
    if (result >= 0)
        mark_received(op, result);
    even__queue_remove(&op->handle);
    int lane = even__uring_lane_of(op);
    if (lane >= 0)
        even__uring_lane_leave(s, op->fd, lane);
    even__op_done(op, result);
}

static void op_completed(struct even__uring_state *s, even_op *op, int32_t result)
{
    even__check(even__uring_is_in_kernel(op));
    s->pending--;
    if (even__unlikely(op->state == EVEN__URING_ENDING)) {
        op_ended(s, op, op->result);
        return;
    }
    if (even__unlikely(result < 0)) {
        bool asked = op->state == EVEN__OP_CANCELING;
        if (result == -EINTR && even__op_is(op, EVEN__OP_CLOSES))
            result = 0;     /* the descriptor is gone all the same: see even__net_close() */
        else if (!asked && (result == -EINTR || (result == -ECANCELED && s->recalling))) {
            even__uring_ask_again(s, op);
            return;
        }
        if (result == -EINTR)   /* how a cancel ends what one of the kernel's threads was doing */
            result = -ECANCELED;
    }
    if (op->kind == EVEN_OP_CONNECT && op->args.connect.phase != EVEN__URING_CONNECT_FIRST && connect_goes_on(s, op, &result))
        return;
    if (is_polled(op) && polled_goes_on(s, op, &result))
        return;
    op_ended(s, op, result);
}

static void record_completed(struct even__uring_state *s, struct even__uring_record *r, int32_t result)
{
    even__check(r->in_kernel);
    s->pending--;
    r->in_kernel = false;
    if (!r->watch) {
        even__queue_remove(&r->link);
        even__free(r);
        return;
    }
    if (result == -EBADF) {     /* closed under its watch: told once; asking again would tell it for ever */
        even__watch_ready(r->watch, POLLNVAL);
        return;
    }
    even__uring_move(&s->arming, &r->link);
    if (!(result == -ECANCELED && s->recalling))
        even__watch_ready(r->watch, result < 0 ? POLLERR : result);
}

static void op_came(struct even__uring_state *s, even_op *op, const struct io_uring_cqe *cqe)
{
    int32_t result = cqe->res;
    if (even__unlikely(op->own & EVEN__URING_EDGES) && edge_goes_on(s, op, cqe))
        return;
    if (op->kind == EVEN_OP_RECEIVE && even__uring_received(s, op, cqe, &result))
        return;
    op_completed(s, op, result);
}

/* After even__uring_end_all(): what has come may stand behind what was over at once. Bounded: by what had come when it
 * began; what comes of it is for the next pass. */
void even__uring_reap(struct even__uring_state *s)
{
    const unsigned tail = io_uring_smp_load_acquire(s->ring.cq.ktail), mask = *s->ring.cq.kring_mask;
    unsigned head = *s->ring.cq.khead;
    if (head == tail)
        return;
    for (; head != tail; head++) {
        const struct io_uring_cqe *cqe = &s->ring.cq.cqes[head & mask];
        void *pointer = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)7);
        if (even__likely(!(cqe->user_data & 7))) {
            if (pointer)
                op_came(s, pointer, cqe);
        } else if (cqe->user_data & EVEN__URING_FOR_RECORD) {
            record_completed(s, pointer, cqe->res);
        } else {
            s->wake_armed = cqe->flags & IORING_CQE_F_MORE;     /* what it brought is in the inbox */
        }
    }
    io_uring_smp_store_release(s->ring.cq.khead, head);
}

/* Those that the kernel never saw. True if there were any. Bounded: what is cancelled meanwhile is for the next
 * pass. */
bool even__uring_end_all(struct even__uring_state *s)
{
    even_handle ended;
    even__queue_init(&ended);
    even__queue_splice(&ended, &s->ended);
    if (even__likely(even__queue_is_empty(&ended)))
        return false;
    while (!even__queue_is_empty(&ended)) {
        even_op *op = even__op_of(ended.next);
        even__queue_remove(&op->handle);
        even__op_done(op, op->result);
    }
    return true;
}
