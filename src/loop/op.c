/* Operations and watches: what every backend shares. */
#include "loop.h"
#include "../base/sys.h"
#include "../trace/trace.h"
#include <poll.h>
#include <string.h>

/* Connections have two each. */
_Static_assert(sizeof(even_op) <= 10 * sizeof(int64_t), "an operation has grown");

static void queue_handle(even_op *op)
{
    even__call_soon(op->loop, &op->handle);
}

void even_op_init(even_op *op, even_loop *loop, void (*done)(even_handle *))
{
    memset(op, 0, sizeof *op);
    op->handle.run = done;
    op->complete = queue_handle;
    op->loop = loop;
    op->fd = -1;
}

bool even_op_is_pending(const even_op *op)
{
    return op->state != EVEN__OP_IDLE;
}

/* All that an operation is, but its kind's own arguments. */
static inline void start_with(even_op *op, enum even_op_kind kind, int fd, size_t length, int flags)
{
    op->kind = (uint8_t)kind;
    op->fd = fd;
    op->length = length > INT32_MAX ? INT32_MAX : length;
    op->flags = (uint32_t)flags;
    op->state = EVEN__OP_PENDING;
    even__trace(OPERATION, .loop = op->loop, .value = fd);
    if (even__loop_is_parents(op->loop))
        even__op_done(op, -EVEN_EFORK);
    else
        op->loop->backend->start(op->loop, op);
}

/* These may raise SIGPIPE. */
static inline void no_sigpipe(even_loop *loop)
{
    if (even__likely(loop->ignores_sigpipe))
        return;
    loop->ignores_sigpipe = true;
    even__sigpipe_ignore();
}

static even__noinline void report_start(const even_op *op, const char *what, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (even__report_wanted(site))
        even__report("%s: the operation (on descriptor %d) %s, so this start is ignored; at %s", what, op->fd,
                     op->state != EVEN__OP_IDLE ? "is pending already" : "is over, but its handle has not run yet",
                     even__site_name(site, where, sizeof where));
}

/* Of a public function: is the operation free to be started? */
#define may_start(op)                                                                                                  \
    (even__likely((op)->state == EVEN__OP_IDLE && !(op)->handle.next) ||                                               \
     (report_start(op, __func__, __builtin_return_address(0)), false))

static inline void start(even_op *op, enum even_op_kind kind, int fd, void *buffer, size_t length, int flags)
{
    op->buffer = buffer;
    start_with(op, kind, fd, length, flags);
}

/* Over before it began. */
static void refuse(even_op *op, enum even_op_kind kind, int fd, int result)
{
    op->kind = (uint8_t)kind;
    op->fd = fd;
    op->flags = 0;
    even__trace(OPERATION, .loop = op->loop, .value = fd);
    even__op_done(op, result);
}

/* One whose flags are those of recv(2), send(2). */
static inline void start_transfer(even_op *op, enum even_op_kind kind, int fd, void *buffer, size_t length, int flags)
{
    if ((flags & (MSG_OOB | MSG_ERRQUEUE)) && (kind == EVEN_OP_RECV || kind == EVEN_OP_RECVMSG))
        flags |= MSG_DONTWAIT;      /* they never wait, in recv(2) either */
    if (even__unlikely(flags & MSG_WAITALL)) {
        op->moved = 0;
        if (flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) {
            flags &= ~MSG_WAITALL;
        } else if (flags & MSG_PEEK) {      /* there is no waiting for more behind what stays */
            refuse(op, kind, fd, -EOPNOTSUPP);
            return;
        }
    }
    start(op, kind, fd, buffer, length, flags);
}

int32_t even__op_moved(even_op *op, int32_t result)
{
    if (op->moved == 0)
        return result;
    if (op->kind == EVEN_OP_RECVMSG)
        ((struct msghdr *)op->buffer)->msg_controllen = 0;
    return (int32_t)op->moved;
}

