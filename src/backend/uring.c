/* io_uring (Linux 6.1 and later): what was started is handed over in one batch with the wait, one system call a pass.
 * (It is over 800 lines because an operation moves between lists that all of its parts share; receiving is uring_receive.c.)
 *
 * An operation always stands in exactly one list, linked through its handle:
 *
 *   start() -> waiting -> submitted -> over          submission entries are written in poll() and submit() only, so
 *               |   ^      |    ^                    that what has not been handed over is in user space alone: it can
 *               v   |      v    |                    wait for a full ring or for another thread, and be cancelled
 *              held |   canceling                    without asking the kernel. `working` is `submitted` for what one of
 *               |   |                                the kernel's threads may do
 *   cancel() -> ended -> over
 *
 * A sendfile is a poll, and sendfile(2) when that has come: io_uring has none, and what it offers instead, two splices
 * through a pipe, goes to the kernel's threads, needs two descriptors, and when it is cancelled may leave bytes in the pipe
 * that have left the file and reach nobody. So is a transfer with MSG_WAITALL, and the calls that it then takes: see backend.h.
 *
 * Held, in a queue of each lane, are transfers behind another one of their descriptor: the kernel would let them overtake each
 * other.
 *
 * A ring belongs to the thread that enabled it, a loop does not: see "from thread to thread" below.
 *
 * The wake-up descriptor is never read: one multishot poll reports every write to it, and one that is left in an old ring takes
 * no wake-up from another ring.
 *
 * The descriptor of a ring does not wake those who poll it when there is only task work to be run (DEFER_TASKRUN). A
 * foreign loop gets an epoll set with what does, edge-triggered: an eventfd that the ring signals, and the wake-up
 * descriptor.
 */
#include "uring.h"
#include "../base/sys.h"
#include "../base/thread.h"
#include "chain.h"
#include "net.h"
#include "wake.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    SQ_ENTRIES = 256,           /* a batch larger than this takes a system call for each 256 */
    CQ_ENTRIES = 4096,          /* more completions at once are kept by the kernel, and cost it an allocation each */
    WORKERS_BOUNDED = 8,        /* the kernel's threads for files, */
    WORKERS_UNBOUNDED = 64,     /* and for what cannot be polled */
    REGISTER_AFTER = 256,       /* system calls of a run after which registering the ring pays */
    PORTS_MAX = 1 << 24,
    CANCEL_AGAIN_NS = 10 * 1000 * 1000,
    FAILURES_MAX = 1000
};

/* HELD: in its lane, behind the one that has it. GRANTED: it waits, but its lane is its own already, so that nothing of its
 * lane can come before it. */
enum { SUBMITTED = EVEN__OP_BACKEND, HELD, GRANTED, ENDING };

/* An operation's `own`. EDGES: its poll is of many shots, because one of one shot would come at once for ever: there is something
 * in the socket's queue of errors. When it has what it waited for, op->result says so, and it is ENDING until the poll is. */
enum { EDGES = 1 };

/* What a completion's user_data points to; an operation's address has none of these bits. */
enum { FOR_NOBODY = 0, FOR_RECORD = 1, FOR_WAKE = 2 };

/* How far a connect is, its `phase`: one that was recalled goes on in the socket, and would
 * fail with EALREADY if it were simply issued again. */
enum { CONNECT_FIRST, CONNECT_WAIT, CONNECT_AGAIN };

/* A watch's one-shot poll. Apart from the watch, because the kernel may still have it when the watch is gone. */
struct record {
    even_handle link;
    even_watch *watch;          /* NULL: nobody wants it any more */
    bool in_kernel;
};

/* By descriptor. The kernel does not keep the order of several transfers in one direction: one has the lane, those behind it
 * are held. */
struct port {
    struct record *in, *out;    /* who watches it */
    even_op *held[2];           /* circular, in the order of their starts; no head, because the table moves */
    bool busy[2];
};

static struct record *record_of(even_handle *h)
{
    return even__container_of(h, struct record, link);
}

static void move(even_handle *to, even_handle *h)
{
    even__queue_remove(h);
    even__queue_append(to, h);
}

/* ---- the ring ---- */

static const uint8_t needed[] = { IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_SEND, IORING_OP_READ,
                                  IORING_OP_WRITE, IORING_OP_POLL_ADD, IORING_OP_CLOSE, IORING_OP_ASYNC_CANCEL,
                                  IORING_OP_RECVMSG, IORING_OP_SENDMSG };

