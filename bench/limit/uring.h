/* What both io_uring limits share: the ring as its documentation wants it for one thread, and the accept. */
#ifndef BENCH_URING_H
#define BENCH_URING_H

#include "listen.h"
#include <liburing.h>
#include <unistd.h>

static struct io_uring ring;

static inline void limit_ring(void)
{
    struct io_uring_params p = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = 16384,
    };
    int rc = io_uring_queue_init_params(4096, &ring, &p);
    if (rc < 0)
        limit_fail("io_uring", -rc);
    rc = io_uring_register_ring_fd(&ring);
    if (rc < 0)
        limit_fail("io_uring_register_ring_fd", -rc);
}

static inline struct io_uring_sqe *limit_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe)
        return sqe;
    io_uring_submit(&ring);
    sqe = io_uring_get_sqe(&ring);
    if (!sqe)
        limit_fail("io_uring_submit", EBUSY);
    return sqe;
}

/* Completions of the accept carry no pointer. */
static inline void limit_accept(int listener)
{
    struct io_uring_sqe *sqe = limit_sqe();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(sqe, NULL);
}

/* One system call a pass: submits what the last pass prepared, and waits. */
static inline void limit_loop(void (*completed)(struct io_uring_cqe *cqe))
{
    for (;;) {
        int rc = io_uring_submit_and_wait(&ring, 1);
        if (rc < 0 && rc != -EINTR)
            limit_fail("io_uring_submit_and_wait", -rc);
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            completed(cqe);
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}

#endif
