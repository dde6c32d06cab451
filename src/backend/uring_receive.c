/* Receivers on io_uring: one multishot receive, which takes a buffer of a ring that is shared with the kernel for each piece;
 * or a poll, after which the receiver fetches by itself.
 *
 * A buffer is the kernel's (it stands in the ring, in one of its slots), or out (its piece is a receiver's) until it is released,
 * or idle. The kernel takes them in turn, the one that waits longest first: so no more of them go round than were ever needed at
 * once, and what a loop with few connections uses stays in the cache.
 *
 * What a reader holds for longer than a pass leaves the ring for good, as it were: when that runs dry, as many buffers are made
 * as readers hold (lent_bytes, which the source keeps within lent_max). They go when they come back to a ring that has enough.
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
    EXTRA_AT_ONCE = 64,     /* buffers that are made for those that readers hold */
    GROUP = 0
};

/* Of an EVEN_OP_RECEIVE's `how`. */
enum { MULTISHOT = EVEN__URING_POLLED << 1, DRAINED = MULTISHOT << 1 };

struct buffer {
    struct even__piece piece;           /* out; its `next` links the idle ones */
    struct even__uring_buffers *all;
    unsigned char *memory;
    bool extra;                         /* made for one that a reader holds */
};

struct even__uring_buffers {
    struct io_uring_buf_ring *ring;     /* BUFFERS_MAX entries, and after them the buffers' memory */
    struct buffer *slot[BUFFERS_MAX];   /* what stands in the ring, by its number there */
    uint16_t free_slot[BUFFERS_MAX];
    unsigned free_slots;
    unsigned made, out;                 /* so many there are; so many receivers have */
    struct even__piece *idle;
    bool registered;
    bool proven;                        /* something came by them: the kernel can do it */
    struct buffer buffer[BUFFERS_MAX];
};

static const size_t ENTRIES = BUFFERS_MAX * sizeof(struct io_uring_buf);
static const size_t MAPPING = BUFFERS_MAX * sizeof(struct io_uring_buf) + (size_t)BUFFERS_MAX * EVEN__RECEIVE_BUFFER;

static unsigned in_ring(const struct even__uring_buffers *all)
{
    return BUFFERS_MAX - all->free_slots;
}

static void put_aside(struct buffer *b)
{
    b->piece.next = b->all->idle;
    b->all->idle = &b->piece;
}

static void give(struct buffer *b)
{
    struct even__uring_buffers *all = b->all;
    struct io_uring_buf_ring *ring = all->ring;
    const uint16_t slot = all->free_slot[--all->free_slots];
    all->slot[slot] = b;
    io_uring_buf_ring_add(ring, b->memory, EVEN__RECEIVE_BUFFER, slot, io_uring_buf_ring_mask(BUFFERS_MAX), 0);
    io_uring_buf_ring_advance(ring, 1);
}

/* The kernel has taken one out of the ring. */
static struct buffer *taken(struct even__uring_buffers *all, unsigned slot)
{
    struct buffer *b = all->slot[slot];
    even__check(b != NULL);
    all->slot[slot] = NULL;
    all->free_slot[all->free_slots++] = (uint16_t)slot;
    return b;
}

static void release(struct even__piece *p)
{
    struct buffer *b = even__container_of(p, struct buffer, piece);
    struct even__uring_buffers *all = b->all;
    even__check(all->out > 0);
    all->out--;
    if (even__unlikely(b->extra) && in_ring(all) >= BUFFERS_FIRST) {
        all->made--;
        even__free(b);
    } else if (even__likely(all->registered && all->free_slots > 0)) {
        give(b);
    } else {
        put_aside(b);
    }
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
    for (unsigned i = 0; i < BUFFERS_MAX; i++) {
        struct buffer *b = &all->buffer[i];
        b->all = all;
        b->memory = (unsigned char *)map + ENTRIES + (size_t)i * EVEN__RECEIVE_BUFFER;
        b->piece.release = release;
        all->free_slot[i] = (uint16_t)(BUFFERS_MAX - 1 - i);
    }
    all->free_slots = BUFFERS_MAX;
    for (all->made = 0; all->made < BUFFERS_FIRST; all->made++)
        put_aside(&all->buffer[BUFFERS_FIRST - 1 - all->made]);
    return all;
}