static int ring_probe(struct io_uring *ring)
{
    union {
        struct io_uring_probe probe;
        char space[sizeof(struct io_uring_probe) + IORING_OP_LAST * sizeof(struct io_uring_probe_op)];
    } u;
    memset(&u, 0, sizeof u);
    int rc = even__fault_syscall("io_uring_register(PROBE)");
    if (rc == 0)
        rc = io_uring_register_probe(ring, &u.probe, IORING_OP_LAST);
    for (size_t i = 0; rc == 0 && i < sizeof needed; i++)
        if (!io_uring_opcode_supported(&u.probe, needed[i]))
            rc = -EINVAL;
    return rc;
}

/* liburing maps and unmaps rings by system calls of its own, which ThreadSanitizer does not see: that one ring was gone
 * before another was made, maybe at its address, is said here. */
static _Atomic unsigned rings_gone;

/* Made disabled: then it belongs to the thread that enables it, not to the one that opens the loop. */
static int ring_make(struct even__uring_state *s)
{
    const unsigned features = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_CQE_SKIP |
                              IORING_FEAT_RW_CUR_POS | IORING_FEAT_SUBMIT_STABLE;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
        .cq_entries = CQ_ENTRIES,
    };
    int rc = even__fault_syscall("io_uring_setup");
    if (rc == 0)
        rc = io_uring_queue_init_params(SQ_ENTRIES, &s->ring, &p);
    if (rc < 0)
        return rc;
    (void)atomic_load_explicit(&rings_gone, memory_order_acquire);
    rc = (p.features & features) == features ? ring_probe(&s->ring) : -EINVAL;
    if (rc < 0) {
        io_uring_queue_exit(&s->ring);
        return rc;
    }
    /* Later versions of liburing make a ring without it, where the kernel can. */
    for (unsigned i = 0; s->ring.sq.array && i < p.sq_entries; i++)
        s->ring.sq.array[i] = i;
    s->made = true;
    s->owner = 0;
    return 0;
}

static void ring_drop(struct even__uring_state *s)
{
    if (!s->made)
        return;
    if (s->registered && s->owner != even__thread_number())
        s->ring.int_flags = 0;      /* another thread's registration: the same index may be a ring of ours */
    atomic_fetch_add_explicit(&rings_gone, 1, memory_order_release);
    io_uring_queue_exit(&s->ring);
    even__uring_buffers_unregistered(s);
    s->made = s->attached = s->registered = s->signals = s->wake_armed = false;
}

/* The one system call. Hands over all entries; waits for `wanted` completions, but for `timeout` ns at most (-1:
 * without end). What is no failure is 0. */
static int enter(struct even__uring_state *s, unsigned wanted, int64_t timeout, unsigned flags)
{
    unsigned submit = io_uring_sq_ready(&s->ring);
    struct __kernel_timespec ts = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    struct io_uring_getevents_arg arg = { .ts = (uint64_t)(uintptr_t)&ts };
    bool timed = timeout > 0;
    if (timed)
        flags |= IORING_ENTER_EXT_ARG;
    if (s->registered)
        flags |= IORING_ENTER_REGISTERED_RING;
    io_uring_smp_store_release(s->ring.sq.ktail, s->ring.sq.sqe_tail);

    int rc = even__fault_syscall("io_uring_enter");
    if (rc == 0)
        rc = io_uring_enter2((unsigned)s->ring.enter_ring_fd, submit, wanted, flags,
                             timed ? (sigset_t *)(void *)&arg : NULL, timed ? sizeof arg : 0);
    s->enters++;
    /* EAGAIN and EBUSY: short of memory, or of room for completions; what is ready is reaped, and the next pass tries
     * again. */
    return rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY ? 0 : rc;
}

/* Only the thread that owns the ring may; it does in attach() if it could not here. */
static int ring_signals(struct even__uring_state *s)
{
    if (s->outer_fd < 0 || s->signals || !s->made || (s->owner && s->owner != even__thread_number()))
        return 0;
    int rc = even__fault_syscall("io_uring_register(EVENTFD)");
    if (rc == 0)
        rc = io_uring_register_eventfd(&s->ring, s->signal_fd);
    s->signals = rc == 0;
    return rc;
}

