/* epoll: operations on top of readiness, where io_uring may not be used.
 *
 * An operation is tried at once where that may succeed; else it waits in its descriptor's queue until epoll tells of
 * it. What saves system calls: a descriptor is registered once, edge-triggered and in both directions, the first time
 * that an operation on it has to wait; and a direction that is known to be `dry` is not tried before its next edge.
 * A round trip on a busy connection then costs one recv, one send, and a share of an epoll_wait.
 *
 *   start:  dry, or others wait before it?  no: try;  done: to the done list, reported by the next poll
 *                                          yes, or EAGAIN: to the descriptor's queue
 *   poll:   epoll_wait;  edge: no longer dry, the queue's operations are tried in order until one has to wait
 *
 * When is a direction dry? After EAGAIN, unless urgent data or the queue of errors were asked for; and after a short read
 * or write of TCP, the one kind of descriptor where short means drained: datagrams, terminals, pipes in packet mode and
 * unix sockets (at a message with descriptors) stop short with more behind. After a hang-up, an error or urgent data, a
 * short read does not mean drained either, because no further edge announces the end of file behind the bytes.
 *
 * A descriptor that is watched is registered level-triggered instead, for what its watches and operations want.
 *
 * Numbers that are used again. What is remembered of a number must go when it means another file. It goes when the
 * number is closed here (EVEN_OP_CLOSE, net->close), and when it comes here as new: from accept, from net->socket, or
 * by a connect, a poll or a watch, which make sure of their registration. So one case is left: a number closed by
 * close(2), made anew by somebody else's call, and then used for a recv, send, read, write or accept: that would wait
 * for the next edge of a registration that is gone. To make sure of these too would cost a system call for each that
 * has to wait, on a busy server for every recv, for the sake of a mistake; so the rule is: what was used for these is
 * closed through the loop, or the loop is told that the number is another's (even_loop_adopt).
 * A registration that outlives its number (in a duplicate) is known by its generation.
 */
#include "epoll.h"
#include "../base/sys.h"
#include "net.h"
#include "wake.h"
#include <limits.h>
#include <linux/time_types.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* As in loop.c: while there is something to do without it, the kernel is asked after this many passes, or this long. */
enum { LOOK_AFTER_PASSES = 60, LOOK_EVERY_NS = 100 * 1000 };

static int64_t now(even_loop *loop)
{
    struct timespec t;
    (void)loop;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void run_list_at_edge(even_loop *loop, struct even__epoll_slot *s, int list)
{
    s->dry &= (uint8_t)~(1 << list);
    even__epoll_run_list(loop, s, list);
}

static void dispatch(even_loop *loop, const struct epoll_event *event)
{
    struct even__epoll_state *e = loop->backend_state;
    int fd = (int)(uint32_t)event->data.u64;
    uint32_t seen = event->events, unasked = EPOLLERR | EPOLLHUP;
    struct even__epoll_slot *s = even__epoll_find(e, fd);

    if (event->data.u64 == EVEN__EPOLL_WAKE || s->generation != event->data.u64 >> 32)
        return;
    if (seen & (unasked | EPOLLRDHUP | EPOLLPRI))
        s->irregular = true;
    if (seen & ~(uint32_t)EPOLLOUT)
        run_list_at_edge(loop, s, EVEN__IN);
    if (seen & (EPOLLOUT | unasked))
        run_list_at_edge(loop, s, EVEN__OUT);
    s->polled = 0;
    for (even_op *op = s->pending[EVEN__ANY], *next; op; op = next) {
        next = even__op_of(op->handle.next) == s->pending[EVEN__ANY] ? NULL : even__op_of(op->handle.next);
        if (seen & ((uint32_t)op->args.poll.events | unasked)) {
            even__chain_remove(&s->pending[EVEN__ANY], op);
            even__epoll_finish(e, op, (long)(seen & ((uint32_t)op->args.poll.events | unasked)));
        } else {
            s->polled |= even__epoll_asked(op);
        }
    }
    if (even__epoll_is_watched(s)) {
        for (int list = EVEN__IN; list <= EVEN__OUT; list++) {
            even_watch *w = s->watch[list];
            if (w && (list == EVEN__IN || w != s->watch[EVEN__IN]) && (seen & (w->events | unasked)))
                even__watch_ready(w, (int)(seen & (w->events | unasked)));
        }
        even__epoll_update_or_end(loop, fd, s);     /* what operations no longer want would be told for ever */
    }
    even_op *receive = s->pending[EVEN__IN];
    if ((seen & ~(uint32_t)EPOLLOUT) && receive && even__epoll_stands(s, receive))
        even__receiver_ready(receive);      /* the last: it may start, cancel and close, and `s` may move */
}

static int wait_events(struct even__epoll_state *e, int64_t timeout)
{
    if (timeout > 0 && !e->no_pwait2) {
        struct __kernel_timespec t = { timeout / 1000000000, timeout % 1000000000 };
        int n = (int)even__sys(syscall(SYS_epoll_pwait2, e->fd, e->event, EVEN__EPOLL_EVENTS, &t, NULL, 0));
        if (n != -ENOSYS && n != -EPERM)
            return n;
        e->no_pwait2 = true;
    }
    int ms = -1;
    if (timeout >= 0)
        ms = timeout >= INT64_C(1000000) * INT_MAX ? INT_MAX : (int)((timeout + 999999) / 1000000);
    return (int)even__sys(epoll_wait(e->fd, e->event, EVEN__EPOLL_EVENTS, ms));
}

/* There are results to tell; must the kernel be asked before, all the same? */
static bool look_is_due(even_loop *loop)
{
    const struct even__epoll_state *e = loop->backend_state;
    return loop->passes - e->looked_pass >= LOOK_AFTER_PASSES || now(loop) - e->looked_at >= LOOK_EVERY_NS;
}

static int poll_events(even_loop *loop, int64_t timeout)
{
    struct even__epoll_state *e = loop->backend_state;
    bool have_results = !even__queue_is_empty(&e->done);

    if (!have_results || look_is_due(loop)) {
        int n = wait_events(e, have_results ? 0 : timeout);
        if (n < 0 && n != -EINTR)
            return n;
        e->looked_pass = loop->passes;
        e->looked_at = now(loop);
        for (int i = 0; i < n; i++)
            dispatch(loop, &e->event[i]);
    }
    even_handle batch;      /* what completing one starts is for the next poll */
    even__queue_init(&batch);
    even__queue_splice(&batch, &e->done);
    while (!even__queue_is_empty(&batch)) {
        even_op *op = even__op_of(batch.next);
        even__queue_remove(&op->handle);
        even__op_done(op, op->result);
    }
    return 0;
}

static bool peek(even_loop *loop)
{
    const struct even__epoll_state *e = loop->backend_state;
    return !even__queue_is_empty(&e->done);
}

/* ---- the rest ---- */

static int open_state(even_loop *loop, const even_loop_options *options)
{
    (void)options;
    struct even__epoll_state *e = even__calloc(sizeof *e);
    if (!e)
        return -ENOMEM;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = EVEN__EPOLL_WAKE };
    int rc = e->fd = (int)even__sys(epoll_create1(EPOLL_CLOEXEC));
    e->wake_fd = -1;
    if (rc >= 0)
        rc = e->wake_fd = even__wake_open();
    if (rc >= 0)
        rc = (int)even__sys(epoll_ctl(e->fd, EPOLL_CTL_ADD, e->wake_fd, &event));
    if (rc < 0) {
        if (e->wake_fd >= 0)
            close(e->wake_fd);
        if (e->fd >= 0)
            close(e->fd);
        even__free(e);
        return rc;
    }
    even__queue_init(&e->done);
    loop->backend_state = e;
    return 0;
}

