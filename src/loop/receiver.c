/* Receivers: what came and was not taken yet, and how the next bytes are fetched.
 *
 * Two ways, and the operation under a receiver is always one of them, or none:
 *
 *   by the backend     it fetches as bytes come, into small buffers of its own, and each piece is appended to the list here
 *   direct             it only tells that there is something; take() fetches that into the loop's one large buffer, which is
 *                      hot in the cache, held by nobody afterwards, and saves the calls that many small pieces would cost
 *
 * A receiver begins with the first. It changes to the second when whole buffers come in a row, when its owner leaves them
 * lying, and when the backend has none left: so a piece can always be fetched, whoever sits on the small buffers. It changes
 * back when little comes. The operation of one way is over before that of the other is started, so bytes keep their order.
 *
 * A stopped receiver must not starve the others of buffers, so its pieces are copied out.
 */
#include "loop.h"
#include "../base/sys.h"
#include <string.h>

enum {
    SCRATCH = 256 * 1024,   /* more gains nothing: the copy then is all that counts, and it would fall out of the cache */
    PASS_MAX = 256 * 1024,  /* bytes taken in one pass; others have their turn then */
    FULL_MAX = 2,           /* whole buffers in a row, after which it fetches directly */
    KEPT_MAX = 8,           /* pieces that lie about, likewise */
    SMALL_MAX = 2           /* times that little came, after which the backend may fetch again */
};

struct scratch {
    struct even__piece piece;
    even_loop *loop;
    unsigned char space[SCRATCH];
};

static even_receiver *receiver_of(even_op *op)
{
    return even__container_of(op, even_receiver, op);
}

static bool is_receiving(const even_receiver *r)
{
    return r->wanted && !r->over;
}

bool even_receiver_is_active(const even_receiver *r)
{
    return is_receiving(r) || even_op_is_pending(&r->op);
}

/* The loop knows those that are active or keep something. */
static void enlist(even_receiver *r)
{
    bool belongs = even_receiver_is_active(r) || r->first || r->lending.next;
    if (belongs && !r->all.next)
        even__queue_append(&r->loop->receivers, &r->all);
    else if (!belongs && r->all.next)
        even__queue_remove(&r->all);
}

static void run_soon(even_receiver *r)
{
    if (!r->handle.next)
        even__call_soon(r->loop, &r->handle);
}

static void begin(even_receiver *r)
{
    if (r->kept >= KEPT_MAX)
        r->direct = true;       /* nothing more is fetched before that is taken */
    even__op_receive(&r->op, r->fd, r->direct);
}

static void cancel(even_receiver *r)
{
    r->canceled = true;
    even_op_cancel(&r->op);
}

static void fail(even_receiver *r, int32_t result)
{
    r->over = true;
    r->result = result;
}

/* ---- pieces ---- */

static void copy_release(struct even__piece *p)
{
    even__free(p);
}

/* The same bytes in memory of their own. Without memory for that, the piece stays where it is. */
static struct even__piece *copied(struct even__piece *p)
{
    if (p->release == copy_release)
        return p;
    struct even__piece *copy = even__malloc(sizeof *copy + p->length);
    if (!copy)
        return p;
    *copy = (struct even__piece){ p->next, copy_release, (unsigned char *)(copy + 1), p->length };
    memcpy(copy->data, p->data, p->length);
    p->release(p);
    return copy;
}

static void copy_all(even_receiver *r)
{
    for (struct even__piece **p = &r->first; *p; p = &(*p)->next)
        r->last = *p = copied(*p);
}

/* Until the owner returns to the loop, it has the piece that was taken last. */
static ssize_t lend(even_receiver *r, struct even__piece *p, const void **data)
{
    r->lent = p;
    r->loop->lent_in = r->loop->passes;
    even__queue_append(&r->loop->lent, &r->lending);
    *data = p->data;
    return (ssize_t)p->length;
}

static struct even__piece *take_back(even_receiver *r)
{
    struct even__piece *p = r->lent;
    if (p)
        even__queue_remove(&r->lending);
    r->lent = NULL;
    r->into = NULL;
    return p;
}

static void release_lent(even_receiver *r)
{
    struct even__piece *p = take_back(r);
    if (p)
        p->release(p);
}

void even__receivers_return(even_loop *loop)
{
    while (even__unlikely(!even__queue_is_empty(&loop->lent))) {
        even_receiver *r = even__container_of(loop->lent.next, even_receiver, lending);
        release_lent(r);
        enlist(r);
    }
}

static void scratch_release(struct even__piece *p)
{
    even_loop *loop = ((struct scratch *)(void *)p)->loop;
    if (loop->scratch)
        even__free(p);
    else
        loop->scratch = p;
}