static unsigned kernel_flags(struct even__uring_state *s)
{
    return IO_URING_READ_ONCE(*s->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* A free entry; NULL if the kernel takes none just now. */
static struct io_uring_sqe *next_entry(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
    if (even__unlikely(!sqe) && enter(s, 0, 0, 0) == 0)
        sqe = io_uring_get_sqe(&s->ring);
    return sqe;
}

/* ---- descriptors ---- */

/* NULL without memory. */
static struct port *port_of(struct even__uring_state *s, int fd)
{
    if (even__unlikely(fd >= s->ports_count)) {
        int n = s->ports_count ? s->ports_count : 64;
        while (n <= fd)
            n *= 2;
        struct port *p = even__realloc(s->ports, (size_t)n * sizeof *p);
        if (!p)
            return NULL;
        memset(p + s->ports_count, 0, (size_t)(n - s->ports_count) * sizeof *p);
        s->ports = p;
        s->ports_count = n;
    }
    return &s->ports[fd];
}

/* The lane in which the operation keeps its order, 0 in and 1 out; -1: none. */
static int lane_of(const even_op *op)
{
    if (even__unlikely((unsigned)op->fd >= PORTS_MAX))
        return -1;
    int lane = even__op_row(op)->lane;
    return lane == EVEN__NOWHERE ? -1 : lane;
}

/* Take the lane for it. If another one has it, the operation is put aside until that is over. */
static bool lane_enter(struct even__uring_state *s, even_op *op, int which)
{
    struct port *p = port_of(s, op->fd);
    if (even__unlikely(!p)) {
        op->result = -ENOMEM;
        move(&s->ended, &op->handle);
        return false;
    }
    if (even__unlikely(p->busy[which])) {
        even__queue_remove(&op->handle);
        even__chain_append(&p->held[which], op);
        op->state = HELD;
        return false;
    }
    p->busy[which] = true;
    return true;
}

/* It is over: the lane is the next one's. */
static void lane_leave(struct even__uring_state *s, int fd, int which)
{
    struct port *p = &s->ports[fd];
    even_op *next = p->held[which];
    if (even__unlikely(next)) {
        even__chain_remove(&p->held[which], next);
        even__queue_append(&s->waiting, &next->handle);
        next->state = GRANTED;
    } else {
        p->busy[which] = false;
    }
}

/* ---- handing over ---- */

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
    if (even__unlikely(op->own & EDGES))
        io_uring_prep_poll_multishot(sqe, op->fd, events);
    else
        io_uring_prep_poll_add(sqe, op->fd, events);
}

static void prepare(struct even__uring_state *s, struct io_uring_sqe *sqe, even_op *op)
{
    union even_op_args *a = &op->args;
    if (even__unlikely(op->own & EDGES) || even__op_wants_all(op)) {
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
        if (a->connect.phase == CONNECT_WAIT)
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
    int lane = lane_of(op);
    if (lane >= 0)
        lane_leave(s, op->fd, lane);
    op->result = (int32_t)r;
    op->state = EVEN__OP_CANCELING;     /* it cannot be canceled any more */
    move(&s->ended, &op->handle);
    return true;
}

/* A cancel's own completion says nothing that the other's does not. */
static void prepare_cancel(struct io_uring_sqe *sqe, uint64_t target, int flags)
{
    io_uring_prep_cancel64(sqe, target, flags);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    set_data(sqe, NULL, FOR_NOBODY);
}

/* Where an operation stands that the kernel has. */
static even_handle *list_in_kernel(struct even__uring_state *s, const even_op *op)
{
    return even__unlikely(even__op_is(op, EVEN__OP_THREAD)) ? &s->working : &s->submitted;
}

/* Write an entry for each cancel; false if not all found room. */
static bool fill_cancels(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe;
    while (!even__queue_is_empty(&s->canceling)) {
        even_handle *h = s->canceling.next;
        if (!(sqe = next_entry(s)))
            return false;
        prepare_cancel(sqe, (uint64_t)(uintptr_t)even__op_of(h), 0);
        move(list_in_kernel(s, even__op_of(h)), h);
    }
    while (!even__queue_is_empty(&s->disarming)) {
        even_handle *h = s->disarming.next;
        if (!(sqe = next_entry(s)))
            return false;
        prepare_cancel(sqe, (uint64_t)(uintptr_t)record_of(h) | FOR_RECORD, 0);
        move(&s->armed, h);
    }
    return true;
}

/* The same for all that is to be handed over. Cancels go first, so that they meet nothing that was started after them. Bounded:
 * nothing here starts anything. */
static bool fill(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe;

    if (even__unlikely(!s->wake_armed)) {
        if (!(sqe = next_entry(s)))
            return false;
        io_uring_prep_poll_multishot(sqe, s->wake_fd, POLLIN);
        set_data(sqe, NULL, FOR_WAKE);
        s->wake_armed = true;
    }
    if (!fill_cancels(s))
        return false;
    for (even_handle *h = s->arming.next, *next; h != &s->arming; h = next) {
        struct record *r = record_of(h);
        next = h->next;
        if (even_handle_is_queued(&r->watch->handle))
            continue;
        if (!(sqe = next_entry(s)))
            return false;
        io_uring_prep_poll_add(sqe, r->watch->fd, r->watch->events);
        set_data(sqe, r, FOR_RECORD);
        r->in_kernel = true;
        s->pending++;
        move(&s->armed, h);
    }
    while (!even__queue_is_empty(&s->waiting)) {
        even_op *op = even__op_of(s->waiting.next);
        int lane = lane_of(op);
        if (lane >= 0 && op->state != GRANTED) {
            if (!lane_enter(s, op, lane))
                continue;
            op->state = GRANTED;
        }
        if (even__op_wants_all(op) && op->moved == 0 && is_over_at_once(s, op))
            continue;
        if (!(sqe = next_entry(s)))
            return false;
        prepare(s, sqe, op);
        op->state = SUBMITTED;
        s->pending++;
        move(list_in_kernel(s, op), &op->handle);
    }
    return true;
}

static bool is_in_kernel(const even_op *op)
{
    return op->state == SUBMITTED || op->state == EVEN__OP_CANCELING || op->state == ENDING;
}

/* ---- completions ---- */

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

/* It is to be handed over again. While much is recalled it keeps its place among the others. */
static void take_back(struct even__uring_state *s, even_op *op)
{
    op->state = lane_of(op) >= 0 ? GRANTED : EVEN__OP_PENDING;
    if (!s->recalling)
        move(&s->waiting, &op->handle);
}

/* The same for one that the kernel let go before it was over: a connect, which went on in its socket, is looked at first. */
static void ask_again(struct even__uring_state *s, even_op *op)
{
    if (op->kind == EVEN_OP_CONNECT)
        op->args.connect.phase = CONNECT_WAIT;
    take_back(s, op);
}

/* A connect that was recalled once: true if it goes on. */
static bool connect_goes_on(struct even__uring_state *s, even_op *op, int32_t *result)
{
    if (op->args.connect.phase == CONNECT_WAIT && *result >= 0) {
        op->args.connect.phase = CONNECT_AGAIN;     /* now connect(2) tells how it ended */
    } else if (op->args.connect.phase == CONNECT_AGAIN && *result == -EALREADY) {
        op->args.connect.phase = CONNECT_WAIT;
    } else {
        if (op->args.connect.phase == CONNECT_AGAIN && *result == -EISCONN)
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
    return op->kind == EVEN_OP_SENDFILE || even__op_wants_all(op) ||
           (op->kind == EVEN_OP_RECEIVE && (op->args.receive.how & EVEN__URING_POLLED));
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
        op->own |= EDGES;
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
    if (op->state == SUBMITTED && cqe->res >= 0) {
        int32_t r = attempt(op, cqe->res);
        if (r != -EAGAIN) {
            op->result = r;
            op->state = ENDING;
            move(&s->canceling, &op->handle);
        }
    }
    return true;
}

static void op_ended(struct even__uring_state *s, even_op *op, int32_t result)
{
    if (result >= 0)
        mark_received(op, result);
    even__queue_remove(&op->handle);
    int lane = lane_of(op);
    if (lane >= 0)
        lane_leave(s, op->fd, lane);
    even__op_done(op, result);
}

static void op_completed(struct even__uring_state *s, even_op *op, int32_t result)
{
    s->pending--;
    if (even__unlikely(op->state == ENDING)) {
        op_ended(s, op, op->result);
        return;
    }
    if (even__unlikely(result < 0)) {
        bool asked = op->state == EVEN__OP_CANCELING;
        if (result == -EINTR && even__op_is(op, EVEN__OP_CLOSES))
            result = 0;     /* the descriptor is gone all the same: see even__net_close() */
        else if (!asked && (result == -EINTR || (result == -ECANCELED && s->recalling))) {
            ask_again(s, op);
            return;
        }
        if (result == -EINTR)   /* how a cancel ends what one of the kernel's threads was doing */
            result = -ECANCELED;
    }
    if (op->kind == EVEN_OP_CONNECT && op->args.connect.phase != CONNECT_FIRST && connect_goes_on(s, op, &result))
        return;
    if (is_polled(op) && polled_goes_on(s, op, &result))
        return;
    op_ended(s, op, result);
}

static void record_completed(struct even__uring_state *s, struct record *r, int32_t result)
{
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
    move(&s->arming, &r->link);
    if (!(result == -ECANCELED && s->recalling))
        even__watch_ready(r->watch, result < 0 ? POLLERR : result);
}

static void op_came(struct even__uring_state *s, even_op *op, const struct io_uring_cqe *cqe)
{
    int32_t result = cqe->res;
    if (even__unlikely(op->own & EDGES) && edge_goes_on(s, op, cqe))
        return;
    if (op->kind == EVEN_OP_RECEIVE && even__uring_received(s, op, cqe, &result))
        return;
    op_completed(s, op, result);
}

/* Bounded: by what had come when it began; what comes of it is for the next pass. */
static void reap(struct even__uring_state *s)
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
        } else if (cqe->user_data & FOR_RECORD) {
            record_completed(s, pointer, cqe->res);
        } else {
            s->wake_armed = cqe->flags & IORING_CQE_F_MORE;     /* what it brought is in the inbox */
        }
    }
    io_uring_smp_store_release(s->ring.cq.khead, head);
}

