/* Receivers on io_uring: one multishot receive, which takes a buffer of a ring that is shared with the kernel for each piece;
 * or a poll, after which the receiver fetches by itself.
 *
 * A buffer is the kernel's (its entry stands in the ring), or out (its piece is a receiver's) until it is released. The kernel
 * takes them in turn, the one that waits longest first: so no more of them go round than were ever needed at once, and what a
 * loop with few connections uses stays in the cache.
 *
 * The registration is a ring's, and goes with it; the buffers are the loop's. Where it is refused, all receivers poll.
 */
#include "uring.h"
#include "../base/sys.h"
#include <poll.h>
#include <sys/mman.h>

enum {
    BUFFERS_FIRST = 32,     /* 512 KiB: about the second-level cache */
    BUFFERS_MAX = 256,      /* as many as a page has entries for; 4 MiB, of which what is not used is not there */
    GROUP = 0
};

/* Of an EVEN_OP_RECEIVE's `how`. */
enum { MULTISHOT = EVEN__URING_POLLED << 1, DRAINED = MULTISHOT << 1 };

struct buffer {
    struct even__piece piece;
    struct even__uring_buffers *all;
    uint16_t id;
    bool out;
};

struct even__uring_buffers {
    struct io_uring_buf_ring *ring;     /* BUFFERS_MAX entries, and after them the buffers */
    unsigned char *memory;
    unsigned count;                     /* so many go round */
    bool registered;
    bool proven;                        /* something came by them: the kernel can do it */
    struct buffer buffer[BUFFERS_MAX];
};

static const size_t ENTRIES = BUFFERS_MAX * sizeof(struct io_uring_buf);
static const size_t MAPPING = BUFFERS_MAX * sizeof(struct io_uring_buf) + (size_t)BUFFERS_MAX * EVEN__RECEIVE_BUFFER;

static void give(struct buffer *b)
{
    struct io_uring_buf_ring *ring = b->all->ring;
    io_uring_buf_ring_add(ring, b->all->memory + (size_t)b->id * EVEN__RECEIVE_BUFFER, EVEN__RECEIVE_BUFFER, b->id,
                          io_uring_buf_ring_mask(BUFFERS_MAX), 0);
    io_uring_buf_ring_advance(ring, 1);
}

static void release(struct even__piece *p)
{
    struct buffer *b = even__container_of(p, struct buffer, piece);
    b->out = false;
    if (b->all->registered)
        give(b);
}

static struct even__uring_buffers *buffers_new(void)
{
    struct even__uring_buffers *all = even__calloc(sizeof *all);
    if (!all)
        return NULL;
    void *map = even__sys_map(mmap(NULL, MAPPING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!map) {
        even__free(all);
        return NULL;
    }
    (void)madvise(map, MAPPING, MADV_NOHUGEPAGE);   /* a buffer that is not used takes no memory */
    all->ring = map;
    all->memory = (unsigned char *)map + ENTRIES;
    all->count = BUFFERS_FIRST;
    for (unsigned i = 0; i < BUFFERS_MAX; i++) {
        struct buffer *b = &all->buffer[i];
        b->all = all;
        b->id = (uint16_t)i;
        b->piece.release = release;
    }
    return all;
}

/* May receivers receive into them? They are made when the first one asks, and registered once a ring. */
static bool buffers_ready(struct even__uring_state *s)
{
    if (even__likely(s->buffers && s->buffers->registered && !s->no_buffers))
        return true;
    if (s->no_buffers)
        return false;
    s->no_buffers = true;
    struct even__uring_buffers *all = s->buffers ? s->buffers : (s->buffers = buffers_new());
    if (!all)
        return false;
    struct io_uring_buf_reg reg = { .ring_addr = (uint64_t)(uintptr_t)all->ring, .ring_entries = BUFFERS_MAX, .bgid = GROUP };
    int rc = even__fault_syscall("io_uring_register(PBUF_RING)");
    if (rc == 0)
        rc = io_uring_register_buf_ring(&s->ring, &reg, 0);
    if (rc < 0)
        return false;
    s->no_buffers = false;
    all->registered = true;
    io_uring_buf_ring_init(all->ring);
    for (unsigned i = 0; i < all->count; i++)
        if (!all->buffer[i].out)
            give(&all->buffer[i]);
    return true;
}

/* They ran out: let twice as many go round. */
static void buffers_grow(struct even__uring_buffers *all)
{
    for (unsigned end = all->count * 2; all->count < end && all->count < BUFFERS_MAX; all->count++)
        give(&all->buffer[all->count]);
}

void even__uring_buffers_unregistered(struct even__uring_state *s)
{
    s->no_buffers = false;
    if (s->buffers)
        s->buffers->registered = false;
}

void even__uring_buffers_free(struct even__uring_state *s)
{
    struct even__uring_buffers *all = s->buffers;
    if (!all)
        return;
    for (unsigned i = 0; i < all->count; i++)
        even__check(!all->buffer[i].out);
    munmap(all->ring, MAPPING);
    even__free(all);
    s->buffers = NULL;
}

/* ---- the operation ---- */

void even__uring_prepare_receive(struct even__uring_state *s, struct io_uring_sqe *sqe, even_op *op)
{
    op->args.receive.how &= EVEN__RECEIVE_DIRECT;
    if (!(op->args.receive.how & EVEN__RECEIVE_DIRECT) && buffers_ready(s)) {
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = GROUP;
        op->args.receive.how |= MULTISHOT;
    } else {
        io_uring_prep_poll_add(sqe, op->fd, POLLIN);
        op->args.receive.how |= EVEN__URING_POLLED;
    }
}

bool even__uring_received(struct even__uring_state *s, even_op *op, const struct io_uring_cqe *cqe, int32_t *result)
{
    struct even__uring_buffers *all = s->buffers;
    if (!(op->args.receive.how & MULTISHOT))
        return false;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        struct buffer *b = &all->buffer[cqe->flags >> IORING_CQE_BUFFER_SHIFT];
        b->out = true;
        if (cqe->res > 0) {
            all->proven = true;
            b->piece.data = all->memory + (size_t)b->id * EVEN__RECEIVE_BUFFER;
            b->piece.length = (size_t)cqe->res;
            even__uring_mark_written(b->piece.data, b->piece.length);
            even__receiver_piece(op, &b->piece);
        } else {
            release(&b->piece);
        }
    }
    if (cqe->flags & IORING_CQE_F_MORE)
        return true;
    if (cqe->res == -ENOBUFS) {
        if (!even__container_of(op, even_receiver, op)->first)
            buffers_grow(all);      /* the buffers are with other receivers; one that hoards them gets no new ones */
    } else if ((cqe->res == -EINVAL || cqe->res == -EOPNOTSUPP) && !all->proven) {
        s->no_buffers = true;       /* not this kernel, or not this socket: a poll, and the receiver will see */
        *result = -EINTR;
    } else if (cqe->res > 0) {
        *result = -EINTR;           /* the kernel only wants to be asked anew */
    }
    return false;
}

ssize_t even__uring_receive(even_loop *loop, even_op *op, void *buffer, size_t length)
{
    (void)loop;
    ssize_t n;
    if (op->args.receive.how & DRAINED)
        return -EAGAIN;
    do
        n = even__sys(recv(op->fd, buffer, length, MSG_DONTWAIT));
    while (n == -EINTR);
    if (n > 0 && (size_t)n < length)
        op->args.receive.how |= DRAINED;       /* most likely; if not, the next poll says so at once */
    return n;
}
