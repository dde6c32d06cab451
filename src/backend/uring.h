/* The io_uring backend's state, and what its parts know of each other: uring.c tells what is where. */
#ifndef EVEN__URING_H
#define EVEN__URING_H

#include "../loop/loop.h"
#include "chain.h"
#include <liburing.h>

enum {
    EVEN__URING_COMPLETIONS = 4096,     /* more at once are kept by the kernel, and cost it an allocation each */
    EVEN__URING_PORTS_MAX = 1 << 24
};

/* States of an operation. HELD: in its lane, behind the one that has it. GRANTED: it waits, but its lane is its own already, so
 * that nothing of its lane can come before it. SUBMITTED: the kernel has it. ENDING: so it does, but op->result stands. */
enum { EVEN__URING_SUBMITTED = EVEN__OP_BACKEND, EVEN__URING_HELD, EVEN__URING_GRANTED, EVEN__URING_ENDING };

/* An operation's `own`. EDGES: its poll is of many shots, because one of one shot would come at once for ever: there is something
 * in the socket's queue of errors. When it has what it waited for, op->result says so, and it is ENDING until the poll is. */
enum { EVEN__URING_EDGES = 1 };

/* How far a connect is, its `phase`: one that was recalled goes on in the socket, and would fail with EALREADY if it were simply
 * issued again. */
enum { EVEN__URING_CONNECT_FIRST, EVEN__URING_CONNECT_WAIT, EVEN__URING_CONNECT_AGAIN };

/* What a completion's user_data points to; an operation's address has none of these bits. */
enum { EVEN__URING_FOR_NOBODY = 0, EVEN__URING_FOR_RECORD = 1, EVEN__URING_FOR_WAKE = 2 };

/* A watch's one-shot poll. Apart from the watch, because the kernel may still have it when the watch is gone. */
struct even__uring_record {
    even_handle link;
    even_watch *watch;              /* NULL: nobody wants it any more */
    bool in_kernel;
};

/* By descriptor. The kernel does not keep the order of several transfers in one direction: one has the lane, those behind it
 * are held. */
struct even__uring_port {
    struct even__uring_record *in, *out;    /* who watches it */
    even_op *held[2];                       /* each a chain */
    bool busy[2];
};

struct even__uring_buffers;

struct even__uring_state {
    struct io_uring ring;
    even_loop *loop;
    even_handle waiting, submitted, working, canceling, ended;  /* operations */
    even_handle arming, armed, disarming;                       /* records */
    struct even__uring_port *ports;
    int ports_count;
    unsigned pending;           /* operations and records in the kernel */
    unsigned enters;            /* of this run */
    uint64_t owner;             /* the thread whose ring it is; 0 as long as it is nobody's */
    int wake_fd;                /* one multishot poll of the ring's looks at it */
    int outer_fd, signal_fd;    /* of embedding: the epoll set, the ring's eventfd; -1 */
    struct even__uring_buffers *buffers;                        /* for receivers; NULL before the first */
    bool made, attached, registered;
    bool recalling;             /* the kernel is asked to let go of what goes on, */
    bool recalling_all;         /* and of all: each then keeps its place in its list until they are all back */
    bool no_buffers;            /* this ring may not have them, or not receive into them */
    bool signals;               /* the ring knows signal_fd */
    bool wake_armed;
    bool waited;                /* what is not submitted was seen by the last peek() already */
};

/* uring_ring.c */
/* Made disabled: it belongs to the thread that enables it, not to the one that opens the loop. */
int even__uring_ring_make(struct even__uring_state *s);
int even__uring_ring_enable(struct even__uring_state *s);
void even__uring_ring_drop(struct even__uring_state *s);
/* The one system call. Hands over all entries; waits for `wanted` completions, but for `timeout` ns at most (-1: without end).
 * What is no failure is 0. */
