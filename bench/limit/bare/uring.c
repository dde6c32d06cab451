/* On io_uring: one multishot accept, sends straight out of the bytes that were written, and one system call a pass. Which way
 * to receive costs less depends on the kernel, so there are both, and the better is the limit: one multishot recv a connection
 * into buffers that all share, or a recv after another into a buffer of its own. */
#include "bare.h"

/* They go round, so as few as will do: what is touched stays in the caches. Each is given back before the next is looked at. */
enum { BUFFERS = 1024, BUFFER = 2048 };

#include "../buffers.h"

/* Completions are told apart by the pointer's last bit. */
enum { RECV = 0, SEND = 1 };

static int listening;
static bool multishot;

static void receive(struct transport *t)
{
    if (multishot) {
        limit_receive(t->fd, (uintptr_t)t | RECV);
    } else {
        struct io_uring_sqe *sqe = limit_sqe();
        io_uring_prep_recv(sqe, t->fd, t->buffer, sizeof t->buffer, 0);
        io_uring_sqe_set_data64(sqe, (uintptr_t)t | RECV);
    }
    t->references++;
}

static void transmit(struct transport *t)
{
    struct io_uring_sqe *sqe = limit_sqe();
    io_uring_prep_send(sqe, t->fd, PyBytes_AS_STRING(t->sending) + t->sent,
                       (size_t)(PyBytes_GET_SIZE(t->sending) - t->sent), MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, (uintptr_t)t | SEND);
    t->references++;
}

static int uring_write(struct transport *t, PyObject *bytes)
{
    if (t->sending)
        return bare_keep(t, bytes);
    t->sending = Py_NewRef(bytes);
    transmit(t);
    return 0;
}

static int accepted(struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        limit_accept(listening);
    if (cqe->res < 0)
        return 0;
    struct transport *t = bare_accepted(cqe->res);
    if (!t)
        return -1;
    receive(t);
    return 0;
}

static int received(struct transport *t, struct io_uring_cqe *cqe)
{
    int rc = 0;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0)
            rc = bare_received(t, limit_buffer(id), cqe->res);
        limit_give_back(id);
    } else if (cqe->res > 0) {
        rc = bare_received(t, t->buffer, cqe->res);
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return rc;
    t->references--;
    if (cqe->res > 0 || cqe->res == -ENOBUFS)
        receive(t);
    return rc;
}

static int sent(struct transport *t, struct io_uring_cqe *cqe)
{
    t->references--;
    if (cqe->res < 0)
        shutdown(t->fd, SHUT_RDWR);
    else if ((t->sent += cqe->res) < PyBytes_GET_SIZE(t->sending)) {
        transmit(t);
        return 0;
    }
    int rc = bare_next(t);
    if (t->sending)
        transmit(t);
    return rc;
}

static int completed(struct io_uring_cqe *cqe)
{
    if (!cqe->user_data)
        return accepted(cqe);
    struct transport *t = (struct transport *)(uintptr_t)(cqe->user_data & ~(uint64_t)SEND);
    int rc = cqe->user_data & SEND ? sent(t, cqe) : received(t, cqe);
    if (t->references == 0 && rc == 0)
        rc = bare_drop(t);
    return rc;
}

static int serve(int listener)
{
    listening = listener;
    limit_ring();
    if (multishot)
        limit_buffers();
    limit_accept(listener);
    for (;;) {
        int rc;
        Py_BEGIN_ALLOW_THREADS
        rc = io_uring_submit_and_wait(&ring, 1);
        Py_END_ALLOW_THREADS
        if (rc == -EINTR && PyErr_CheckSignals() < 0)
            return -1;
        if (rc < 0 && rc != -EINTR) {
            errno = -rc;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        struct io_uring_cqe *cqe;
        unsigned head, n = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            if (completed(cqe) < 0)
                return -1;
            n++;
        }
        io_uring_cq_advance(&ring, n);
    }
}

static int serve_multishot(int listener)
{
    multishot = true;
    return serve(listener);
}

const struct engine bare_multishot = { serve_multishot, uring_write };
const struct engine bare_single = { serve, uring_write };
