/* Sockets of the kernel, for the backends that stand on it: each function is one system call. */
#include "net.h"
#include "../base/sys.h"
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

int even__net_socket(even_loop *loop, int family, int type, int protocol)
{
    (void)loop;
    return (int)even__sys(socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
}

int even__net_bind(even_loop *loop, int fd, const struct sockaddr *address, socklen_t length)
{
    (void)loop;
    return (int)even__sys(bind(fd, address, length));
}

int even__net_listen(even_loop *loop, int fd, int backlog)
{
    (void)loop;
    return (int)even__sys(listen(fd, backlog));
}

int even__net_name(even_loop *loop, int fd, bool peer, struct sockaddr_storage *address, socklen_t *length)
{
    struct sockaddr_storage got;
    socklen_t n = sizeof got;
    int rc;

    (void)loop;
    memset(&got, 0, sizeof got);
    if (peer)
        rc = (int)even__sys(getpeername(fd, (struct sockaddr *)&got, &n));
    else
        rc = (int)even__sys(getsockname(fd, (struct sockaddr *)&got, &n));
    if (rc == 0) {
        *address = got;
        *length = n;
    }
    return rc;
}

int even__net_shutdown(even_loop *loop, int fd, int how)
{
    (void)loop;
    return (int)even__sys(shutdown(fd, how));
}

int even__net_set_option(even_loop *loop, int fd, int level, int option, int value)
{
    (void)loop;
    if (level == SOL_SOCKET && option == SO_LINGER) {   /* the one option here that is not an int */
        struct linger linger = { value >= 0, value >= 0 ? value : 0 };
        return (int)even__sys(setsockopt(fd, level, option, &linger, sizeof linger));
    }
    return (int)even__sys(setsockopt(fd, level, option, &value, sizeof value));
}

int even__net_close(even_loop *loop, int fd)
{
    (void)loop;
    int rc = (int)even__sys(close(fd));
    return rc == -EINTR ? 0 : rc;   /* Linux has closed it all the same; to try again could close a stranger's */
}

long even__net_sendfile(const even_op *op)
{
    off_t offset = op->args.sendfile.offset;
    return even__sys(sendfile(op->fd, op->args.sendfile.file, &offset, op->args.sendfile.count));
}

long even__net_peek(int fd)
{
    char byte;
    long r = even__sys(recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
    return r < 0 ? r : POLLIN;
}

/* ---- MSG_WAITALL ---- */

static bool is_receive(const even_op *op)
{
    return even__op_row(op)->waits == EVEN__IN;
}

/* What is left of a message's vector, of which `rest` gets the first part; returns how many bytes are left. */
static size_t rest_of(const struct msghdr *message, size_t moved, struct iovec *rest, size_t room, size_t *count)
{
    size_t total = 0, most = INT32_MAX - moved;
    *count = 0;
    for (size_t i = 0; i < message->msg_iovlen && total < most; i++) {
        struct iovec v = message->msg_iov[i];
        size_t skip = moved < v.iov_len ? moved : v.iov_len;
        if (v.iov_len == 0)
            continue;       /* its base may be NULL */
        moved -= skip;
        v.iov_base = (char *)v.iov_base + skip;
        v.iov_len -= skip;
        if (v.iov_len > most - total)
            v.iov_len = most - total;
        total += v.iov_len;
        if (v.iov_len > 0 && *count < room)
            rest[(*count)++] = v;
    }
    return total;
}

/* One system call. *left: the bytes that it was about; *last: it brought what ends a message. */
static long transfer_rest(const even_op *op, size_t *left, bool *last)
{
    int flags = (int)(op->flags & ~(uint32_t)MSG_WAITALL) | MSG_DONTWAIT;
    struct iovec rest[16];
    if (even__op_row(op)->args == EVEN__ARGS_bytes) {
        char *at = (char *)op->args.bytes.buffer + op->moved;
        *left = op->args.bytes.length - op->moved;
        return is_receive(op) ? even__sys(recv(op->fd, at, *left, flags)) : even__sys(send(op->fd, at, *left, flags));
    }
    struct msghdr *message = op->args.message.message, m = *message;
    size_t count;
    *left = rest_of(message, op->moved, rest, sizeof rest / sizeof *rest, &count);
    if (op->moved > 0) {    /* the first call has the whole vector, for a datagram is not moved in parts */
        m.msg_iov = rest;
        m.msg_iovlen = count;
    }
    if (op->kind == EVEN_OP_SENDMSG) {
        if (op->moved > 0) {    /* what goes beside the bytes went with the first of them */
            m.msg_control = NULL;
            m.msg_controllen = 0;
        }
        return even__sys(sendmsg(op->fd, &m, flags));
    }
    long n = even__sys(recvmsg(op->fd, &m, flags));
    if (n >= 0) {
        message->msg_namelen = m.msg_namelen;
        message->msg_flags = m.msg_flags;
        *last = m.msg_controllen > 0 || (m.msg_flags & (MSG_CTRUNC | MSG_EOR));
        if (*last)
            message->msg_controllen = m.msg_controllen;
    }
    return n;
}

static bool is_stream(int fd)
{
    int type = 0;
    socklen_t n = sizeof type;
    return even__sys(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n)) == 0 && type == SOCK_STREAM;
}

/* Some bytes were moved. Is behind them what a call would take away that is not theirs: a failure, which is told once, or the
 * mark of urgent data? */
static bool is_at_an_end(const even_op *op)
{
    struct pollfd p = { op->fd, 0, 0 };
    int left = 0, mark = 0;     /* sockatmark(3), but set: not every checker knows that call */
    if (even__sys(poll(&p, 1, 0)) > 0 && (p.revents & POLLERR) && (p.revents & POLLHUP))     /* else it is the queue of errors */
        return !is_receive(op) || even__sys(ioctl(op->fd, FIONREAD, &left)) < 0 || left == 0;
    return is_receive(op) && even__sys(ioctl(op->fd, SIOCATMARK, &mark)) == 0 && mark;
}

long even__net_transfer_all(even_op *op)
{
    bool last = false;
    for (;;) {      /* bounded: by what is asked for */
        size_t left;
        if (op->moved > 0 && is_at_an_end(op))
            break;
        long n = transfer_rest(op, &left, &last);
        if (n == -EINTR)
            continue;
        if (n < 0)
            return n;
        op->moved += (size_t)n;
        if (n == 0 || (size_t)n >= left || last || !is_stream(op->fd))
            break;
    }
    if (op->kind == EVEN_OP_RECVMSG && !last)
        op->args.message.message->msg_controllen = 0;
    return (long)op->moved;
}

const struct even__net even__net_kernel = {
    .socket = even__net_socket,
    .bind = even__net_bind,
    .listen = even__net_listen,
    .name = even__net_name,
    .shutdown = even__net_shutdown,
    .set_option = even__net_set_option,
    .close = even__net_close,
};