static struct scratch *scratch_take(even_loop *loop)
{
    if (!loop->scratch && loop->lent_in != loop->passes)
        even__receivers_return(loop);
    struct scratch *b = (struct scratch *)(void *)loop->scratch;
    loop->scratch = NULL;
    if (even__unlikely(!b) && (b = even__malloc(sizeof *b))) {
        b->piece.release = scratch_release;
        b->loop = loop;
    }
    return b;
}

/* ---- what the backend tells ---- */

void even__receiver_piece(even_op *op, struct even__piece *p)
{
    even_receiver *r = receiver_of(op);
    if (even__unlikely(r->loop->closing)) {
        p->release(p);
        return;
    }
    r->full = p->length == EVEN__RECEIVE_BUFFER ? r->full + 1 : 0;
    p->next = NULL;
    if (!r->wanted)
        p = copied(p);
    if (r->first)
        r->last->next = p;
    else
        r->first = p;
    r->last = p;
    r->kept++;
    if (!r->wanted)
        return;
    run_soon(r);
    if (r->full >= FULL_MAX || r->kept >= KEPT_MAX) {
        r->direct = true;
        r->full = r->small = 0;
        cancel(r);
    }
}

static void over(even_op *op)
{
    even_receiver *r = receiver_of(op);
    bool canceled = r->canceled;
    r->canceled = false;
    if (even__unlikely(r->loop->closing)) {
        r->wanted = false;
        return;
    }
    if (op->result > 0) {
        r->readable = true;
        r->round = 0;
    } else if (op->result == -ENOBUFS && !(op->args.receive.how & EVEN__RECEIVE_DIRECT)) {
        r->direct = true;
        r->small = 0;
    } else if (!(op->result == -ECANCELED && canceled)) {
        fail(r, op->result);
    }
    if (is_receiving(r) && !r->readable)
        begin(r);
    else
        run_soon(r);
    enlist(r);
}

/* ---- the owner's side ---- */

void even_receiver_init(even_receiver *r, even_loop *loop, int fd, void (*run)(even_handle *))
{
    memset(r, 0, sizeof *r);
    r->handle.run = run;
    r->loop = loop;
    r->fd = fd;
    even_op_init(&r->op, loop, NULL);
    r->op.complete = over;
}

void even_receiver_start(even_receiver *r)
{
    if (r->wanted)
        return;
    r->wanted = true;
    if (r->first || r->over || r->readable)
        run_soon(r);
    if (!r->over && !r->readable && !even_op_is_pending(&r->op))
        begin(r);
    enlist(r);
}

void even_receiver_stop(even_receiver *r)
{
    if (!r->wanted)
        return;
    r->wanted = false;
    copy_all(r);
    if (even_op_is_pending(&r->op)) {
        even_handle_cancel(&r->handle);
        cancel(r);
    } else if (!r->over) {
        run_soon(r);
    }
    enlist(r);
}

/* It has had its share of this pass. */
static bool is_served(even_receiver *r)
{
    if (r->pass != r->loop->turns) {
        r->pass = r->loop->turns;
        r->taken = 0;
    }
    return r->taken >= PASS_MAX;
}

/* One receive, of up to `size` bytes to `buffer`. */
static ssize_t fetch(even_receiver *r, void *buffer, size_t size)
{
    even_loop *loop = r->loop;
    ssize_t n = buffer ? loop->backend->receive(loop, &r->op, buffer, size) : -ENOMEM;
    if (n > 0) {
        r->round += (size_t)n;
        r->taken += n < EVEN__RECEIVE_BUFFER ? EVEN__RECEIVE_BUFFER : (size_t)n;    /* a call costs, too */
        return n;
    }
    r->readable = false;
    if (n == -EAGAIN) {
        r->small = r->round < EVEN__RECEIVE_BUFFER ? r->small + 1 : 0;
        if (r->small >= SMALL_MAX) {
            r->direct = false;
            r->small = 0;
        }
        begin(r);
    } else {
        fail(r, (int32_t)n);
        run_soon(r);
    }
    return n;
}

static ssize_t fetch_scratch(even_receiver *r, const void **data)
{
    struct scratch *b = scratch_take(r->loop);
    ssize_t n = fetch(r, b ? b->space : NULL, SCRATCH);
    if (n > 0) {
        b->piece.data = b->space;
        b->piece.length = (size_t)n;
        return lend(r, &b->piece, data);
    }
    if (b)
        scratch_release(&b->piece);
    return n;
}

static ssize_t next_kept(even_receiver *r, const void **data)
{
    struct even__piece *p = r->first;
    r->first = p->next;
    r->kept--;
    r->taken += p->length;
    return lend(r, p, data);
}