/* Those that the kernel never saw. True if there were any. Bounded: what is cancelled meanwhile is for the next
 * pass. */
static bool end_all(struct even__uring_state *s)
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

/* ---- the seam ---- */

static int uring_open(even_loop *loop, const even_loop_options *options)
{
    (void)options;
    struct even__uring_state *s = even__calloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    s->outer_fd = s->signal_fd = -1;
    int rc = s->wake_fd = even__wake_open();
    if (rc >= 0 && (rc = ring_make(s)) < 0)
        close(s->wake_fd);
    if (rc < 0) {
        even__free(s);
        return rc;
    }
    s->loop = loop;
    even_handle *lists[] = { &s->waiting, &s->submitted, &s->working, &s->canceling, &s->ended,
                             &s->arming, &s->armed, &s->disarming };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        even__queue_init(lists[i]);
    loop->backend_state = s;
    return 0;
}

/* ---- from thread to thread ----
 *
 * A ring is used by the thread that enabled it and by no other. But what waits in it for a socket, a pipe or a terminal to be
 * ready touches nothing before that thread asks for completions (DEFER_TASKRUN): so it may stay there between two runs, and if
 * another thread makes the next one, it leaves the ring as it is, and asks for the same in a ring of its own. What one of the
 * kernel's threads may be at work on (files; closes) can have had its effect, and only this ring will tell: so detach() waits
 * for the end of it, and takes back what had not begun. */

