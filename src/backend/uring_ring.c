/* The ring itself: made, enabled by the thread whose it is then, entered, and dropped. */
#include "uring.h"
#include "../base/sys.h"
#include "../base/thread.h"
#include <string.h>
#include <sys/epoll.h>

enum {
    SQ_ENTRIES = 256,           /* a batch larger than this takes a system call for each 256 */
    WORKERS_BOUNDED = 8,        /* the kernel's threads for files, */
    WORKERS_UNBOUNDED = 64      /* and for what cannot be polled */
};

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

int even__uring_ring_make(struct even__uring_state *s)
{
    const unsigned features = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL | IORING_FEAT_CQE_SKIP |
                              IORING_FEAT_RW_CUR_POS | IORING_FEAT_SUBMIT_STABLE;
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
        .cq_entries = EVEN__URING_COMPLETIONS,
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

void even__uring_ring_drop(struct even__uring_state *s)
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

int even__uring_enter(struct even__uring_state *s, unsigned wanted, int64_t timeout, unsigned flags)
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

int even__uring_ring_signals(struct even__uring_state *s)
{
    if (s->outer_fd < 0 || s->signals || !s->made || (s->owner && s->owner != even__thread_number()))
        return 0;
    int rc = even__fault_syscall("io_uring_register(EVENTFD)");
    if (rc == 0)
        rc = io_uring_register_eventfd(&s->ring, s->signal_fd);
    s->signals = rc == 0;
    return rc;
}

void even__uring_ring_signals_seen(struct even__uring_state *s)
{
    struct epoll_event seen[2];
    (void)epoll_wait(s->outer_fd, seen, 2, 0);
}

int even__uring_ring_enable(struct even__uring_state *s)
{
    int rc = even__fault_syscall("io_uring_register(ENABLE_RINGS)");
    if (rc == 0)
        rc = io_uring_register((unsigned)s->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (rc < 0)
        return rc;
    unsigned workers[2] = { WORKERS_BOUNDED, WORKERS_UNBOUNDED };
    (void)io_uring_register_iowq_max_workers(&s->ring, workers);    /* a kindness to the machine, not a need */
    s->owner = even__thread_number();
    return 0;
}
