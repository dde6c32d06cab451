/* Operations: tried where they may succeed, else in the queue of their descriptor and direction. */
#include "epoll.h"
#include "../base/sys.h"
#include "net.h"
#include <poll.h>
#include <unistd.h>

/* Wants to hear that there is nothing. */
static inline bool does_not_wait(const even_op *op)
{
    return even__unlikely(op->flags & MSG_DONTWAIT) && even__op_is(op, EVEN__OP_FLAGS);
}

static long try(even_op *op)
{
    long r = -EINVAL;
    if (even__op_wants_all(op))
        return even__net_transfer_all(op);
    do {
        switch (even__op_kind(op)) {
        case EVEN_OP_RECV:
            r = even__sys(recv(op->fd, op->args.bytes.buffer, op->args.bytes.length, (int)op->flags | MSG_DONTWAIT));
            break;
        case EVEN_OP_SEND:
            r = even__sys(send(op->fd, op->args.bytes.buffer, op->args.bytes.length, (int)op->flags | MSG_DONTWAIT));
            break;
        case EVEN_OP_RECVMSG:
            r = even__sys(recvmsg(op->fd, op->args.message.message, (int)op->flags | MSG_DONTWAIT));
            break;
        case EVEN_OP_SENDMSG:
            r = even__sys(sendmsg(op->fd, op->args.message.message, (int)op->flags | MSG_DONTWAIT));
            break;
        case EVEN_OP_SENDFILE:
            r = even__net_sendfile(op);
            break;
        case EVEN_OP_READ:
            r = even__sys(read(op->fd, op->args.bytes.buffer, op->args.bytes.length));
            break;
        case EVEN_OP_WRITE:
            r = even__sys(write(op->fd, op->args.bytes.buffer, op->args.bytes.length));
            break;
        case EVEN_OP_ACCEPT:
            do  /* a peer that has left the backlog is not the caller's business */
                r = even__sys(accept4(op->fd, op->args.accept.address, op->args.accept.length, (int)op->flags));
            while (r == -ECONNABORTED);
            break;
        case EVEN_OP_CONNECT: {     /* it was begun; epoll says that it is over */
            int error = 0;
            socklen_t n = sizeof error;
            r = even__sys(getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error, &n));
            if (r == 0)
                r = -error;
            break;
        }
        case EVEN_OP_RECEIVE:       /* its receiver fetches them */
            r = POLLIN;
            break;
        case EVEN_OP_POLL: case EVEN_OP_CLOSE: case EVEN_OP_NONE:
            even__bug("an operation that is not tried", __FILE__, __LINE__);
        }
    } while (r == -EINTR);
    return r;
}

static long poll_now(int fd, int events)
{
    struct pollfd p = { fd, (short)events, 0 };
    long r;
    if (fd < 0)
        return -EBADF;      /* poll(2) would pass over it */
    do
        r = even__sys(poll(&p, 1, 0));
    while (r == -EINTR);
    return r <= 0 ? r : p.revents & POLLNVAL ? -EBADF : p.revents;
}

static even__noinline void find_type(struct even__epoll_slot *s, int fd)
{
    int protocol = 0;
    socklen_t n = sizeof protocol;
    long rc = even__sys(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n));
    s->type = rc == 0 && protocol == IPPROTO_TCP ? EVEN__EPOLL_TCP : EVEN__EPOLL_OTHER;
}

/* Does a short read or write mean that the direction is dry? */
static inline bool short_is_dry(struct even__epoll_slot *s, int fd)
{
    if (even__unlikely(s->irregular))
        return false;
    if (even__unlikely(s->type == EVEN__EPOLL_UNKNOWN))
        find_type(s, fd);
    return s->type == EVEN__EPOLL_TCP;
}

/* Did this result leave the direction dry? */
static bool drained(struct even__epoll_slot *s, const even_op *op, long r)
{
    if (s->events != EVEN__EPOLL_EDGE)
        return false;
    if (r == -EAGAIN)
        return !(even__op_is(op, EVEN__OP_FLAGS) && (op->flags & (MSG_OOB | MSG_ERRQUEUE)));    /* no word of the bytes */
    if (r <= 0 || even__op_row(op)->args != EVEN__ARGS_bytes || (size_t)r >= op->args.bytes.length ||
        (op->flags & (MSG_PEEK | MSG_OOB | MSG_WAITALL)))
        return false;   /* a sendfile may be at its file's end, and what came short of all met something */
    return short_is_dry(s, op->fd);
}

/* The operation was tried: true if it is over, false if it has to wait. `s` may be NULL. */
static inline bool settle(even_loop *loop, struct even__epoll_slot *s, even_op *op, long r)
{
    if (op->kind == EVEN_OP_ACCEPT && r >= 0) {
        struct even__epoll_slot *made = even__epoll_find(loop->backend_state, (int)r);
        if (made) {
            even__epoll_forget(loop, (int)r);
            made->type = s ? s->type : EVEN__EPOLL_UNKNOWN;
        }
    } else if (s && drained(s, op, r)) {
        s->dry |= (uint8_t)(1 << even__op_row(op)->waits);
    }
    return r != -EAGAIN || does_not_wait(op);
}

void even__epoll_run_list(even_loop *loop, struct even__epoll_slot *s, int list)
{
    even_op *op;
    while ((op = s->pending[list]) && !even__epoll_stands(s, op) && (!(s->dry & 1 << list) || does_not_wait(op))) {
        long r = try(op);
        if (!settle(loop, s, op, r))
            return;
        even__chain_remove(&s->pending[list], op);
        even__epoll_finish(loop->backend_state, op, r);
    }
}

