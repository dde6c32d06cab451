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

static inline void begin(even_op *op, enum even_op_kind kind, int fd)
{
    even__check(op->state == EVEN__OP_IDLE);
    op->kind = (uint8_t)kind;
    op->state = EVEN__OP_PENDING;
    op->fd = fd;
    op->loop->operations++;
}

/* Its arguments are there: `args` says which they are, and that they are those of the kind. */
static inline void start(even_op *op, enum even_op_kind kind, enum even__op_args args, int fd, int flags)
{
    even__check_slow(even__op_rows[kind].args == args);
    (void)args;
    begin(op, kind, fd);
    op->own = 0;
    op->flags = (uint32_t)flags;
    even__trace(OPERATION, .loop = op->loop, .value = fd);
    if (even__loop_is_parents(op->loop))
        even__op_done(op, -EVEN_EFORK);
    else
        op->loop->backend->start(op->loop, op);
}

static inline void start_bytes(even_op *op, enum even_op_kind kind, int fd, const void *buffer, size_t length, int flags)
{
    op->args.bytes.buffer = (void *)(uintptr_t)buffer;
    op->args.bytes.length = length > INT32_MAX ? INT32_MAX : length;
    start(op, kind, EVEN__ARGS_bytes, fd, flags);
}

static inline void start_message(even_op *op, enum even_op_kind kind, int fd, const struct msghdr *message, int flags)
{
    op->args.message.message = (struct msghdr *)(uintptr_t)message;
    start(op, kind, EVEN__ARGS_message, fd, flags);
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

/* Over before it began. */
static void refuse(even_op *op, enum even_op_kind kind, int fd, int result)
{
    begin(op, kind, fd);
    op->flags = 0;
    even__trace(OPERATION, .loop = op->loop, .value = fd);
    even__op_done(op, result);
}

/* Flags of recv(2), send(2): as they are carried out. False: refused, and over. */
static inline bool take_flags(even_op *op, enum even_op_kind kind, int fd, int *flags)
{
    if ((*flags & (MSG_OOB | MSG_ERRQUEUE)) && even__op_rows[kind].waits == EVEN__IN)
        *flags |= MSG_DONTWAIT;     /* they never wait, in recv(2) either */
    if (even__unlikely(*flags & MSG_WAITALL)) {
        op->moved = 0;
        if (*flags & (MSG_DONTWAIT | MSG_OOB | MSG_ERRQUEUE)) {
            *flags &= ~MSG_WAITALL;
        } else if (*flags & MSG_PEEK) {     /* there is no waiting for more behind what stays */
            refuse(op, kind, fd, -EOPNOTSUPP);
            return false;
        }
    }
    return true;
}

int32_t even__op_moved(even_op *op, int32_t result)
{
    if (op->moved == 0)
        return result;
    if (op->kind == EVEN_OP_RECVMSG)
        op->args.message.message->msg_controllen = 0;
    return (int32_t)op->moved;
}

void even_op_accept(even_op *op, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    if (!may_start(op))
        return;
    op->args.accept.address = address;
    op->args.accept.length = length;
    start(op, EVEN_OP_ACCEPT, EVEN__ARGS_accept, fd, flags | SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void even_op_connect(even_op *op, int fd, const struct sockaddr *address, socklen_t length)
{
    if (!may_start(op))
        return;
    op->args.connect.address = address;
    op->args.connect.length = length;
    start(op, EVEN_OP_CONNECT, EVEN__ARGS_connect, fd, 0);
}

void even_op_recv(even_op *op, int fd, void *buffer, size_t length, int flags)
{
    if (may_start(op) && take_flags(op, EVEN_OP_RECV, fd, &flags))
        start_bytes(op, EVEN_OP_RECV, fd, buffer, length, flags);
}

void even_op_send(even_op *op, int fd, const void *buffer, size_t length, int flags)
{
    if (may_start(op) && take_flags(op, EVEN_OP_SEND, fd, &flags))
        start_bytes(op, EVEN_OP_SEND, fd, buffer, length, flags | MSG_NOSIGNAL);
}

void even_op_recvmsg(even_op *op, int fd, struct msghdr *message, int flags)
{
    if (may_start(op) && take_flags(op, EVEN_OP_RECVMSG, fd, &flags))
        start_message(op, EVEN_OP_RECVMSG, fd, message, flags);
}

void even_op_sendmsg(even_op *op, int fd, const struct msghdr *message, int flags)
{
    if (may_start(op) && take_flags(op, EVEN_OP_SENDMSG, fd, &flags))
        start_message(op, EVEN_OP_SENDMSG, fd, message, flags | MSG_NOSIGNAL);
}

void even_op_sendfile(even_op *op, int fd, int file, int64_t offset, size_t count)
{
    if (!may_start(op))
        return;
    no_sigpipe(op->loop);
    op->args.sendfile.offset = offset;
    op->args.sendfile.file = file;
    op->args.sendfile.count = count > EVEN_SENDFILE_MAX ? EVEN_SENDFILE_MAX : (uint32_t)count;
    start(op, EVEN_OP_SENDFILE, EVEN__ARGS_sendfile, fd, 0);
}

void even_op_read(even_op *op, int fd, void *buffer, size_t length)
{
    if (may_start(op))
        start_bytes(op, EVEN_OP_READ, fd, buffer, length, 0);
}

void even_op_write(even_op *op, int fd, const void *buffer, size_t length)
{
    if (!may_start(op))
        return;
    no_sigpipe(op->loop);
    start_bytes(op, EVEN_OP_WRITE, fd, buffer, length, 0);
}

void even_op_poll(even_op *op, int fd, int events)
{
    if (!may_start(op))
        return;
    op->args.poll.events = (uint16_t)events;
    start(op, EVEN_OP_POLL, EVEN__ARGS_poll, fd, 0);
}

void even_op_close(even_op *op, int fd)
{
    if (may_start(op))
        start(op, EVEN_OP_CLOSE, EVEN__ARGS_none, fd, 0);
}

void even__op_receive(even_op *op, int fd, bool direct)
{
    op->args.receive.how = direct ? EVEN__RECEIVE_DIRECT : 0;
    start(op, EVEN_OP_RECEIVE, EVEN__ARGS_receive, fd, 0);
}

void even_loop_adopt(even_loop *loop, int fd)
{
    if (loop->backend->adopt)
        loop->backend->adopt(loop, fd);
}

void even_op_cancel(even_op *op)
{
    if (op->state == EVEN__OP_IDLE || op->state == EVEN__OP_CANCELING || even__op_is(op, EVEN__OP_STAYS))
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