static void close_state(even_loop *loop)
{
    struct even__epoll_state *e = loop->backend_state;
    for (uint32_t fd = 0; fd < e->slots; fd++)
        even__epoll_finish_all(e, &e->slot[fd], -ECANCELED);
    while (!even__queue_is_empty(&e->done)) {   /* bounded: what completing one starts ends at once */
        even_op *op = even__op_of(e->done.next);
        even__queue_remove(&op->handle);
        even__op_done(op, op->result);
    }
    close(e->fd);
    close(e->wake_fd);
    even__free(e->slot);
    even__free(e);
    loop->backend_state = NULL;
}

/* Nothing of epoll belongs to a thread. */
static int attach(even_loop *loop)
{
    (void)loop;
    return 0;
}

static void detach(even_loop *loop, bool comes_back)
{
    (void)loop, (void)comes_back;
}

static void wake(even_loop *loop)
{
    const struct even__epoll_state *e = loop->backend_state;
    even__wake_write(e->wake_fd);
}

static int descriptor(even_loop *loop)
{
    const struct even__epoll_state *e = loop->backend_state;
    return e->fd;
}

static void submit(even_loop *loop)
{
    (void)loop;
}

static int net_socket(even_loop *loop, int family, int type, int protocol)
{
    int fd = even__net_socket(loop, family, type, protocol);
    if (fd >= 0)
        even__epoll_forget(loop, fd);
    return fd;
}

static const struct even__net net = {
    .socket = net_socket,
    .bind = even__net_bind,
    .listen = even__net_listen,
    .name = even__net_name,
    .shutdown = even__net_shutdown,
    .set_option = even__net_set_option,
    .close = even__epoll_close_descriptor,
};

const struct even__backend even__epoll = {
    .name = "epoll",
    .properties = EVEN_LOOP_REAL_FILES | EVEN_LOOP_TRIES_FIRST,
    .open = open_state,
    .close = close_state,
    .attach = attach,
    .detach = detach,
    .now = now,
    .start = even__epoll_start,
    .cancel = even__epoll_cancel,
    .receive = even__epoll_receive,
    .adopt = even__epoll_forget,
    .watch = even__epoll_watch,
    .unwatch = even__epoll_unwatch,
    .wake = wake,
    .poll = poll_events,
    .peek = peek,
    .is_valid = even__epoll_is_valid,
    .fd = descriptor,
    .submit = submit,
    .net = &net,
};