int even__uring_enter(struct even__uring_state *s, unsigned wanted, int64_t timeout, unsigned flags);
/* Let the ring signal signal_fd, if embedding wants it. Only the thread that owns the ring may; attach() does if it could not. */
int even__uring_ring_signals(struct even__uring_state *s);
/* A free entry; NULL if the kernel takes none just now. */
static inline struct io_uring_sqe *even__uring_next_entry(struct even__uring_state *s)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);
    if (even__unlikely(!sqe) && even__uring_enter(s, 0, 0, 0) == 0)
        sqe = io_uring_get_sqe(&s->ring);
    return sqe;
}
static inline unsigned even__uring_kernel_flags(struct even__uring_state *s)
{
    return IO_URING_READ_ONCE(*s->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* Embedding: what was signalled so far is no reason to wake any more; what it was of is still to be looked at. */
void even__uring_ring_signals_seen(struct even__uring_state *s);

/* uring_port.c */
struct even__uring_port *even__uring_port_grow(struct even__uring_state *s, int fd);
/* NULL without memory. */
static inline struct even__uring_port *even__uring_port_of(struct even__uring_state *s, int fd)
{
    return even__likely(fd < s->ports_count) ? &s->ports[fd] : even__uring_port_grow(s, fd);
}

/* uring_submit.c: write an entry for all that is to be handed over, or for the cancels alone; false if not all found room.
 * Bounded: nothing here starts anything. */
bool even__uring_fill(struct even__uring_state *s);
bool even__uring_fill_cancels(struct even__uring_state *s);
void even__uring_prepare_cancel(struct io_uring_sqe *sqe, uint64_t target);

/* uring_complete.c */
void even__uring_reap(struct even__uring_state *s);
bool even__uring_end_all(struct even__uring_state *s);      /* those that the kernel never saw; true if there were any */
void even__uring_ask_again(struct even__uring_state *s, even_op *op);   /* the kernel let it go before it was over */

/* uring_move.c */
int even__uring_attach(even_loop *loop);
void even__uring_detach(even_loop *loop, bool comes_back);
/* Between two runs: what was asked to end is over at once, as far as the kernel is concerned. */
void even__uring_let_go(struct even__uring_state *s);
/* The ring is another thread's: what it has is to be asked for anew in a ring of this thread's. */
void even__uring_leave_ring(struct even__uring_state *s);
/* In the ring's thread: the kernel lets go of all, or only of what its threads may be at work on. What goes on is to be handed
 * over anew then: of all, it stands in its old list; of some, among those that wait. */
void even__uring_recall(struct even__uring_state *s, bool all);
void even__uring_wait_again(struct even__uring_state *s, even_handle *list);

/* uring_watch.c */
int even__uring_watch(even_loop *loop, even_watch *watch);
void even__uring_unwatch(even_loop *loop, even_watch *watch);

/* uring_receive.c */

/* A bit of an EVEN_OP_RECEIVE's `how`: a poll waits for it. */
enum { EVEN__URING_POLLED = EVEN__RECEIVE_BACKEND };

/* The entry of an EVEN_OP_RECEIVE. */
void even__uring_prepare_receive(struct even__uring_state *s, struct io_uring_sqe *sqe, even_op *op);
/* It has a completion: true if that is not its end; else *result is what it ends with, as any operation would. */
bool even__uring_received(struct even__uring_state *s, even_op *op, const struct io_uring_cqe *cqe, int32_t *result);
ssize_t even__uring_receive(even_loop *loop, even_op *op, void *buffer, size_t length);
/* The ring is gone, and whatever was registered with it. */
void even__uring_buffers_unregistered(struct even__uring_state *s);
void even__uring_buffers_free(struct even__uring_state *s);
bool even__uring_buffers_are_valid(const struct even__uring_state *s);

/* uring_check.c */
bool even__uring_is_valid(even_loop *loop);

/* ---- lists and lanes ---- */

static inline struct even__uring_record *even__uring_record_of(even_handle *h)
{
    return even__container_of(h, struct even__uring_record, link);
}

static inline void even__uring_move(even_handle *to, even_handle *h)
{
    even__queue_remove(h);
    even__queue_append(to, h);
}

/* The states of one in `waiting`; of one in `submitted`, `working` or `canceling`. */
static const unsigned EVEN__URING_WAITS = 1u << EVEN__OP_PENDING | 1u << EVEN__URING_GRANTED;
static const unsigned EVEN__URING_IN_KERNEL = 1u << EVEN__URING_SUBMITTED | 1u << EVEN__OP_CANCELING | 1u << EVEN__URING_ENDING;
static inline bool even__uring_is_in_kernel(const even_op *op)
{
    return 1u << op->state & EVEN__URING_IN_KERNEL;
}

/* The lane in which the operation keeps its order, 0 in and 1 out; -1: none. */
static inline int even__uring_lane_of(const even_op *op)
{
    if (even__unlikely((unsigned)op->fd >= EVEN__URING_PORTS_MAX))
        return -1;
    int lane = even__op_row(op)->lane;
    return lane == EVEN__NOWHERE ? -1 : lane;
}

/* Take the lane for it. If another one has it, the operation is put aside until that is over. */
static inline bool even__uring_lane_enter(struct even__uring_state *s, even_op *op, int which)
{
    struct even__uring_port *p = even__uring_port_of(s, op->fd);
    if (even__unlikely(!p)) {
        op->result = -ENOMEM;
        even__uring_move(&s->ended, &op->handle);
        return false;
    }
    if (even__unlikely(p->busy[which])) {
        even__queue_remove(&op->handle);
        even__chain_append(&p->held[which], op);
        op->state = EVEN__URING_HELD;
        return false;
    }
    p->busy[which] = true;
    return true;
}

/* It is over: the lane is the next one's. */
static inline void even__uring_lane_leave(struct even__uring_state *s, int fd, int which)
{
    struct even__uring_port *p = &s->ports[fd];
    even_op *next = p->held[which];
    even__check(p->busy[which]);
    if (even__unlikely(next)) {
        even__chain_remove(&p->held[which], next);
        even__queue_append(&s->waiting, &next->handle);
        next->state = EVEN__URING_GRANTED;
    } else {
        p->busy[which] = false;
    }
}

/* Sanitizers do not see the kernel's writes. */
#ifdef EVEN_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif
#ifdef __has_feature
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define EVEN__MSAN
#endif
#endif
static inline void even__uring_mark_written(const void *data, size_t n)
{
#ifdef EVEN_HAVE_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(data, n);
#endif
#ifdef EVEN__MSAN
    __msan_unpoison(data, n);
#endif
    (void)data, (void)n;
}

#endif
