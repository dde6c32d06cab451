/* What must hold of the io_uring backend between two polls. */
#include "uring.h"
#include <poll.h>

static const unsigned ENDS = 1u << EVEN__OP_PENDING | 1u << EVEN__OP_CANCELING;
static const unsigned CANCELS = 1u << EVEN__OP_CANCELING | 1u << EVEN__URING_ENDING;

/* All in the list are this loop's, and in one of these states. They are added to *n. */
static bool have_states(even_loop *loop, even_handle *list, unsigned states, size_t *n)
{
    if (!even__list_is_valid(loop, list))
        return false;
    for (even_handle *h = list->next; h != list; h = h->next, ++*n) {
        const even_op *op = even__op_of(h);
        if (op->loop != loop || !(1u << op->state & states))
            return false;
    }
    return true;
}

static bool are_held(even_loop *loop, even_op *first, int fd, int lane, size_t *n)
{
    even_op *op = first;
    do {
        if (!op->handle.next || op->handle.next->prev != &op->handle || op->loop != loop || op->fd != fd ||
            op->state != EVEN__URING_HELD || even__uring_lane_of(op) != lane)
            return false;
        op = even__op_of(op->handle.next);
        ++*n;
    } while (op != first);
    return true;
}

/* ---- lanes ---- */

static bool owns_lane(const even_op *op)
{
    return (op->state == EVEN__URING_GRANTED || even__uring_is_in_kernel(op)) && even__uring_lane_of(op) >= 0;
}

/* Give up the lanes of those in the list; false if one did not have it. */
static bool leave_lanes(struct even__uring_state *s, even_handle *list)
{
    bool valid = true;
    for (even_handle *h = list->next; h != list; h = h->next) {
        const even_op *op = even__op_of(h);
        if (!owns_lane(op))
            continue;
        bool *busy = &s->ports[op->fd].busy[even__uring_lane_of(op)];
        valid &= *busy;
        *busy = false;
    }
    return valid;
}

static void take_lanes(struct even__uring_state *s, even_handle *list)
{
    for (even_handle *h = list->next; h != list; h = h->next)
        if (owns_lane(even__op_of(h)))
            s->ports[even__op_of(h)->fd].busy[even__uring_lane_of(even__op_of(h))] = true;
}

/* A lane that is busy has one owner, and is so while others are held in it: if all owners leave, none is left. */
static bool lanes_are_valid(struct even__uring_state *s, size_t *n)
{
    even_handle *lists[] = { &s->waiting, &s->submitted, &s->working, &s->canceling };
    enum { LISTS = sizeof lists / sizeof *lists };
    bool valid = true;
    s->loop->walked += (size_t)s->ports_count;
    for (int i = 0; valid && i < 2 * s->ports_count; i++) {
        even_op *held = s->ports[i / 2].held[i % 2];
        valid = !held || (s->ports[i / 2].busy[i % 2] && are_held(s->loop, held, i / 2, i % 2, n));
    }
    for (int i = 0; i < LISTS; i++)
        valid &= leave_lanes(s, lists[i]);
    for (int i = 0; i < s->ports_count; i++)
        valid &= !s->ports[i].busy[0] && !s->ports[i].busy[1];
    for (int i = 0; i < LISTS; i++)
        take_lanes(s, lists[i]);
    return valid;
}

/* ---- watches ---- */

static bool records_are_valid(struct even__uring_state *s)
{
    even_handle *lists[] = { &s->arming, &s->armed, &s->disarming };
    for (int i = 0; i < 3; i++) {
        if (!even__list_is_valid(s->loop, lists[i]))
            return false;
        for (even_handle *h = lists[i]->next; h != lists[i]; h = h->next) {
            const struct even__uring_record *r = even__uring_record_of(h);
            if ((r->watch && r->watch->backend != r) || (!r->watch && !r->in_kernel))
                return false;
            if ((i == 0 && (!r->watch || r->in_kernel)) || (i == 2 && r->watch))
                return false;
        }
    }
    for (int fd = 0; fd < s->ports_count; fd++) {
        const struct even__uring_record *in = s->ports[fd].in, *out = s->ports[fd].out;
        if ((in && !(in->watch && in->watch->fd == fd && in->watch->events & POLLIN)) ||
            (out && !(out->watch && out->watch->fd == fd && out->watch->events & POLLOUT)))
            return false;
    }
    return true;
}

/* ---- all ---- */

static unsigned count_in_kernel(even_handle *list)
{
    unsigned n = 0;
    for (even_handle *h = list->next; h != list; h = h->next)
        n += even__uring_is_in_kernel(even__op_of(h));
    return n;
}

static unsigned count_records(even_handle *list)
{
    unsigned n = 0;
    for (even_handle *h = list->next; h != list; h = h->next)
        n += even__uring_record_of(h)->in_kernel;
    return n;
}

static bool are_with_threads(even_handle *list)
{
    for (even_handle *h = list->next; h != list; h = h->next)
        if (!even__op_is(even__op_of(h), EVEN__OP_THREAD))
            return false;
    return true;
}

bool even__uring_is_valid(even_loop *loop)
{
    struct even__uring_state *s = loop->backend_state;
    size_t n = 0;
    if (!have_states(loop, &s->waiting, EVEN__URING_WAITS, &n) || !have_states(loop, &s->submitted, EVEN__URING_IN_KERNEL, &n) ||
        !have_states(loop, &s->working, EVEN__URING_IN_KERNEL, &n) || !have_states(loop, &s->canceling, CANCELS, &n) ||
        !have_states(loop, &s->ended, ENDS, &n) || !lanes_are_valid(s, &n) || n != loop->operations || !records_are_valid(s))
        return false;
    const unsigned pending = count_in_kernel(&s->submitted) + count_in_kernel(&s->working) + count_in_kernel(&s->canceling) +
                             count_records(&s->armed) + count_records(&s->disarming);
    loop->walked += n;
    return pending == s->pending && are_with_threads(&s->working) && even__uring_buffers_are_valid(s);
}