/* `room` is NULL: *data is to be set to the bytes; else they are put there, up to n. */
static ssize_t take(even_receiver *r, const void **data, void *room, size_t size)
{
    ssize_t n = -EAGAIN;
    release_lent(r);
    bool more = r->first || (is_receiving(r) && r->readable);
    if (more && r->wanted && is_served(r))
        run_soon(r);
    else if (r->first)
        n = next_kept(r, data);
    else if (more)
        n = room ? fetch(r, room, size) : fetch_scratch(r, data);
    else if (r->over)
        n = r->result;
    enlist(r);
    return n;
}

ssize_t even_receiver_take(even_receiver *r, const void **data)
{
    return take(r, data, NULL, 0);
}

/* The last n bytes of a piece come again. */
static void put_back(even_receiver *r, struct even__piece *p, size_t n)
{
    p->data += p->length - n;
    p->length = n;
    p->next = r->first;
    if (!r->wanted || p->release == scratch_release)
        p = copied(p);
    if (!r->first)
        r->last = p;
    r->first = p;
    r->kept++;
    r->taken -= r->taken < n ? r->taken : n;
}

ssize_t even_receiver_take_into(even_receiver *r, void *buffer, size_t n)
{
    const void *data = NULL;
    ssize_t got = take(r, &data, buffer, n);
    if (data) {
        size_t have = (size_t)got, part = have < n ? have : n;
        struct even__piece *p = take_back(r);
        memcpy(buffer, data, part);
        if (part < have)
            put_back(r, p, have - part);
        else
            p->release(p);
        got = (ssize_t)part;
        enlist(r);
    }
    if (got > 0) {      /* the loop knows nothing of it: if that was all, the receiver's memory may go */
        r->into = buffer;
        r->into_length = (size_t)got;
        r->into_pass = r->loop->passes;
    }
    return got;
}

static even__noinline int report_untake(size_t n, size_t have, const void *site)
{
    char where[EVEN__SITE_MAX];
    if (!even__report_wanted(site))
        return -EINVAL;
    even__site_name(site, where, sizeof where);
    if (have == 0)
        even__report("even_receiver_untake: nothing was taken that could be given back; at %s", where);
    else
        even__report("even_receiver_untake: %zu bytes, but the last take brought %zu; at %s", n, have, where);
    return -EINVAL;
}

int even_receiver_untake(even_receiver *r, size_t n)
{
    if (n == 0)
        return 0;
    const size_t have = r->lent ? r->lent->length : r->into && r->into_pass == r->loop->passes ? r->into_length : 0;
    if (even__unlikely(n > have))
        return report_untake(n, have, __builtin_return_address(0));
    struct even__piece *p = r->lent;
    if (!p) {
        const unsigned char *from = (const unsigned char *)r->into + (have - n);
        p = even__malloc(sizeof *p + n);
        if (!p)
            return -ENOMEM;
        *p = (struct even__piece){ NULL, copy_release, (unsigned char *)(p + 1), n };
        memcpy(p->data, from, n);
    }
    take_back(r);
    put_back(r, p, n);
    enlist(r);
    return 0;
}

static void drop(even_receiver *r)
{
    release_lent(r);
    while (r->first) {
        struct even__piece *p = r->first;
        r->first = p->next;
        p->release(p);
    }
    r->kept = 0;
}

void even_receiver_clear(even_receiver *r)
{
    drop(r);
    enlist(r);
}

/* ---- the loop's side ---- */

void even__receivers_open(even_loop *loop)
{
    even__queue_init(&loop->receivers);
    even__queue_init(&loop->lent);
}

void even__receivers_drop(even_loop *loop)
{
    for (even_handle *h = loop->receivers.next; h != &loop->receivers; h = h->next)
        drop(even__container_of(h, even_receiver, all));
}

void even__receivers_close(even_loop *loop)
{
    while (!even__queue_is_empty(&loop->receivers)) {
        even_receiver *r = even__container_of(loop->receivers.next, even_receiver, all);
        even__queue_remove(&r->all);
        r->wanted = r->readable = false;
    }
    even__free(loop->scratch);
    loop->scratch = NULL;
}

static bool is_valid(const even_loop *loop, const even_receiver *r)
{
    size_t kept = 0;
    const struct even__piece *p = r->first;
    for (; p; p = p->next) {
        kept++;
        if (p->length == 0 || (!p->next && p != r->last))
            return false;
    }
    /* Whoever is receiving has something to take, or an operation to bring it. */
    return r->loop == loop && kept == r->kept && (r->lent != NULL) == (r->lending.next != NULL) &&
           (!is_receiving(r) || r->readable || even_op_is_pending(&r->op));
}

bool even__receivers_are_valid(even_loop *loop)
{
    for (const even_handle *h = loop->receivers.next; h != &loop->receivers; h = h->next)
        if (!is_valid(loop, even__container_of(h, even_receiver, all)))
            return false;
    return true;
}
