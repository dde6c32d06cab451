/* The io_uring backend's state, as its two halves see it: uring.c, and uring_receive.c, which knows how receivers get their
 * bytes. */
#ifndef EVEN__URING_H
#define EVEN__URING_H

#include "../loop/loop.h"
#include <liburing.h>

struct port;
struct even__uring_buffers;

struct even__uring_state {
    struct io_uring ring;
    even_loop *loop;
    even_handle waiting, submitted, working, canceling, ended;    /* operations */
    even_handle arming, armed, disarming;                       /* records */
    struct port *ports;
    int ports_count;
    unsigned pending;           /* operations and records in the kernel */
    unsigned enters;            /* of this run */
    uint64_t owner;             /* the thread whose ring it is; 0 as long as it is nobody's */
    int wake_fd;                /* one multishot poll of the ring's looks at it */
    int outer_fd, signal_fd;    /* of embedding: the epoll set, the ring's eventfd; -1 */
    struct even__uring_buffers *buffers;                        /* for receivers; NULL before the first */
    bool made, attached, registered;
    bool recalling;             /* the kernel is asked to let go of what goes on */
    bool no_buffers;            /* this ring may not have them, or not receive into them */
    bool signals;               /* the ring knows signal_fd */
    bool wake_armed;
    bool waited;                /* what is not submitted was seen by the last peek() already */
};

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
