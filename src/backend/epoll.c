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
#include "../base/sys.h"
#include "../loop/loop.h"
#include "chain.h"
#include "net.h"
#include "wake.h"
#include <limits.h>
#include <linux/time_types.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* An operation waits to read, to write, or (EVEN_OP_POLL) for whatever it says. */
enum { IN = EVEN__IN, OUT = EVEN__OUT, ANY = EVEN__ANY, LISTS };

/* In the done list: its result stands, only nobody was told. */
enum { OP_DONE = EVEN__OP_BACKEND };

static const uint32_t EDGE = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;

/* What is remembered of a descriptor. All zero: nothing. */
struct slot {
    even_op *pending[LISTS];        /* each a chain */
    even_watch *watch[2];
    uint32_t events;                /* as registered; 0: it is not */
    uint32_t polled;                /* what pending[ANY] wants, and perhaps what some wanted that are over by now */
    uint32_t generation;            /* of the registration */
    uint8_t dry;                    /* bit IN, OUT: would give EAGAIN; only while registered as EDGE */
    bool irregular;                 /* a hang-up, an error or urgent data was seen */
    enum { UNKNOWN, TCP, OTHER } type;
};

/* A wait takes this many events at most: a few hundred microseconds of work, then the handles have their turn. What is
 * left stays in the kernel's list, before what comes later. */
enum { EVENTS_MAX = 256 };

/* As in loop.c: while there is something to do without it, the kernel is asked after this many passes, or this long. */
enum { LOOK_AFTER_PASSES = 60, LOOK_EVERY_NS = 100 * 1000 };

/* In place of a generation and a descriptor: an event of what wakes us, which has come with it. */
static const uint64_t WAKE = UINT64_MAX;

struct state {
    int fd;
    int wake_fd;                    /* registered for its edges, and never read */
    bool no_pwait2;                 /* a kernel before 5.11, or a filter */
    even_handle done;               /* operations with a result */
    uint64_t looked_pass;           /* when the kernel was asked last */
    int64_t looked_at;
    struct slot *slot;              /* by descriptor */
    uint32_t slots;
    struct epoll_event event[EVENTS_MAX];
};