/* Ask for the end of what is in the kernel of these; what finds no room now is asked in another round. One by one, because the
 * kernel would look for them all (CANCEL_ANY) in quadratic time. */
static void cancel_ops(struct even__uring_state *s, const even_handle *list)
{
    struct io_uring_sqe *sqe;
    for (even_handle *h = list->next; h != list; h = h->next)
        if (is_in_kernel(even__op_of(h)) && (sqe = next_entry(s)))
            prepare_cancel(sqe, (uint64_t)(uintptr_t)even__op_of(h), 0);
}

static void cancel_records(struct even__uring_state *s, const even_handle *list)
{
    struct io_uring_sqe *sqe;
    for (even_handle *h = list->next; h != list; h = h->next)
        if (record_of(h)->in_kernel && (sqe = next_entry(s)))
            prepare_cancel(sqe, (uint64_t)(uintptr_t)record_of(h) | FOR_RECORD, 0);
}

static unsigned count_in_kernel(const even_handle *list)
{
    unsigned n = 0;
    for (even_handle *h = list->next; h != list; h = h->next)
        n += is_in_kernel(even__op_of(h));
    return n;
}

/* Let the kernel let go of all that it has, or only of what its threads may be at work on, and wait for that. What ends only
 * because of this stands in its old list then, taken back. Only the ring's thread can do it. */
static void recall(struct even__uring_state *s, bool all)
{
    bool ask = true;
    unsigned left;
    s->recalling = true;
    for (int failures = 0; (left = all ? s->pending : count_in_kernel(&s->working)) > 0;) {     /* ends, for all was asked to */
        if (ask) {
            cancel_ops(s, &s->working);
            if (all) {
                cancel_ops(s, &s->submitted);
                cancel_ops(s, &s->canceling);
                cancel_records(s, &s->armed);
                cancel_records(s, &s->disarming);
            }
        }
        unsigned wanted = left < CQ_ENTRIES ? left : CQ_ENTRIES;
        if (enter(s, wanted, CANCEL_AGAIN_NS, IORING_ENTER_GETEVENTS) < 0)
            even__check(++failures < FAILURES_MAX);     /* the kernel has buffers of ours: there is no way back */
        unsigned seen = io_uring_cq_ready(&s->ring);
        reap(s);
        ask = !seen;    /* the kernel may have been about to try one again just as we asked */
    }
    s->recalling = false;
}

/* What was recalled is handed over anew, the older ones first. */
static void wait_again(struct even__uring_state *s, even_handle *list)
{
    even__queue_splice(list, &s->waiting);
    even__queue_splice(&s->waiting, list);
}

