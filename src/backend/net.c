/* Sockets of the kernel, for the backends that stand on it: each function is one system call. */
#include "net.h"
#include "../base/sys.h"
#include <string.h>
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
    off_t offset = op->offset;
    return even__sys(sendfile(op->fd, (int)op->flags, &offset, op->length));
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
