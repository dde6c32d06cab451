/* Sources: what came and was not taken yet, and how the next bytes are fetched.
 *
 * Two ways, and the end under a source is at work in one of them, or in none:
 *
 *   by the end     it fetches as bytes come, into small buffers of its own, and each piece is appended to the list here
 *   direct         it only tells that there is something; what takes it fetches it: into the loop's one large buffer, which is
 *                  hot in the cache, held by nobody afterwards, and saves the calls that many small pieces would cost; into
 *                  the taker's own memory; or, where it may stay for a while, into a block
 *
 * A source begins with the first. It changes to the second when whole buffers come in a row, when its owner leaves them
 * lying, and when the end has none left: so a piece can always be fetched, whoever sits on the small buffers. It changes back
 * when little comes. The end's work in one way is over before that in the other begins, so bytes keep their order.
 *
 * Memory is bounded: a source whose owner does not take keeps some KEPT_MAX buffers, and what a stream lends to its reader for
 * longer than a pass is counted (lent_max).
 *
 * A stopped source must not starve the others of buffers, so its pieces are copied out.
 */
#include "source.h"
#include "pieces.h"
#include "../base/sys.h"
#include <string.h>

enum {
    PASS_MAX = 256 * 1024,  /* bytes taken in one pass; others have their turn then */
    FULL_MAX = 2,           /* whole buffers in a row, after which it fetches directly */
    KEPT_MAX = 8,           /* pieces that lie about, likewise */
    SMALL_MAX = 2,          /* times that little came, after which the end may fetch again */
    JOINED_MAX = 2048,      /* bytes of a piece that is rather copied behind the last one than kept by itself */
    STRAIGHT_MIN = 16 * 1024,           /* room of a reader that gets what is fetched without a copy */
    TAIL_MIN = 4 * 1024     /* room behind the last piece for which a fetch is worth its call */
};

static bool is_receiving(const even_receiver *r)
{
    return r->wanted && !r->over;
}

bool even_receiver_is_active(const even_receiver *r)
{
    return is_receiving(r) || r->working;
}

static even__noinline void change_list(even_receiver *r)
{
    bool belongs = even_receiver_is_active(r) || r->first || r->lent;
    if (belongs && !r->all.next)
        even__queue_append(&r->loop->receivers, &r->all);
    else if (!belongs && r->all.next)
        even__queue_remove(&r->all);
}

/* The loop knows those that are active or keep something. */
static inline void enlist(even_receiver *r)
{
    if (even__unlikely(!is_receiving(r) || !r->all.next))
        change_list(r);
}

static void run_soon(even_receiver *r)
{
    if (!r->handle.next)
        even__call_soon(r->loop, &r->handle);
}

/* The owner is to look: at once, or in its turn. */
static void tell(even_receiver *r)
{
    if (r->at_once)
        r->handle.run(&r->handle);
    else
        run_soon(r);
}

static void begin(even_receiver *r)
{
    even__check(!r->working);
    if (r->kept >= KEPT_MAX)
        r->direct = true;       /* nothing more is fetched before that is taken */
    r->working = true;
    r->end->start(r);
}

static void cancel(even_receiver *r)
{
    even__check(r->working);
    r->canceled = true;
    r->end->stop(r);
}

static void fail(even_receiver *r, int32_t result)
{
    even__check(!r->working || r->canceled);
    r->over = true;
    r->result = result;
}

/* ---- pieces ---- */

static void append(even_receiver *r, struct even__piece *p)
{
    p->next = NULL;
    if (r->first)
        r->last->next = p;
    else
        r->first = p;
    r->last = p;
    r->kept++;
}

static struct even__piece *take_first(even_receiver *r)
{
    struct even__piece *p = r->first;
    r->first = p->next;
    r->kept--;
    return p;
}

static void copy_all(even_receiver *r)
{
    for (struct even__piece **p = &r->first; *p; p = &(*p)->next)
        r->last = *p = even__piece_own(*p);
}

/* Until it returns to the loop, the owner has the piece that was taken last. */
static ssize_t lend(even_receiver *r, struct even__piece *p, const void **data)
{
    even__check(!r->lent);
    r->lent = p;
    r->loop->lent_in = r->loop->passes;
    even__queue_append(&r->loop->lent, &r->lending);
    *data = p->data;
    return (ssize_t)p->length;
}

static struct even__piece *take_back(even_receiver *r)
{
    struct even__piece *p = r->lent;
    if (r->lasting)
        r->loop->lent_bytes -= p->size;
    else if (p)
        even__queue_remove(&r->lending);
    r->lent = NULL;
    r->lasting = false;
    r->into = NULL;
    return p;
}

