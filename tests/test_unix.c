/* Unix sockets: the operations that sockets have, and what is particular to them: names, a full backlog, descriptors that are
 * handed over. */
#define TEST_ON TEST_KERNEL
#include "sockets.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>

static char folder[] = "/tmp/even-unix-XXXXXX";

/* An address of its own for each test: a path, or an abstract name. */
static socklen_t name(struct sockaddr_un *address, bool abstract)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (abstract)
        return (socklen_t)offsetof(struct sockaddr_un, sun_path) +
               (socklen_t)snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "even-%d", (int)getpid()) + 1;
    assert_non_null(mkdtemp(folder));
    snprintf(address->sun_path, sizeof address->sun_path, "%s/socket", folder);
    return sizeof *address;
}

static void forget(const struct sockaddr_un *address)
{
    if (address->sun_path[0]) {
        unlink(address->sun_path);
        rmdir(folder);
        memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    }
}

static int unix_socket(int type)
{
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

TEST(connect_accept_and_talk)
{
    for (int i = 0; i < 8; i++) {
        struct sockaddr_un address, peer;
        socklen_t length = name(&address, i & 1), peer_length = sizeof peer;
        int type = i & 2 ? SOCK_SEQPACKET : SOCK_STREAM;
        struct wop a, c, r, s;
        char got[16] = "";
        open_loop();
        int fd = unix_socket(type), client = unix_socket(type);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
        assert_int_equal(listen(fd, 4), 0);
        if (i & 4) {
            even_op_accept(expect(&a), fd, (struct sockaddr *)&peer, &peer_length, 0);
            pump();
        }
        even_op_connect(expect(&c), client, (struct sockaddr *)&address, length);
        if (!(i & 4))
            even_op_accept(expect(&a), fd, (struct sockaddr *)&peer, &peer_length, 0);
        run_all();
        assert_int_equal(c.op.result, 0);
        assert_true(a.op.result >= 0);
        assert_int_equal(peer.sun_family, AF_UNIX);
        assert_int_equal(fcntl(a.op.result, F_GETFD), FD_CLOEXEC);
        assert_true(fcntl(a.op.result, F_GETFL) & O_NONBLOCK);
        even_op_recv(expect(&r), a.op.result, got, sizeof got, 0);
        even_op_send(expect(&s), client, "hello", 5, 0);
        run_all();
        assert_int_equal(s.op.result, 5);
        assert_int_equal(r.op.result, 5);
        assert_memory_equal(got, "hello", 5);
        shutdown(client, SHUT_WR);
        assert_int_equal(recv_now(a.op.result, got, sizeof got), 0);
        close(client);
        even_op_send(expect(&s), a.op.result, "gone", 4, 0);
        run_all();
        assert_int_equal(s.op.result, -EPIPE);
        close_loop();
        close(a.op.result);
        close(fd);
        forget(&address);
    }
}

TEST(nobody_listens)
{
    struct sockaddr_un address;
    struct wop c;
    open_loop();
    socklen_t length = name(&address, false);
    int client = unix_socket(SOCK_STREAM);
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, length);
    run_all();
    assert_int_equal(c.op.result, -ENOENT);

    int fd = unix_socket(SOCK_STREAM);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    close(fd);      /* its name stays */
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, length);
    run_all();
    assert_int_equal(c.op.result, -ECONNREFUSED);
    forget(&address);

    length = name(&address, true);
    even_op_connect(expect(&c), client, (struct sockaddr *)&address, length);
    run_all();
    assert_int_equal(c.op.result, -ECONNREFUSED);
    close_loop();
    close(client);
}

TEST(a_full_backlog_is_told_at_once)
{
    struct sockaddr_un address;
    socklen_t length = name(&address, true);
    struct wop c, a;
    open_loop();
    int fd = unix_socket(SOCK_STREAM), first = unix_socket(SOCK_STREAM), second = unix_socket(SOCK_STREAM);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 0), 0);
    even_op_connect(expect(&c), first, (struct sockaddr *)&address, length);
    run_all();
    assert_int_equal(c.op.result, 0);
    even_op_connect(expect(&c), second, (struct sockaddr *)&address, length);
    run_all();
    assert_int_equal(c.op.result, -EAGAIN);
    even_op_accept(expect(&a), fd, NULL, NULL, 0);
    run_all();
    assert_true(a.op.result >= 0);
    even_op_connect(expect(&c), second, (struct sockaddr *)&address, length);   /* now there is room */
    run_all();
    assert_int_equal(c.op.result, 0);
    close_loop();
    close(a.op.result);
    close(first);
    close(second);
    close(fd);
}

struct parcel {
    struct msghdr header;
    struct iovec part;
    char text[8];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
};

static struct msghdr *parcel(struct parcel *p, int fd)
{
    memset(p, 0, sizeof *p);
    p->part = (struct iovec){ p->text, 4 };
    p->header = (struct msghdr){ .msg_iov = &p->part, .msg_iovlen = 1, .msg_control = p->control,
                                 .msg_controllen = sizeof p->control };
    if (fd >= 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&p->header);
        memcpy(p->text, "take", 4);
        *c = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return &p->header;
}

TEST(descriptors_are_handed_over)
{
    for (int i = 0; i < 2; i++) {
        int pair[2], p[2], fd = -1;
        struct parcel in, out;
        struct wop r, s;
        char got[8];
        open_loop();
        unix_pair(pair);
        assert_int_equal(pipe2(p, O_CLOEXEC), 0);
        if (i) {
            even_op_recvmsg(expect(&r), pair[0], parcel(&in, -1), MSG_CMSG_CLOEXEC);
            pump();
        }
        even_op_sendmsg(expect(&s), pair[1], parcel(&out, p[1]), 0);
        if (!i)
            even_op_recvmsg(expect(&r), pair[0], parcel(&in, -1), MSG_CMSG_CLOEXEC);
        run_all();
        assert_int_equal(s.op.result, 4);
        assert_int_equal(r.op.result, 4);
        assert_memory_equal(in.text, "take", 4);
        const struct cmsghdr *c = CMSG_FIRSTHDR(&in.header);
        assert_non_null(c);
        assert_int_equal(c->cmsg_type, SCM_RIGHTS);
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        put(fd, "through");
        assert_int_equal(read(p[0], got, sizeof got), 7);
        close(fd);
        close_loop();
        close_pair(p);
        close_pair(pair);
    }
}

/* What was not received is the kernel's to close. */
TEST(a_descriptor_that_nobody_took_is_not_left)
{
    int pair[2], p[2];
    struct parcel in, out;
    struct wop r, s;
    char byte;
    open_loop();
    unix_pair(pair);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    even_op_recvmsg(expect(&r), pair[0], parcel(&in, -1), MSG_CMSG_CLOEXEC);
    pump();
    even_op_cancel(&r.op);
    run_all();
    assert_int_equal(r.op.result, -ECANCELED);
    even_op_sendmsg(expect(&s), pair[1], parcel(&out, p[1]), 0);
    run_all();
    close(p[1]);
    close_loop();
    close_pair(pair);
    assert_int_equal(read(p[0], &byte, 1), 0);      /* nobody has the other end */
    close(p[0]);
}
