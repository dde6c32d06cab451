/* Timers: a 4-ary heap, ordered by deadline, equal ones by the order of their calls. */
#include "../base/sys.h"
#include "loop.h"

enum { ARITY = 4 };

static inline bool earlier(const struct even__timer_slot *a, const struct even__timer_slot *b)
{
    /* The order wraps after 2^32 calls; the difference does not, among timers that wait at the same time. */
    return a->deadline < b->deadline ||
           (a->deadline == b->deadline && (int32_t)(a->timer->order - b->timer->order) < 0);
}

static inline uint32_t parent_of(uint32_t i) { return (i + ARITY - 2) / ARITY; }
static inline uint32_t first_child_of(uint32_t i) { return ARITY * (i - 1) + 2; }

static inline void put(struct even__timers *h, uint32_t i, struct even__timer_slot s)
{
    h->slot[i] = s;
    s.timer->index = i;
}

static void sift_up(struct even__timers *h, uint32_t i, struct even__timer_slot s)
{
    while (i > 1 && earlier(&s, &h->slot[parent_of(i)])) {
        put(h, i, h->slot[parent_of(i)]);
        i = parent_of(i);
    }
    put(h, i, s);
}

static void sift_down(struct even__timers *h, uint32_t i, struct even__timer_slot s)
{
    for (;;) {
        uint32_t child = first_child_of(i), end = child + ARITY, best = child;
        if (child > h->count)
            break;
        if (end > h->count + 1)
            end = h->count + 1;
        for (uint32_t c = child + 1; c < end; c++)
            if (earlier(&h->slot[c], &h->slot[best]))
                best = c;
        if (!earlier(&h->slot[best], &s))
            break;
        put(h, i, h->slot[best]);
        i = best;
    }
    put(h, i, s);
}

int even__timers_add(struct even__timers *h, even_timer *t)
{
    if (h->count + 2 > h->capacity) {
        uint32_t capacity = h->capacity ? h->capacity * 2 : 64;
        struct even__timer_slot *slot = even__realloc(h->slot, capacity * sizeof *slot);
        if (!slot)
            return -ENOMEM;
        h->slot = slot;
        h->capacity = capacity;
    }
    sift_up(h, ++h->count, (struct even__timer_slot){ t->deadline, t });
    return 0;
}

void even__timers_remove(struct even__timers *h, even_timer *t)
{
    uint32_t i = t->index;
    even__check(i >= 1 && i <= h->count && h->slot[i].timer == t);
    t->index = 0;
    struct even__timer_slot last = h->slot[h->count--];
    if (last.timer == t)
        return;
    if (i > 1 && earlier(&last, &h->slot[parent_of(i)]))
        sift_up(h, i, last);
    else
        sift_down(h, i, last);
}

void even__timers_done(struct even__timers *h)
{
    even__free(h->slot);
    *h = (struct even__timers){ 0 };
}