void even_op_accept(even_op *op, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    if (!may_start(op))
        return;
    op->address_length = length;
    start(op, EVEN_OP_ACCEPT, fd, address, 0, flags | SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void even_op_connect(even_op *op, int fd, const struct sockaddr *address, socklen_t length)
{
    if (!may_start(op))
        return;
    start(op, EVEN_OP_CONNECT, fd, (void *)(uintptr_t)address, length, 0);
}

void even_op_recv(even_op *op, int fd, void *buffer, size_t length, int flags)
{
    if (!may_start(op))
        return;
    start_transfer(op, EVEN_OP_RECV, fd, buffer, length, flags);
}

void even_op_send(even_op *op, int fd, const void *buffer, size_t length, int flags)
{
    if (!may_start(op))
        return;
    start_transfer(op, EVEN_OP_SEND, fd, (void *)(uintptr_t)buffer, length, flags | MSG_NOSIGNAL);
}

void even_op_recvmsg(even_op *op, int fd, struct msghdr *message, int flags)
{
    if (!may_start(op))
        return;
    start_transfer(op, EVEN_OP_RECVMSG, fd, message, 0, flags);
}

void even_op_sendmsg(even_op *op, int fd, const struct msghdr *message, int flags)
{
    if (!may_start(op))
        return;
    start_transfer(op, EVEN_OP_SENDMSG, fd, (void *)(uintptr_t)message, 0, flags | MSG_NOSIGNAL);
}

void even_op_sendfile(even_op *op, int fd, int file, int64_t offset, size_t count)
{
    if (!may_start(op))
        return;
    no_sigpipe(op->loop);
    op->offset = offset;
    start_with(op, EVEN_OP_SENDFILE, fd, count > EVEN_SENDFILE_MAX ? EVEN_SENDFILE_MAX : count, file);
}

void even_op_read(even_op *op, int fd, void *buffer, size_t length)
{
    if (!may_start(op))
        return;
    start(op, EVEN_OP_READ, fd, buffer, length, 0);
}

void even_op_write(even_op *op, int fd, const void *buffer, size_t length)
{
    if (!may_start(op))
        return;
    no_sigpipe(op->loop);
    start(op, EVEN_OP_WRITE, fd, (void *)(uintptr_t)buffer, length, 0);
}

void even_op_poll(even_op *op, int fd, int events)
{
    if (!may_start(op))
        return;
    op->events = (uint16_t)events;
    start(op, EVEN_OP_POLL, fd, NULL, 0, 0);
}

void even_op_close(even_op *op, int fd)
{
    if (!may_start(op))
        return;
    start(op, EVEN_OP_CLOSE, fd, NULL, 0, 0);
}

void even__op_receive(even_op *op, int fd, bool direct)
{
    even__check(op->state == EVEN__OP_IDLE);
    op->events = POLLIN;
    start(op, EVEN_OP_RECEIVE, fd, NULL, 0, direct ? EVEN__RECEIVE_DIRECT : 0);
}

void even_loop_adopt(even_loop *loop, int fd)
{
    if (loop->backend->adopt)
        loop->backend->adopt(loop, fd);
}

void even_op_cancel(even_op *op)
{
    if (op->state == EVEN__OP_IDLE || op->state == EVEN__OP_CANCELING || op->kind == EVEN_OP_CLOSE)
        return;
    if (!even__loop_is_parents(op->loop))       /* the operation of a fork's copy ends when that is closed */
        op->loop->backend->cancel(op->loop, op);
}

int even_watch_start(even_loop *loop, even_watch *w, int fd, int events, void (*run)(even_handle *))
{
    memset(w, 0, sizeof *w);
    w->handle.run = run;
    w->loop = loop;
    w->fd = fd;
    w->events = (uint16_t)events;
    int rc = even__loop_is_parents(loop) ? -EVEN_EFORK : loop->backend->watch(loop, w);
    if (rc < 0)
        w->loop = NULL;
    else
        even__queue_append(&loop->watches, &w->all);
    return rc;
}

void even_watch_stop(even_watch *w)
{
    if (!w->loop)
        return;
    if (!even__loop_is_parents(w->loop))
        w->loop->backend->unwatch(w->loop, w);
    even_handle_cancel(&w->handle);
    even__queue_remove(&w->all);
    w->loop = NULL;
}

void even__watch_ready(even_watch *w, int ready)
{
    w->ready = (uint16_t)ready;
    if (!w->handle.next)
        even__call_soon(w->loop, &w->handle);
}