static int64_t now(even_loop *loop)
{
    struct timespec t;
    (void)loop;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- the table ---- */

static inline struct slot *find(const struct state *e, int fd)
{
    return (uint32_t)fd < e->slots ? &e->slot[fd] : NULL;
}

/* The slot of an open descriptor (an invalid number could be huge); NULL without memory. */
static struct slot *find_or_grow(struct state *e, int fd)
{
    if (even__likely((uint32_t)fd < e->slots))
        return &e->slot[fd];
    uint32_t slots = e->slots ? e->slots : 64;
    while (slots <= (uint32_t)fd)
        slots *= 2;
    struct slot *slot = even__realloc(e->slot, slots * sizeof *slot);
    if (!slot)
        return NULL;
    memset(slot + e->slots, 0, (slots - e->slots) * sizeof *slot);
    e->slot = slot;
    e->slots = slots;
    return &slot[fd];
}

static inline void finish(struct state *e, even_op *op, long result)
{
    op->result = (int32_t)result;
    op->state = OP_DONE;
    even__queue_append(&e->done, &op->handle);
}

static void finish_all(struct state *e, struct slot *s, int result)
{
    for (int list = 0; list < LISTS; list++) {
        while (s->pending[list]) {
            even_op *op = s->pending[list];
            even__chain_remove(&s->pending[list], op);
            finish(e, op, result);
        }
    }
}

/* ---- registration ---- */

static int control(even_loop *loop, int what, int fd, const struct slot *s, uint32_t events)
{
    struct state *e = loop->backend_state;
    struct epoll_event event = { .events = events, .data.u64 = (uint64_t)s->generation << 32 | (uint32_t)fd };
    if (loop->pid != getpid())      /* the set is shared with the parent: it is the parent's */
        return -EVEN_EFORK;
    return (int)even__sys(epoll_ctl(e->fd, what, fd, &event));
}

static bool is_watched(const struct slot *s)
{
    return s->watch[IN] || s->watch[OUT];
}

/* What a poll wants. */
static uint32_t asked(const even_op *op)
{
    return (uint32_t)op->args.poll.events & (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP);
}

static uint32_t wanted(const struct slot *s)
{
    uint32_t events = s->pending[ANY] ? s->polled : 0;

    if (!is_watched(s))     /* an edge-triggered registration costs nothing while nobody waits: it stays */
        return s->pending[IN] || s->pending[OUT] || s->pending[ANY] || s->events == EDGE ? EDGE : 0;
    if (s->watch[IN] || s->pending[IN])
        events |= EPOLLIN;
    if (s->watch[OUT] || s->pending[OUT])
        events |= EPOLLOUT;
    return events;
}

/* Register what is wanted. `make_sure`: even if it stands registered so; the number may have another meaning now. */
static int update(even_loop *loop, int fd, struct slot *s, bool make_sure)
{
    uint32_t events = wanted(s);
    if (events == s->events && !make_sure)
        return 0;
    if (!events) {
        control(loop, EPOLL_CTL_DEL, fd, s, 0);     /* fails if it was closed, which is as good */
        s->events = 0;
        s->generation++;
        return 0;
    }
    bool known = s->events != 0;
    int rc = control(loop, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, s, events);
    if (rc == (known ? -ENOENT : -EEXIST))
        rc = control(loop, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, s, events);
    s->events = rc < 0 ? 0 : events;
    s->dry = 0;     /* whichever call it was, epoll tells at once of what is ready */
    return rc;
}

/* The number will mean, or means already, another file. */
static void forget(even_loop *loop, int fd)
{
    struct slot *s = find(loop->backend_state, fd);
    if (!s)
        return;
    if (s->events && s->events != EDGE)     /* an edge of a duplicate does no harm, a level would be told for ever */
        control(loop, EPOLL_CTL_DEL, fd, s, 0);
    finish_all(loop->backend_state, s, -ECANCELED);
    *s = (struct slot){ .generation = s->generation + 1 };
}

/* ---- operations ---- */

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

/* Did this result leave the direction dry? */
static bool drained(struct slot *s, const even_op *op, long r)
{
    if (s->events != EDGE)
        return false;
    if (r == -EAGAIN)
        return !(even__op_is(op, EVEN__OP_FLAGS) && (op->flags & (MSG_OOB | MSG_ERRQUEUE)));    /* no word of the bytes */
    if (r <= 0 || even__op_row(op)->args != EVEN__ARGS_bytes || (size_t)r >= op->args.bytes.length || s->irregular ||
        (op->flags & (MSG_PEEK | MSG_OOB | MSG_WAITALL)))
        return false;   /* a sendfile may be at its file's end, and what came short of all met something */
    if (s->type == UNKNOWN) {
        int protocol = 0;
        socklen_t n = sizeof protocol;
        long rc = even__sys(getsockopt(op->fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &n));
        s->type = rc == 0 && protocol == IPPROTO_TCP ? TCP : OTHER;
    }
    return s->type == TCP;
}

/* The operation was tried: true if it is over, false if it has to wait. `s` may be NULL. */
static inline bool settle(even_loop *loop, struct slot *s, even_op *op, long r)
{
    if (op->kind == EVEN_OP_ACCEPT && r >= 0) {
        struct slot *made = find(loop->backend_state, (int)r);
        if (made) {
            forget(loop, (int)r);
            made->type = s ? s->type : UNKNOWN;
        }
    } else if (s && drained(s, op, r)) {
        s->dry |= (uint8_t)(1 << even__op_row(op)->waits);
    }
    return r != -EAGAIN || does_not_wait(op);
}

/* Try those that wait, in order, until one has to wait on. Bounded: nothing joins the queue meanwhile. */
static void run_list(even_loop *loop, struct slot *s, int list)
{
    even_op *op;
    while ((op = s->pending[list]) && (!(s->dry & 1 << list) || does_not_wait(op))) {
        long r = try(op);
        if (!settle(loop, s, op, r))
            return;
        even__chain_remove(&s->pending[list], op);
        finish(loop->backend_state, op, r);
    }
}

static void wait_for(even_loop *loop, even_op *op, bool make_sure)
{
    struct state *e = loop->backend_state;
    int list = even__op_row(op)->waits, rc;
    struct slot *s = find_or_grow(e, op->fd);
    if (!s) {
        finish(e, op, -ENOMEM);
        return;
    }
    if (list == ANY)
        s->polled = (s->pending[ANY] ? s->polled : 0) | asked(op);
    even__chain_append(&s->pending[list], op);
    if ((rc = update(loop, op->fd, s, make_sure)) < 0) {
        even__chain_remove(&s->pending[list], op);
        finish(e, op, rc);
    }
}

static int close_descriptor(even_loop *loop, int fd)
{
    forget(loop, fd);
    return even__net_close(loop, fd);
}

/* Trying here, not in the next poll, costs the same calls, and the caller's data are still in the cache. */
static void start(even_loop *loop, even_op *op)
{
    struct state *e = loop->backend_state;
    struct slot *s = find(e, op->fd);
    bool make_sure = false;
    long r;

    if (even__unlikely(loop->closing) && !even__op_is(op, EVEN__OP_CLOSES)) {
        finish(e, op, -ECANCELED);
        return;
    }
    switch (even__op_kind(op)) {
    case EVEN_OP_NONE:
        even__bug("an operation without a kind", __FILE__, __LINE__);
    case EVEN_OP_CLOSE:
        finish(e, op, close_descriptor(loop, op->fd));
        return;
    case EVEN_OP_CONNECT:
        r = even__sys(connect(op->fd, op->args.connect.address, op->args.connect.length));
        if (r != -EINPROGRESS && r != -EINTR) {     /* interrupted, it goes on all the same */
            finish(e, op, r);
            return;
        }
        if (s)
            s->irregular = false;   /* a socket that is not connected looks hung up */
        make_sure = true;
        break;
    case EVEN_OP_POLL:
        r = poll_now(op->fd, op->args.poll.events);
        if (r != 0) {
            finish(e, op, r);
            return;
        }
        make_sure = true;
        break;
    case EVEN_OP_RECEIVE:
        /* A registration that is made or changed tells of what is there; one that stands may have told it already. And a
         * number that the table has no room for may be none. */
        if (!s || (s->events == EDGE && !(s->dry & 1 << IN))) {
            r = poll_now(op->fd, POLLIN);
            if (r > 0 && !(r & POLLIN))
                r = even__net_peek(op->fd);     /* is there more than the queue of errors? */
            if (r != 0 && r != -EAGAIN) {
                finish(e, op, r);
                return;
            }
            if (s)
                s->dry |= (uint8_t)(1 << IN);
        }
        break;
    case EVEN_OP_ACCEPT: case EVEN_OP_RECV: case EVEN_OP_SEND: case EVEN_OP_READ: case EVEN_OP_WRITE: case EVEN_OP_RECVMSG:
    case EVEN_OP_SENDMSG: case EVEN_OP_SENDFILE: {
        int list = even__op_row(op)->waits;
        if (s && (s->pending[list] || ((s->dry & 1 << list) && !does_not_wait(op))))
            break;
        r = try(op);
        if (settle(loop, s, op, r)) {
            finish(e, op, r);
            return;
        }
    }
    }
    wait_for(loop, op, make_sure);
}

static void cancel(even_loop *loop, even_op *op)
{
    struct state *e = loop->backend_state;
    if (op->state == OP_DONE)
        return;
    struct slot *s = find(e, op->fd);
    int list = even__op_row(op)->waits;
    even__chain_remove(&s->pending[list], op);
    finish(e, op, -ECANCELED);
    if (s->pending[list] && does_not_wait(s->pending[list]))    /* its turn has come */
        run_list(loop, s, list);
    if (is_watched(s))
        update(loop, op->fd, s, false);
}

static ssize_t receive(even_loop *loop, even_op *op, void *buffer, size_t length)
{
    struct slot *s = find(loop->backend_state, op->fd);
    if (s && (s->dry & 1 << IN))
        return -EAGAIN;
    even_op now = { .loop = loop, .fd = op->fd, .kind = EVEN_OP_RECV, .args.bytes = { buffer, length } };
    long r = try(&now);
    settle(loop, s, &now, r);
    return r;
}

/* ---- watches ---- */

static int watch(even_loop *loop, even_watch *w)
{
    struct state *e = loop->backend_state;
    bool in = w->events & POLLIN, out = w->events & POLLOUT;

    if (!in && !out)
        return -EINVAL;
    struct slot *s = find(e, w->fd);
    if (!s) {
        struct pollfd p = { w->fd, 0, 0 };
        if (w->fd < 0 || even__sys(poll(&p, 1, 0)) < 0 || p.revents & POLLNVAL)
            return -EBADF;
        if (!(s = find_or_grow(e, w->fd)))
            return -ENOMEM;
    }
    if ((in && s->watch[IN]) || (out && s->watch[OUT]))
        return -EEXIST;
    if (in)
        s->watch[IN] = w;
    if (out)
        s->watch[OUT] = w;
    int rc = update(loop, w->fd, s, true);
    if (rc < 0) {
        if (in)
            s->watch[IN] = NULL;
        if (out)
            s->watch[OUT] = NULL;
    }
    return rc;
}

static void unwatch(even_loop *loop, even_watch *w)
{
    struct state *e = loop->backend_state;
    struct slot *s = find(e, w->fd);
    int rc;

    if (s->watch[IN] != w && s->watch[OUT] != w)
        return;     /* its descriptor was closed before it */
    for (int list = IN; list <= OUT; list++)
        if (s->watch[list] == w)
            s->watch[list] = NULL;
    if ((rc = update(loop, w->fd, s, false)) < 0)
        finish_all(e, s, rc);
}

/* ---- poll ---- */

static void run_list_at_edge(even_loop *loop, struct slot *s, int list)
{
    s->dry &= (uint8_t)~(1 << list);
    run_list(loop, s, list);
}

static void dispatch(even_loop *loop, const struct epoll_event *event)
{
    struct state *e = loop->backend_state;
    int fd = (int)(uint32_t)event->data.u64;
    uint32_t seen = event->events, unasked = EPOLLERR | EPOLLHUP;
    struct slot *s = find(e, fd);

    if (event->data.u64 == WAKE || s->generation != event->data.u64 >> 32)
        return;
    if (seen & (unasked | EPOLLRDHUP | EPOLLPRI))
        s->irregular = true;
    if (seen & ~(uint32_t)EPOLLOUT)
        run_list_at_edge(loop, s, IN);
    if (seen & (EPOLLOUT | unasked))
        run_list_at_edge(loop, s, OUT);
    s->polled = 0;
    for (even_op *op = s->pending[ANY], *next; op; op = next) {
        next = even__op_of(op->handle.next) == s->pending[ANY] ? NULL : even__op_of(op->handle.next);
        if (seen & ((uint32_t)op->args.poll.events | unasked)) {
            even__chain_remove(&s->pending[ANY], op);
            finish(e, op, (long)(seen & ((uint32_t)op->args.poll.events | unasked)));
        } else {
            s->polled |= asked(op);
        }
    }
    if (is_watched(s)) {
        for (int list = IN; list <= OUT; list++) {
            even_watch *w = s->watch[list];
            if (w && (list == IN || w != s->watch[IN]) && (seen & (w->events | unasked)))
                even__watch_ready(w, (int)(seen & (w->events | unasked)));
        }
        update(loop, fd, s, false);     /* what operations no longer want would be told for ever */
    }
}

static int wait_events(struct state *e, int64_t timeout)
{
    if (timeout > 0 && !e->no_pwait2) {
        struct __kernel_timespec t = { timeout / 1000000000, timeout % 1000000000 };
        int n = (int)even__sys(syscall(SYS_epoll_pwait2, e->fd, e->event, EVENTS_MAX, &t, NULL, 0));
        if (n != -ENOSYS && n != -EPERM)
            return n;
        e->no_pwait2 = true;
    }
    int ms = -1;
    if (timeout >= 0)
        ms = timeout >= INT64_C(1000000) * INT_MAX ? INT_MAX : (int)((timeout + 999999) / 1000000);
    return (int)even__sys(epoll_wait(e->fd, e->event, EVENTS_MAX, ms));
}

/* There are results to tell; must the kernel be asked before, all the same? */
static bool look_is_due(even_loop *loop)
{
    const struct state *e = loop->backend_state;
    return loop->passes - e->looked_pass >= LOOK_AFTER_PASSES || now(loop) - e->looked_at >= LOOK_EVERY_NS;
}

static int poll_events(even_loop *loop, int64_t timeout)
{
    struct state *e = loop->backend_state;
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
    const struct state *e = loop->backend_state;
    return !even__queue_is_empty(&e->done);
}

/* ---- the rest ---- */

static int open_state(even_loop *loop, const even_loop_options *options)
{
    (void)options;
    struct state *e = even__calloc(sizeof *e);
    if (!e)
        return -ENOMEM;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE };
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
    struct state *e = loop->backend_state;
    for (uint32_t fd = 0; fd < e->slots; fd++)
        finish_all(e, &e->slot[fd], -ECANCELED);
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

static void detach(even_loop *loop)
{
    (void)loop;
}

static void wake(even_loop *loop)
{
    const struct state *e = loop->backend_state;
    even__wake_write(e->wake_fd);
}

static int descriptor(even_loop *loop)
{
    const struct state *e = loop->backend_state;
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
        forget(loop, fd);
    return fd;
}

static const struct even__net net = {
    .socket = net_socket,
    .bind = even__net_bind,
    .listen = even__net_listen,
    .name = even__net_name,
    .shutdown = even__net_shutdown,
    .set_option = even__net_set_option,
    .close = close_descriptor,
};

const struct even__backend even__epoll = {
    .name = "epoll",
    .properties = EVEN_LOOP_REAL_FILES | EVEN_LOOP_TRIES_FIRST,
    .open = open_state,
    .close = close_state,
    .attach = attach,
    .detach = detach,
    .now = now,
    .start = start,
    .cancel = cancel,
    .receive = receive,
    .adopt = forget,
    .watch = watch,
    .unwatch = unwatch,
    .wake = wake,
    .poll = poll_events,
    .peek = peek,
    .fd = descriptor,
    .submit = submit,
    .net = &net,
};