/* The loop's list stays as it is: it may be walked. */
static even__noinline void release_piece(even_receiver *r)
{
    struct even__piece *p = take_back(r);
    p->release(p);
}

void even__source_take_back(even_receiver *r)
{
    release_piece(r);
    enlist(r);
}

static inline void release_lent(even_receiver *r)
{
    r->into = NULL;
    if (r->lent)
        release_piece(r);
}

void even__receivers_return(even_loop *loop)
{
    while (even__unlikely(!even__queue_is_empty(&loop->lent))) {
        even_receiver *r = even__container_of(loop->lent.next, even_receiver, lending);
        release_lent(r);
        enlist(r);
    }
}

/* ---- what the end tells ---- */

/* For a stream, a small one goes behind the bytes of the last, where that has room: so many small ones, which a long line may
 * come in, take no more memory than they must. */
static bool joins(even_receiver *r, struct even__piece *p)
{
    struct even__piece *last = r->last;
    if (!r->at_once || p->length > JOINED_MAX || p->length > last->spare)
        return false;
    memcpy(last->data + last->length, p->data, p->length);
    last->length += p->length;
    last->spare -= (uint32_t)p->length;
    p->release(p);
    return true;
}

void even__source_piece(even_receiver *r, struct even__piece *p)
{
    even__check(r->working);
    if (even__unlikely(r->loop->closing)) {
        p->release(p);
        return;
    }
    r->full = p->length == EVEN__RECEIVE_BUFFER ? r->full + 1 : 0;
    if (!r->first || !joins(r, p))
        append(r, r->wanted ? p : even__piece_own(p));
    if (!r->wanted)
        return;
    if (r->full >= FULL_MAX || r->kept >= KEPT_MAX) {
        r->direct = true;
        r->full = r->small = 0;
        cancel(r);
    }
    tell(r);
}

void even__source_ready(even_receiver *r)
{
    if (r->readable || even__unlikely(r->loop->closing))
        return;
    r->readable = true;
    r->round = 0;
    tell(r);
}

void even__source_over(even_receiver *r, int32_t result)
{
    bool canceled = r->canceled;
    even__check(r->working);
    r->working = r->canceled = false;
    if (even__unlikely(r->loop->closing)) {
        r->wanted = false;
        if (r->at_once) {
            fail(r, -ECANCELED);
            tell(r);
        }
        return;
    }
    if (result > 0) {
        r->readable = true;
        r->round = 0;
    } else if (result != -EINTR && !(result == -ECANCELED && canceled)) {
        fail(r, result);
    }
    const bool goes_on = is_receiving(r) && !r->readable;
    if (goes_on)
        begin(r);
    enlist(r);
    if (!goes_on)
        tell(r);
}

/* ---- the owner's side ---- */

void even__source_init(even_receiver *r, even_loop *loop, const struct even__end *end, void (*run)(even_handle *))
{
    memset(r, 0, sizeof *r);
    r->handle.run = run;
    r->loop = loop;
    r->end = end;
    r->fd = -1;
}

void even_receiver_start(even_receiver *r)
{
    if (r->wanted)
        return;
    r->wanted = true;
    if (r->first || r->over || r->readable)
        run_soon(r);
    if (!r->over && !r->readable && !r->working)
        begin(r);
    enlist(r);
}