/* Does it wait in the kernel for its descriptor to be ready, as what is non-blocking does, and no thread works on it? */
static bool waits_for_readiness(const even_op *op)
{
    struct stat st;
    if (even__op_is(op, EVEN__OP_CLOSES) || even__sys(fstat(op->fd, &st)) < 0)
        return false;
    long flags = even__sys(fcntl(op->fd, F_GETFL));
    return (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) && flags >= 0 && (flags & O_NONBLOCK);
}

/* Nothing may be with the kernel that another thread could not do without. */
static void recall_working(struct even__uring_state *s)
{
    if (!even__queue_is_empty(&s->canceling))
        (void)fill_cancels(s);
    for (even_handle *h = s->working.next, *next; h != &s->working; h = next) {
        next = h->next;
        if (waits_for_readiness(even__op_of(h)))
            move(&s->submitted, h);     /* known from now on */
    }
    if (!even__queue_is_empty(&s->working)) {
        recall(s, false);
        wait_again(s, &s->working);
    }
}

/* Completions that found no room are the kernel's to keep until they are asked for. Bounded: nothing is started meanwhile. */
static void reap_overflow(struct even__uring_state *s)
{
    for (int failures = 0; IO_URING_READ_ONCE(*s->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;) {
        reap(s);
        if (enter(s, 0, 0, IORING_ENTER_GETEVENTS) < 0)
            even__check(++failures < FAILURES_MAX);     /* there is what has been moved already in them */
    }
}

static void uring_detach(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    if (!s->attached)
        return;
    if (even__unlikely(!even__queue_is_empty(&s->working) || !even__queue_is_empty(&s->canceling)))
        recall_working(s);
    reap_overflow(s);
    if (s->registered && io_uring_unregister_ring_fd(&s->ring) == 1)
        s->registered = false;      /* it would keep the ring when it is to go */
    s->attached = false;
}

/* The ring is another thread's, which is gone or does something else. What it told counts; what it has will be asked for anew,
 * and nothing of that has happened. (Only a close may have, of a thread that ended in a run: it is never carried out twice.) */
static void leave_ring(struct even__uring_state *s)
{
    s->recalling = true;        /* as a thread ends, the kernel may end what it had */
    reap(s);
    ring_drop(s);
    s->pending = 0;
    even__queue_splice(&s->submitted, &s->working);
    even__queue_splice(&s->submitted, &s->canceling);
    for (even_handle *h = s->submitted.next, *next; h != &s->submitted; h = next) {
        even_op *op = even__op_of(h);
        next = h->next;
        if (!is_in_kernel(op))
            continue;
        if (op->state == SUBMITTED && !even__op_is(op, EVEN__OP_CLOSES)) {
            ask_again(s, op);
            continue;
        }
        int lane = lane_of(op);
        if (op->state != ENDING)
            op->result = op->state == EVEN__OP_CANCELING ? -ECANCELED : 0;
        move(&s->ended, h);
        if (lane >= 0)
            lane_leave(s, op->fd, lane);
    }
    s->recalling = false;
    wait_again(s, &s->submitted);
    even__queue_splice(&s->armed, &s->disarming);
    for (even_handle *h = s->armed.next, *next; h != &s->armed; h = next) {
        struct record *r = record_of(h);
        next = h->next;
        if (!r->in_kernel)
            continue;       /* its descriptor was closed under it */
        r->in_kernel = false;
        if (r->watch) {
            move(&s->arming, h);
        } else {
            even__queue_remove(h);
            even__free(r);
        }
    }
}

static int uring_attach(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    int rc;
    if (s->attached)
        return s->owner == even__thread_number() ? 0 : -EVEN_ETHREAD;
    if (s->made && s->owner && s->owner != even__thread_number())
        leave_ring(s);
    if (!s->made && (rc = ring_make(s)) < 0)
        return rc;
    if (!s->owner) {
        rc = even__fault_syscall("io_uring_register(ENABLE_RINGS)");
        if (rc == 0)
            rc = io_uring_register((unsigned)s->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
        if (rc < 0)
            return rc;
        unsigned workers[2] = { WORKERS_BOUNDED, WORKERS_UNBOUNDED };
        (void)io_uring_register_iowq_max_workers(&s->ring, workers);    /* a kindness to the machine, not a need */
        s->owner = even__thread_number();
    }
    if ((rc = ring_signals(s)) < 0)
        return rc;
    s->attached = true;
    s->enters = 0;
    return 0;
}

/* What the kernel does not have ends with the loop: a close by being carried out, `carry_out` allowing. */
static void end_list(struct even__uring_state *s, even_handle *list, bool carry_out)
{
    for (even_handle *h = list->next; h != list; h = h->next) {
        even_op *op = even__op_of(h);
        op->result = carry_out && even__op_is(op, EVEN__OP_CLOSES) ? even__net_close(s->loop, op->fd) : -ECANCELED;
    }
    even__queue_splice(&s->ended, list);
}

static void uring_close(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    bool ours = loop->pid == getpid();      /* not so in the child of a fork: what is there, the parent has as well */
    if (ours && s->made && s->owner == even__thread_number()) {
        recall(s, true);
        wait_again(s, &s->working);
    } else if (ours && s->made) {
        leave_ring(s);
    }
    ring_drop(s);

    end_list(s, &s->submitted, false);
    end_list(s, &s->working, false);
    end_list(s, &s->canceling, false);
    end_list(s, &s->waiting, ours);
    for (int i = 0; i < 2 * s->ports_count; i++)
        for (even_op **first = &s->ports[i / 2].held[i % 2], *op; (op = *first);) {
            even__chain_remove(first, op);
            op->result = -ECANCELED;
            even__queue_append(&s->ended, &op->handle);
        }
    while (end_all(s) || !even__queue_is_empty(&s->waiting))    /* ends, unless ends start operations for ever */
        end_list(s, &s->waiting, ours);
    even_handle *records[] = { &s->arming, &s->armed, &s->disarming };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        while (!even__queue_is_empty(records[i])) {
            struct record *r = record_of(records[i]->next);
            even__queue_remove(&r->link);
            even__free(r);
        }
    if (s->outer_fd >= 0) {
        close(s->outer_fd);
        close(s->signal_fd);
    }
    close(s->wake_fd);
    even__uring_buffers_free(s);
    even__free(s->ports);
    even__free(s);
    loop->backend_state = NULL;
}

static int64_t uring_now(even_loop *loop)
{
    (void)loop;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void uring_start(even_loop *loop, even_op *op)
{
    struct even__uring_state *s = loop->backend_state;
    if (op->kind == EVEN_OP_CONNECT)
        op->args.connect.phase = CONNECT_FIRST;
    even__queue_append(&s->waiting, &op->handle);
}

static void uring_cancel(even_loop *loop, even_op *op)
{
    struct even__uring_state *s = loop->backend_state;
    if (op->state == ENDING)
        return;     /* it is over */
    op->result = -ECANCELED;
    if (op->state == HELD) {
        even__chain_remove(&s->ports[op->fd].held[lane_of(op)], op);
        even__queue_append(&s->ended, &op->handle);
    } else {
        move(op->state == SUBMITTED ? &s->canceling : &s->ended, &op->handle);
    }
    if (op->state == GRANTED)
        lane_leave(s, op->fd, lane_of(op));
    op->state = EVEN__OP_CANCELING;
}

static void uring_wake(even_loop *loop)
{
    const struct even__uring_state *s = loop->backend_state;
    even__wake_write(s->wake_fd);
}

static int uring_fd(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    if (s->outer_fd >= 0)
        return s->outer_fd;
    struct epoll_event e = { .events = EPOLLIN | EPOLLET };
    int signal_fd = -1, rc, outer = (int)even__sys(epoll_create1(EPOLL_CLOEXEC));
    if (outer < 0)
        return outer;
    rc = signal_fd = (int)even__sys(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (rc >= 0)
        rc = (int)even__sys(epoll_ctl(outer, EPOLL_CTL_ADD, signal_fd, &e));
    if (rc >= 0)
        rc = (int)even__sys(epoll_ctl(outer, EPOLL_CTL_ADD, s->wake_fd, &e));
    if (rc >= 0) {
        s->outer_fd = outer;
        s->signal_fd = signal_fd;
        rc = ring_signals(s);
    }
    if (rc < 0) {
        s->outer_fd = s->signal_fd = -1;
        close(outer);
        if (signal_fd >= 0)
            close(signal_fd);
        return rc;
    }
    return outer;
}

static int uring_poll(even_loop *loop, int64_t timeout)
{
    struct even__uring_state *s = loop->backend_state;
    bool all = fill(s);
    s->waited = false;
    if (end_all(s) || !all || io_uring_cq_ready(&s->ring))
        timeout = 0;
#ifdef EVEN_HAVE_VALGRIND
    /* It lets no other thread run during this system call. */
    if (even__unlikely(timeout != 0 && RUNNING_ON_VALGRIND)) {
        int rc = uring_fd(loop);
        if (rc < 0)
            return rc;
        if (io_uring_sq_ready(&s->ring) && (rc = enter(s, 0, 0, 0)) < 0)
            return rc;
        struct timespec t = { timeout / 1000000000, timeout % 1000000000 };
        if (!io_uring_cq_ready(&s->ring) && !kernel_flags(s))
            (void)ppoll(&(struct pollfd){ s->outer_fd, POLLIN, 0 }, 1, timeout < 0 ? NULL : &t, NULL);
        timeout = 0;
    }
#endif
    if (timeout != 0 || io_uring_sq_ready(&s->ring) || kernel_flags(s)) {
        int rc = enter(s, timeout != 0, timeout, IORING_ENTER_GETEVENTS);
        if (rc < 0)
            return rc;
        if (even__unlikely(s->enters == REGISTER_AFTER) && !s->registered)
            s->registered = even__fault_syscall("io_uring_register(RING_FDS)") == 0 &&
                            io_uring_register_ring_fd(&s->ring) == 1;
    }
    if (even__unlikely(s->outer_fd >= 0) && timeout == 0) {
        /* Between the call above and the look below: what was signalled before is seen below, or by peek(). */
        struct epoll_event seen[2];
        (void)epoll_wait(s->outer_fd, seen, 2, 0);
    }
    reap(s);
    return 0;
}

static bool uring_peek(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    if (!s->made)
        return false;   /* another thread's ring was dropped, and none could be made */
    if (io_uring_cq_ready(&s->ring) || kernel_flags(s) || !even__queue_is_empty(&s->ended))
        return true;
    if (even__queue_is_empty(&s->waiting) && even__queue_is_empty(&s->canceling) && even__queue_is_empty(&s->arming) &&
        even__queue_is_empty(&s->disarming) && !io_uring_sq_ready(&s->ring))
        return false;
    bool waited = s->waited;
    s->waited = true;
    return waited;
}

static void uring_submit(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    fill(s);
    if (io_uring_sq_ready(&s->ring))
        (void)enter(s, 0, 0, 0);    /* what fails is tried again by the next poll(), which tells it */
}

/* What epoll says to the descriptor, so that both backends refuse the same. */
static int may_be_watched(int fd)
{
    struct stat st;
    int rc = (int)even__sys(fstat(fd, &st));
    if (rc < 0)
        return rc;
    if (S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode))
        return 0;
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))
        return -EPERM;
    /* Devices, eventfd and its like: only epoll itself knows. */
    int epoll = (int)even__sys(epoll_create1(EPOLL_CLOEXEC));
    if (epoll < 0)
        return epoll;
    struct epoll_event e = { .events = EPOLLIN };
    rc = (int)even__sys(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
    close(epoll);
    return rc;
}

static int uring_watch(even_loop *loop, even_watch *w)
{
    struct even__uring_state *s = loop->backend_state;
    if ((unsigned)w->fd >= PORTS_MAX)
        return -EBADF;
    int rc = may_be_watched(w->fd);
    if (rc < 0)
        return rc;
    struct port *p = port_of(s, w->fd);
    if (!p)
        return -ENOMEM;
    bool in = w->events & POLLIN, out = w->events & POLLOUT;
    if ((in && p->in) || (out && p->out))
        return -EEXIST;
    struct record *r = even__calloc(sizeof *r);
    if (!r)
        return -ENOMEM;
    r->watch = w;
    if (in)
        p->in = r;
    if (out)
        p->out = r;
    w->backend = r;
    even__queue_append(&s->arming, &r->link);
    return 0;
}

static void uring_unwatch(even_loop *loop, even_watch *w)
{
    struct even__uring_state *s = loop->backend_state;
    struct record *r = w->backend;
    struct port *p = &s->ports[w->fd];
    if (p->in == r)
        p->in = NULL;
    if (p->out == r)
        p->out = NULL;
    w->backend = NULL;
    if (r->in_kernel) {
        r->watch = NULL;
        move(&s->disarming, &r->link);
    } else {
        even__queue_remove(&r->link);
        even__free(r);
    }
}

const struct even__backend even__uring = {
    .name = "uring",
    .properties = EVEN_LOOP_REAL_FILES,
    .open = uring_open,
    .close = uring_close,
    .attach = uring_attach,
    .detach = uring_detach,
    .now = uring_now,
    .start = uring_start,
    .cancel = uring_cancel,
    .receive = even__uring_receive,
    .watch = uring_watch,
    .unwatch = uring_unwatch,
    .wake = uring_wake,
    .poll = uring_poll,
    .peek = uring_peek,
    .fd = uring_fd,
    .submit = uring_submit,
    .net = &even__net_kernel,
};