/* What is idle goes into the ring, as far as that has room. */
static void fill_ring(struct even__uring_buffers *all)
{
    while (all->idle && all->free_slots > 0) {
        struct buffer *b = even__container_of(all->idle, struct buffer, piece);
        all->idle = b->piece.next;
        give(b);
    }
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
    fill_ring(all);
    return true;
}

/* NULL without memory. */
static struct buffer *extra_new(struct even__uring_buffers *all)
{
    struct buffer *b = even__malloc(sizeof *b + EVEN__RECEIVE_BUFFER);
    if (b)
        *b = (struct buffer){ { .release = release }, all, (unsigned char *)(b + 1), true };
    return b;
}

/* They ran out: let twice as many go round; and one for each that a reader holds. */
static void buffers_grow(const even_loop *loop, struct even__uring_buffers *all)
{
    const unsigned before = all->made, held = (unsigned)(loop->lent_bytes / EVEN__RECEIVE_BUFFER);
    fill_ring(all);
    unsigned round = before < BUFFERS_MAX ? before * 2 : BUFFERS_MAX;
    for (; all->made < round && all->made < BUFFERS_MAX; all->made++)
        put_aside(&all->buffer[all->made]);
    for (unsigned n = 0; before >= BUFFERS_MAX && n < EXTRA_AT_ONCE && all->made < BUFFERS_MAX + held; n++, all->made++) {
        struct buffer *b = extra_new(all);
        if (!b)
            break;
        put_aside(b);
    }
    fill_ring(all);
}

void even__uring_buffers_unregistered(struct even__uring_state *s)
{
    struct even__uring_buffers *all = s->buffers;
    s->no_buffers = false;
    if (!all || !all->registered)
        return;
    all->registered = false;
    for (unsigned i = BUFFERS_MAX; i-- > 0;)
        if (all->slot[i])
            put_aside(taken(all, i));
}

void even__uring_buffers_free(struct even__uring_state *s)
{
    struct even__uring_buffers *all = s->buffers;
    if (!all)
        return;
    even__check(all->out == 0);
    even__uring_buffers_unregistered(s);
    while (all->idle) {
        struct buffer *b = even__container_of(all->idle, struct buffer, piece);
        all->idle = b->piece.next;
        if (b->extra)
            even__free(b);
    }
    munmap(all->ring, MAPPING);
    even__free(all);
    s->buffers = NULL;
}

/* Each buffer is in the ring, out, or idle. */
bool even__uring_buffers_are_valid(const struct even__uring_state *s)
{
    const struct even__uring_buffers *all = s->buffers;
    unsigned here = 0, idle = 0;
    if (!all)
        return true;
    for (unsigned i = 0; i < BUFFERS_MAX; i++)
        here += all->slot[i] != NULL;
    for (const struct even__piece *p = all->idle; p && idle <= all->made; p = p->next)
        idle++;
    return here == in_ring(all) && here + idle + all->out == all->made && (all->registered || here == 0);
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
        struct buffer *b = taken(all, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        all->out++;
        if (cqe->res > 0) {
            all->proven = true;
            b->piece.data = b->memory;
            b->piece.length = (size_t)cqe->res;
            b->piece.spare = (uint32_t)EVEN__RECEIVE_BUFFER - (uint32_t)cqe->res;
            b->piece.size = EVEN__RECEIVE_BUFFER;
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
            buffers_grow(s->loop, all);     /* the buffers are with other receivers; one that hoards them gets no new ones */
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