static void wait_for(even_loop *loop, even_op *op, bool make_sure)
{
    struct even__epoll_state *e = loop->backend_state;
    int list = even__op_row(op)->waits, rc;
    struct even__epoll_slot *s = even__epoll_find_or_grow(e, op->fd);
    if (!s) {
        even__epoll_finish(e, op, -ENOMEM);
        return;
    }
    if (list == EVEN__ANY)
        s->polled = (s->pending[EVEN__ANY] ? s->polled : 0) | even__epoll_asked(op);
    even__chain_append(&s->pending[list], op);
    if ((rc = even__epoll_update(loop, op->fd, s, make_sure)) < 0)
        even__epoll_refused(loop, s, rc);
}

int even__epoll_close_descriptor(even_loop *loop, int fd)
{
    even__epoll_forget(loop, fd);
    return even__net_close(loop, fd);
}

/* Do others wait, that it must not overtake? A receiver keeps no order with anybody. */
static inline bool is_held_up(const struct even__epoll_slot *s, int list)
{
    return s->pending[list] && !even__epoll_stands(s, s->pending[list]);
}

/* Trying here, not in the next poll, costs the same calls, and the caller's data are still in the cache. */
void even__epoll_start(even_loop *loop, even_op *op)
{
    struct even__epoll_state *e = loop->backend_state;
    struct even__epoll_slot *s = even__epoll_find(e, op->fd);
    bool make_sure = false;
    long r;

    if (even__unlikely(loop->closing) && !even__op_is(op, EVEN__OP_CLOSES)) {
        even__epoll_finish(e, op, -ECANCELED);
        return;
    }
    switch (even__op_kind(op)) {
    case EVEN_OP_NONE:
        even__bug("an operation without a kind", __FILE__, __LINE__);
    case EVEN_OP_CLOSE:
        even__epoll_finish(e, op, even__epoll_close_descriptor(loop, op->fd));
        return;
    case EVEN_OP_CONNECT:
        r = even__sys(connect(op->fd, op->args.connect.address, op->args.connect.length));
        if (r != -EINPROGRESS && r != -EINTR) {     /* interrupted, it goes on all the same */
            even__epoll_finish(e, op, r);
            return;
        }
        if (s)
            s->irregular = false;   /* a socket that is not connected looks hung up */
        make_sure = true;
        break;
    case EVEN_OP_POLL:
        r = poll_now(op->fd, op->args.poll.events);
        if (r != 0) {
            even__epoll_finish(e, op, r);
            return;
        }
        make_sure = true;
        break;
    case EVEN_OP_RECEIVE:
        /* A registration that is made or changed tells of what is there; one that stands may have told it already. And a
         * number that the table has no room for may be none. */
        if (!s || (s->events == EVEN__EPOLL_EDGE && !(s->dry & 1 << EVEN__IN))) {
            r = poll_now(op->fd, POLLIN);
            if (r > 0 && !(r & POLLIN))
                r = even__net_peek(op->fd);     /* is there more than the queue of errors? */
            if (r != 0 && r != -EAGAIN) {
                even__epoll_finish(e, op, r);
                return;
            }
            if (s)
                s->dry |= (uint8_t)(1 << EVEN__IN);
        }
        break;
    case EVEN_OP_ACCEPT: case EVEN_OP_RECV: case EVEN_OP_SEND: case EVEN_OP_READ: case EVEN_OP_WRITE: case EVEN_OP_RECVMSG:
    case EVEN_OP_SENDMSG: case EVEN_OP_SENDFILE: {
        int list = even__op_row(op)->waits;
        if (s && (is_held_up(s, list) || ((s->dry & 1 << list) && !does_not_wait(op))))
            break;
        r = try(op);
        if (settle(loop, s, op, r)) {
            even__epoll_finish(e, op, r);
            return;
        }
    }
    }
    wait_for(loop, op, make_sure);
}

void even__epoll_cancel(even_loop *loop, even_op *op)
{
    struct even__epoll_state *e = loop->backend_state;
    if (op->state == EVEN__EPOLL_DONE)
        return;
    struct even__epoll_slot *s = even__epoll_find(e, op->fd);
    int list = even__op_row(op)->waits;
    even__chain_remove(&s->pending[list], op);
    even__epoll_finish(e, op, -ECANCELED);
    if (s->pending[list] && does_not_wait(s->pending[list]))    /* its turn has come */
        even__epoll_run_list(loop, s, list);
    if (even__epoll_is_watched(s))
        even__epoll_update_or_end(loop, op->fd, s);
}

ssize_t even__epoll_receive(even_loop *loop, even_op *op, void *buffer, size_t length)
{
    struct even__epoll_slot *s = even__epoll_find(loop->backend_state, op->fd);
    if (s && (s->dry & 1 << EVEN__IN))
        return -EAGAIN;
    long r;
    do
        r = even__sys(recv(op->fd, buffer, length, MSG_DONTWAIT));
    while (r == -EINTR);
    if (even__unlikely(!s) || r == (long)length)
        return r;
    if (s->events == EVEN__EPOLL_EDGE && (r > 0 ? short_is_dry(s, op->fd) : r == -EAGAIN)) {
        s->dry |= (uint8_t)(1 << EVEN__IN);
    } else if (op->state == EVEN__OP_PENDING) {     /* it stands, but no edge is sure to come */
        even__chain_remove(&s->pending[EVEN__IN], op);
        op->state = EVEN__OP_IDLE;
        loop->operations--;
    }
    return r;
}