void even_receiver_stop(even_receiver *r)
{
    if (!r->wanted)
        return;
    r->wanted = false;
    copy_all(r);
    if (r->working) {
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

/* It has all that there was: the end is to say when there is more. */
static void begin_again(even_receiver *r)
{
    r->readable = false;
    r->small = r->round < EVEN__RECEIVE_BUFFER ? r->small + 1 : 0;
    if (r->small >= SMALL_MAX) {
        r->direct = false;
        r->small = 0;
    }
    if (!r->working)
        begin(r);
}

/* One receive, of up to `size` bytes to `buffer`. */
static ssize_t fetch(even_receiver *r, void *buffer, size_t size)
{
    ssize_t n = buffer ? r->end->take(r, buffer, size) : -ENOMEM;
    if (n > 0) {
        r->round += (size_t)n;
        r->taken += n < EVEN__RECEIVE_BUFFER ? EVEN__RECEIVE_BUFFER : (size_t)n;    /* a call costs, too */
        if ((size_t)n < size)
            begin_again(r);         /* most likely; if not, it says so at once */
    } else if (n == -EAGAIN) {
        begin_again(r);
    } else {
        r->readable = false;
        r->canceled |= r->working;      /* it is ending already, and told so later: that is no failure besides */
        fail(r, (int32_t)n);
        run_soon(r);
    }
    return n;
}

/* The same to an empty piece; NULL: there is no memory. It is released unless something came. */
static ssize_t fetch_piece(even_receiver *r, struct even__piece *p)
{
    ssize_t n = p ? fetch(r, p->data, p->spare) : fetch(r, NULL, 0);
    if (n > 0) {
        p->length = (size_t)n;
        p->spare -= (uint32_t)n;
    } else if (p) {
        p->release(p);
    }
    return n;
}

static ssize_t fetch_scratch(even_receiver *r, const void **data)
{
    struct even__piece *p = even__scratch_take(r->loop);
    ssize_t n = fetch_piece(r, p);
    return n > 0 ? lend(r, p, data) : n;
}

static ssize_t next_kept(even_receiver *r, const void **data)
{
    struct even__piece *p = take_first(r);
    r->taken += p->length;
    return lend(r, p, data);
}

/* Is there something to take now? > 0; else what a take gives. */
static inline ssize_t look(even_receiver *r)
{
    const bool more = r->first || (is_receiving(r) && r->readable);
    if (!more)
        return r->over ? r->result : -EAGAIN;
    if (r->wanted && is_served(r)) {
        run_soon(r);
        return -EAGAIN;
    }
    return 1;
}

/* `room` is NULL: *data is to be set to the bytes; else they are put there, up to n. */
static ssize_t take(even_receiver *r, const void **data, void *room, size_t size)
{
    release_lent(r);
    ssize_t n = look(r);
    if (n > 0)
        n = r->first ? next_kept(r, data) : room ? fetch(r, room, size) : fetch_scratch(r, data);
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
    if (!r->wanted || even__piece_is_scratch(p))
        p = even__piece_own(p);
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
        p = even__piece_new(from, n);
        if (!p)
            return -ENOMEM;
    }
    take_back(r);
    put_back(r, p, n);
    enlist(r);
    return 0;
}

static void drop_kept(even_receiver *r)
{
    while (r->first) {
        struct even__piece *p = take_first(r);
        p->release(p);
    }
}

static void drop(even_receiver *r)
{
    release_lent(r);
    drop_kept(r);
}

void even_receiver_clear(even_receiver *r)
{
    drop(r);
    enlist(r);
}

/* ---- a stream's side ---- */

void even__source_drop_kept(even_receiver *r)
{
    drop_kept(r);
    enlist(r);
}

/* Fetch one piece, to stay, behind those that are kept: as fetch(). */
static ssize_t fetch_behind(even_receiver *r)
{
    struct even__piece *last = r->last;
    ssize_t n;
    if (r->first && last->spare >= TAIL_MIN) {
        n = fetch(r, last->data + last->length, last->spare);
        if (n > 0) {
            last->length += (size_t)n;
            last->spare -= (uint32_t)n;
        }
    } else {
        struct even__piece *p = even__block_take(r->loop);
        const bool copies = !p;
        if (copies)
            p = even__scratch_take(r->loop);
        n = fetch_piece(r, p);
        if (n <= 0)
            return n;
        append(r, copies ? even__piece_own(p) : p);
    }
    if (n > 0)
        r->taken -= (size_t)n;      /* it counts when it is taken */
    return n;
}

/* Up to n bytes of all that is kept: how many. */
static inline size_t copy_kept(even_receiver *r, char *buffer, size_t n)
{
    size_t done = 0;
    do {
        struct even__piece *p = r->first;
        const size_t part = p->length < n - done ? p->length : n - done;
        memcpy(buffer + done, p->data, part);
        done += part;
        if (part < p->length) {
            p->data += part;
            p->length -= part;
        } else {
            take_first(r);
            p->release(p);
        }
    } while (done < n && r->first);
    r->taken += done;
    return done;
}

ssize_t even__source_read(even_receiver *r, void *buffer, size_t n)
{
    release_lent(r);
    ssize_t got = look(r);
    if (got > 0 && !r->first)
        got = n >= STRAIGHT_MIN ? fetch(r, buffer, n) : fetch_behind(r);
    if (r->first && got > 0)
        got = (ssize_t)copy_kept(r, buffer, n);
    enlist(r);
    return got;
}

ssize_t even__source_lend(even_receiver *r, const void **data)
{
    release_lent(r);
    ssize_t n = look(r);
    if (n > 0 && !r->first)
        n = fetch_behind(r);
    if (n > 0) {
        struct even__piece *p = take_first(r);
        r->taken += p->length;
        if (p->size + r->loop->lent_bytes > r->loop->lent_max)
            p = even__piece_own(p);
        r->lent = p;
        r->lasting = true;
        r->loop->lent_bytes += p->size;
        *data = p->data;
        n = (ssize_t)p->length;
    }
    enlist(r);
    return n;
}

ssize_t even__source_more(even_receiver *r)
{
    ssize_t n = r->over ? r->result : -EAGAIN;
    if (is_receiving(r) && r->readable) {
        if (is_served(r))
            run_soon(r);
        else
            n = fetch_behind(r);
    }
    enlist(r);
    return n;
}

/* Do these n bytes stand at byte `at` of the piece p, and go on in those behind it? */
static bool stand_at(const struct even__piece *p, size_t at, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        if (!p)
            return false;
        const size_t part = p->length - at < n ? p->length - at : n;
        if (memcmp(p->data + at, bytes, part) != 0)
            return false;
        bytes += part;
        n -= part;
        p = p->next;
        at = 0;
    }
    return true;
}

