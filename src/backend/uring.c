/* io_uring (Linux 6.1 and later): what was started is handed over in one batch with the wait, one system call a pass.
 *
 *   uring_ring.c      the ring itself            uring_complete.c   completions
 *   uring_port.c      descriptors                uring_receive.c    how receivers get their bytes
 *   uring_submit.c    handing over               uring_watch.c      watches
 *   uring_move.c      from thread to thread      uring_check.c      what must hold of all that
 *   uring.h           the state, and what all of them use; lanes
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
 * A ring belongs to the thread that enabled it, a loop does not: see uring_move.c.
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
#include "net.h"
#include "wake.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { REGISTER_AFTER = 256 };      /* system calls of a run after which registering the ring pays */

static int uring_open(even_loop *loop, const even_loop_options *options)
{
    (void)options;
    struct even__uring_state *s = even__calloc(sizeof *s);
    if (!s)
        return -ENOMEM;
    s->outer_fd = s->signal_fd = -1;
    int rc = s->wake_fd = even__wake_open();
    if (rc >= 0 && (rc = even__uring_ring_make(s)) < 0)
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
        even__uring_recall(s, true);
        even__uring_wait_again(s, &s->working);
    } else if (ours && s->made) {
        even__uring_leave_ring(s);
    }
    even__uring_ring_drop(s);

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
    while (even__uring_end_all(s) || !even__queue_is_empty(&s->waiting))    /* ends, unless ends start operations for ever */
        end_list(s, &s->waiting, ours);
    even_handle *records[] = { &s->arming, &s->armed, &s->disarming };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        while (!even__queue_is_empty(records[i])) {
            struct even__uring_record *r = even__uring_record_of(records[i]->next);
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
        op->args.connect.phase = EVEN__URING_CONNECT_FIRST;
    even__queue_append(&s->waiting, &op->handle);
}

static void uring_cancel(even_loop *loop, even_op *op)
{
    struct even__uring_state *s = loop->backend_state;
    if (op->state == EVEN__URING_ENDING)
        return;     /* it is over */
    op->result = -ECANCELED;
    if (op->state == EVEN__URING_HELD) {
        even__chain_remove(&s->ports[op->fd].held[even__uring_lane_of(op)], op);
        even__queue_append(&s->ended, &op->handle);
    } else {
        even__uring_move(op->state == EVEN__URING_SUBMITTED ? &s->canceling : &s->ended, &op->handle);
    }
    if (op->state == EVEN__URING_GRANTED)
        even__uring_lane_leave(s, op->fd, even__uring_lane_of(op));
    op->state = EVEN__OP_CANCELING;
    if (even__unlikely(!s->attached))
        even__uring_let_go(s);
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
        rc = even__uring_ring_signals(s);
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
    bool all = even__uring_fill(s);
    s->waited = false;
    if (even__uring_end_all(s) || !all || io_uring_cq_ready(&s->ring))
        timeout = 0;
#ifdef EVEN_HAVE_VALGRIND
    /* It lets no other thread run during this system call. */
    if (even__unlikely(timeout != 0 && RUNNING_ON_VALGRIND)) {
        int rc = uring_fd(loop);
        if (rc < 0)
            return rc;
        if (io_uring_sq_ready(&s->ring) && (rc = even__uring_enter(s, 0, 0, 0)) < 0)
            return rc;
        struct timespec t = { timeout / 1000000000, timeout % 1000000000 };
        if (!io_uring_cq_ready(&s->ring) && !even__uring_kernel_flags(s))
            (void)ppoll(&(struct pollfd){ s->outer_fd, POLLIN, 0 }, 1, timeout < 0 ? NULL : &t, NULL);
        timeout = 0;
    }
#endif
    if (timeout != 0 || io_uring_sq_ready(&s->ring) || even__uring_kernel_flags(s)) {
        int rc = even__uring_enter(s, timeout != 0, timeout, IORING_ENTER_GETEVENTS);
        if (rc < 0)
            return rc;
        if (even__unlikely(s->enters == REGISTER_AFTER) && !s->registered)
            s->registered = even__fault_syscall("io_uring_register(RING_FDS)") == 0 &&
                            io_uring_register_ring_fd(&s->ring) == 1;
    }
    if (even__unlikely(s->outer_fd >= 0) && timeout == 0)
        even__uring_ring_signals_seen(s);   /* between the call above and the look below; or peek() sees what it was of */
    even__uring_reap(s);
    return 0;
}

static bool uring_peek(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    if (!s->made)
        return false;   /* another thread's ring was dropped, and none could be made */
    if (io_uring_cq_ready(&s->ring) || even__uring_kernel_flags(s) || !even__queue_is_empty(&s->ended))
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
    even__uring_fill(s);
    if (io_uring_sq_ready(&s->ring))
        (void)even__uring_enter(s, 0, 0, 0);    /* what fails is tried again by the next poll(), which tells it */
}

const struct even__backend even__uring = {
    .name = "uring",
    .properties = EVEN_LOOP_REAL_FILES,
    .open = uring_open,
    .close = uring_close,
    .attach = even__uring_attach,
    .detach = even__uring_detach,
    .now = uring_now,
    .start = uring_start,
    .cancel = uring_cancel,
    .receive = even__uring_receive,
    .watch = even__uring_watch,
    .unwatch = even__uring_unwatch,
    .wake = uring_wake,
    .poll = uring_poll,
    .peek = uring_peek,
    .is_valid = even__uring_is_valid,
    .fd = uring_fd,
    .submit = uring_submit,
    .net = &even__net_kernel,
};
