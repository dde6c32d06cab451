/* From thread to thread.
 *
 * A ring is used by the thread that enabled it and by no other. But what waits in it for a socket, a pipe or a terminal to be
 * ready touches nothing before that thread asks for completions (DEFER_TASKRUN): so it may stay there between two runs, and if
 * another thread makes the next one, it leaves the ring as it is, and asks for the same in a ring of its own. What one of the
 * kernel's threads may be at work on (files; closes) can have had its effect, and only this ring will tell: so detach() waits
 * for the end of it, and takes back what had not begun; unless the thread comes back for it, as a foreign loop does. */
#include "uring.h"
#include "../base/sys.h"
#include "../base/thread.h"
#include <fcntl.h>
#include <sys/stat.h>

enum { CANCEL_AGAIN_NS = 10 * 1000 * 1000, FAILURES_MAX = 1000 };

/* Ask for the end of what is in the kernel of these; what finds no room now is asked in another round. One by one, because the
 * kernel would look for them all (CANCEL_ANY) in quadratic time. */
static void cancel_ops(struct even__uring_state *s, const even_handle *list)
{
    struct io_uring_sqe *sqe;
    for (even_handle *h = list->next; h != list; h = h->next)
        if (even__uring_is_in_kernel(even__op_of(h)) && (sqe = even__uring_next_entry(s)))
            even__uring_prepare_cancel(sqe, (uint64_t)(uintptr_t)even__op_of(h));
}

static void cancel_records(struct even__uring_state *s, const even_handle *list)
{
    struct io_uring_sqe *sqe;
    for (even_handle *h = list->next; h != list; h = h->next)
        if (even__uring_record_of(h)->in_kernel && (sqe = even__uring_next_entry(s)))
            even__uring_prepare_cancel(sqe, (uint64_t)(uintptr_t)even__uring_record_of(h) | EVEN__URING_FOR_RECORD);
}

static unsigned count_in_kernel(const even_handle *list)
{
    unsigned n = 0;
    for (even_handle *h = list->next; h != list; h = h->next)
        n += even__uring_is_in_kernel(even__op_of(h));
    return n;
}

/* Let the kernel let go of all that it has, or only of what its threads may be at work on, and wait for that. What ends only
 * because of this is taken back. Only the ring's thread can do it. */
void even__uring_recall(struct even__uring_state *s, bool all)
{
    bool ask = true;
    unsigned left;
    s->recalling = true;
    s->recalling_all = all;
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
        unsigned wanted = left < EVEN__URING_COMPLETIONS ? left : EVEN__URING_COMPLETIONS;
        if (even__uring_enter(s, wanted, CANCEL_AGAIN_NS, IORING_ENTER_GETEVENTS) < 0)
            even__check(++failures < FAILURES_MAX);     /* the kernel has buffers of ours: there is no way back */
        unsigned seen = io_uring_cq_ready(&s->ring);
        even__uring_reap(s);
        ask = !seen;    /* the kernel may have been about to try one again just as we asked */
    }
    s->recalling = s->recalling_all = false;
}

/* What was recalled is handed over anew, the older ones first. */
void even__uring_wait_again(struct even__uring_state *s, even_handle *list)
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

static void sort_out_working(struct even__uring_state *s)
{
    for (even_handle *h = s->working.next, *next; h != &s->working; h = next) {
        next = h->next;
        if (waits_for_readiness(even__op_of(h)))
            even__uring_move(&s->submitted, h);     /* known from now on */
    }
}