ssize_t even__source_find(const even_receiver *r, size_t from, size_t limit, const void *bytes, size_t n, size_t *have)
{
    size_t before = 0;      /* bytes in the pieces before p */
    for (const struct even__piece *p = r->first; p && before < limit; before += p->length, p = p->next) {
        const size_t length = p->length < limit - before ? p->length : limit - before;
        size_t at = from > before ? from - before : 0;
        if (at >= length)
            continue;
        const unsigned char *found = memmem(p->data + at, length - at, bytes, n);
        if (found)
            return (ssize_t)(before + (size_t)(found - p->data));
        if (length >= n && at < length - n + 1)
            at = length - n + 1;
        for (; at < length && at + n <= limit - before; at++)
            if (stand_at(p, at, bytes, n))
                return (ssize_t)(before + at);
    }
    *have = before < limit ? before : limit;
    return -1;
}

int even__source_give_back(even_receiver *r, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    struct even__piece *p = even__piece_new(data, n);
    if (!p)
        return -ENOMEM;
    p->next = r->first;
    if (!r->first)
        r->last = p;
    r->first = p;
    r->kept++;
    enlist(r);
    return 0;
}

void even__source_forgive(even_receiver *r)
{
    r->over = r->wanted = false;
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
        r->wanted = r->readable = r->working = r->canceled = false;
        if (r->at_once) {
            fail(r, -ECANCELED);
            tell(r);
        }
    }
    even__pieces_close(loop);
}

/* The source of a stream that receives, or still waits for its end to be over. */
static bool any_at_once(even_loop *loop)
{
    for (even_handle *h = loop->receivers.next; h != &loop->receivers; h = h->next) {
        const even_receiver *r = even__container_of(h, even_receiver, all);
        if (r->at_once && r->working)
            return true;
    }
    return false;
}

void even__receivers_end(even_loop *loop)
{
    enum { FAILURES_MAX = 1000 };
    if (even__loop_is_parents(loop))
        return;     /* what the kernel has is the parent's: it ends with the copy of the loop */
    for (even_handle *h = loop->receivers.next, *next; h != &loop->receivers; h = next) {
        even_receiver *r = even__container_of(h, even_receiver, all);
        next = h->next;
        if (!r->at_once)
            continue;
        drop(r);
        even_receiver_stop(r);
        even_handle_cancel(&r->handle);
        enlist(r);
    }
    for (int failures = 0; any_at_once(loop);)      /* ends, because all of them were asked to end */
        if (even__loop_look(loop, -1) < 0)
            even__check(++failures < FAILURES_MAX);     /* their memory goes next: there is no way back */
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
    return r->loop == loop && kept == r->kept && (r->lent && !r->lasting) == (r->lending.next != NULL) &&
           (!r->lasting || r->lent) && (!is_receiving(r) || r->readable || r->working);
}

bool even__receivers_are_valid(even_loop *loop)
{
    size_t lent_bytes = 0;
    if (!even__list_is_valid(loop, &loop->receivers) || !even__list_is_valid(loop, &loop->lent))
        return false;
    for (const even_handle *h = loop->receivers.next; h != &loop->receivers; h = h->next) {
        const even_receiver *r = even__container_of(h, even_receiver, all);
        if (!is_valid(loop, r))
            return false;
        lent_bytes += r->lasting ? r->lent->size : 0;
    }
    return lent_bytes == loop->lent_bytes;
}