/* Completions that found no room are the kernel's to keep until they are asked for. Bounded: nothing is started meanwhile. */
static void reap_overflow(struct even__uring_state *s)
{
    for (int failures = 0; IO_URING_READ_ONCE(*s->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;) {
        even__uring_reap(s);
        if (even__uring_enter(s, 0, 0, IORING_ENTER_GETEVENTS) < 0)
            even__check(++failures < FAILURES_MAX);     /* there is what has been moved already in them */
    }
}

/* What was asked to end holds its descriptor until the kernel has let go of it. Who closes that between two runs means it: a peer
 * is to see the end, and a port to be free. (It takes the ring's thread. What another one asks for waits for the next run.) */
void even__uring_let_go(struct even__uring_state *s)
{
    if (s->attached || !s->made || s->owner != even__thread_number())
        return;
    if (even__uring_fill_cancels(s) && io_uring_sq_ready(&s->ring))
        (void)even__uring_enter(s, 0, 0, IORING_ENTER_GETEVENTS);   /* what fails is tried again by the next poll() */
}

void even__uring_detach(even_loop *loop, bool comes_back)
{
    struct even__uring_state *s = loop->backend_state;
    if (!s->attached)
        return;
    if (even__uring_kernel_flags(s))
        (void)even__uring_enter(s, 0, 0, IORING_ENTER_GETEVENTS);   /* what the last pass asked to end lets go */
    even__uring_end_all(s);     /* what was over at once when it was handed over is so for who looks between two runs */
    even__uring_reap(s);
    if (even__unlikely(!even__queue_is_empty(&s->working) || !even__queue_is_empty(&s->canceling))) {
        (void)even__uring_fill_cancels(s);
        sort_out_working(s);
    }
    if (even__unlikely(!even__queue_is_empty(&s->working))) {
        if (comes_back)
            return;
        even__uring_recall(s, false);
        if (s->outer_fd >= 0)
            even__uring_ring_signals_seen(s);   /* else each step would wake the foreign loop for the next one */
    }
    reap_overflow(s);
    if (s->registered && io_uring_unregister_ring_fd(&s->ring) == 1)
        s->registered = false;      /* it would keep the ring when it is to go */
    s->attached = false;
}

/* The ring is another thread's, which is gone or does something else. What it told counts; what it has will be asked for anew,
 * and nothing of that has happened. (Only a close may have, of a thread that ended in a run: it is never carried out twice.) */
void even__uring_leave_ring(struct even__uring_state *s)
{
    s->recalling = s->recalling_all = true;     /* as a thread ends, the kernel may end what it had */
    even__uring_reap(s);
    even__uring_ring_drop(s);
    s->pending = 0;
    even__queue_splice(&s->submitted, &s->working);
    even__queue_splice(&s->submitted, &s->canceling);
    for (even_handle *h = s->submitted.next, *next; h != &s->submitted; h = next) {
        even_op *op = even__op_of(h);
        next = h->next;
        if (!even__uring_is_in_kernel(op))
            continue;
        if (op->state == EVEN__URING_SUBMITTED && !even__op_is(op, EVEN__OP_CLOSES)) {
            even__uring_ask_again(s, op);
            continue;
        }
        int lane = even__uring_lane_of(op);
        if (op->state != EVEN__URING_ENDING)
            op->result = op->state == EVEN__OP_CANCELING ? -ECANCELED : 0;
        op->state = EVEN__OP_CANCELING;     /* it is over, and cannot be cancelled any more */
        even__uring_move(&s->ended, h);
        if (lane >= 0)
            even__uring_lane_leave(s, op->fd, lane);
    }
    s->recalling = s->recalling_all = false;
    even__uring_wait_again(s, &s->submitted);
    even__queue_splice(&s->armed, &s->disarming);
    for (even_handle *h = s->armed.next, *next; h != &s->armed; h = next) {
        struct even__uring_record *r = even__uring_record_of(h);
        next = h->next;
        if (!r->in_kernel)
            continue;       /* its descriptor was closed under it */
        r->in_kernel = false;
        if (r->watch) {
            even__uring_move(&s->arming, h);
        } else {
            even__queue_remove(h);
            even__free(r);
        }
    }
}

int even__uring_attach(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    int rc;
    if (s->attached)
        return s->owner == even__thread_number() ? 0 : -EVEN_ETHREAD;
    if (s->made && s->owner && s->owner != even__thread_number())
        even__uring_leave_ring(s);
    if (!s->made && (rc = even__uring_ring_make(s)) < 0)
        return rc;
    if (!s->owner && (rc = even__uring_ring_enable(s)) < 0)
        return rc;
    if ((rc = even__uring_ring_signals(s)) < 0)
        return rc;
    s->attached = true;
    s->enters = 0;
    return 0;
}
