/* gather: many awaitables, one future. Follows asyncio.gather, but for one thing: a gather that was cancelled ends when all of
 * its children have, so that no operation of theirs still uses the caller's memory. */
#include "await.h"
#include "../base/sys.h"
#include <string.h>

struct child {
    even_handle done;           /* among the waiters of the object */
    even_awaitable *object;     /* NULL once it has been fetched */
    struct gather *gather;
    void *into;                 /* NULL once disconnected */
    size_t size;
};

struct gather {
    even_int_aw pub;
    struct child *children;
    int *statuses;
    size_t n, pending;
    bool cancel_requested;
    struct even__fork fork;
};

static void disconnect(struct gather *g)
{
    for (size_t i = 0; i < g->n; i++)
        g->children[i].into = NULL;
    g->statuses = NULL;
}

static even__noinline void report_twice(const even_awaitable *x)
{
    char name[EVEN__DESCRIPTION_MAX];
    if (even__report_wanted(x->kind))
        even__report("%s was given to a gather twice, but each takes a reference: gather(x, even_ref(x))",
                     even__describe(x, name, sizeof name));
}

/* The loop's callback, as asyncio's: a child is done. */
static void child_done(even_handle *h)
{
    struct child *c = even__container_of(h, struct child, done);
    struct gather *g = c->gather;
    even_awaitable *x = c->object;
    int status = even_status_of(x);

    if (even__unlikely(x->state == EVEN_SPENT))
        report_twice(x);
    if (status == 0 && c->into)
        memcpy(c->into, even__result(x), c->size);
    if (g->statuses)
        g->statuses[c - g->children] = status;
    c->object = NULL;
    g->pending--;
    if (g->pub.base.state == EVEN_ACTIVE) {
        g->pub.result = 0;
        if (g->pending == 0) {
            even__complete(&g->pub.base, g->cancel_requested ? -ECANCELED : status < 0 && !g->statuses ? status : 0);
        } else if (status < 0 && !g->statuses && !g->cancel_requested) {
            disconnect(g);          /* the caller's frame may go now; the others go on */
            even__complete(&g->pub.base, status);
        }
    }
    even_unref(x);
}

/* ---- cancelling ---- */

static even_awaitable *next_child(struct even__fork *fork)
{
    struct gather *g = even__container_of(fork, struct gather, fork);
    while (fork->at < g->n) {
        even_awaitable *x = g->children[fork->at++].object;
        if (x && x->state != EVEN_DONE && x->state != EVEN_SPENT)
            return x;
    }
    return NULL;
}

/* Unless all children are done, and their handles queued. It ends when they have. */
static bool takes_request(even_awaitable *base)
{
    struct gather *g = (struct gather *)(void *)base;
    if (even__unlikely(!even__loop_of(base))) {     /* its loop is gone: nobody else will end it */
        even__complete(base, -ECANCELED);
        return true;
    }
    g->fork.at = 0;
    if (!next_child(&g->fork))
        return false;
    return g->cancel_requested = true;
}

static const struct even__fork_kind fork_kind = { takes_request, next_child };

/* Nobody holds it any more: what still runs goes on by itself. */
static void drop(even_awaitable *base)
{
    struct gather *g = (struct gather *)(void *)base;
    for (size_t i = 0; i < g->n; i++) {
        struct child *c = &g->children[i];
        if (c->object) {
            even__remove_waiter(c->object, &c->done);
            c->object->flags |= EVEN__FETCHED;  /* as asyncio's: a gather takes the failures that come after its end */
            even_unref(c->object);
        }
    }
    even__free(g->children);
}

static const even_kind kind = {
    .name = "gather",
    .size = sizeof(struct gather),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .borrows = 1,
    .forks = 1,
    .argument_offset = offsetof(struct gather, fork),
    .drop = drop,
};
static even_int_aw without_memory = { EVEN_AWAITABLE_FAILED(&kind, -ENOMEM), -ENOMEM };
static even_int_aw without_loop = { EVEN_AWAITABLE_FAILED(&kind, -EVEN_ENOLOOP), -EVEN_ENOLOOP };
/* What takes the place of a child that cannot be gathered. */
static even_int_aw awaited_already = { EVEN_AWAITABLE_FAILED(&kind, -EVEN_EAWAITED), -EVEN_EAWAITED };
static even_int_aw spent = { EVEN_AWAITABLE_FAILED(&kind, -EVEN_ESPENT), -EVEN_ESPENT };
static even_int_aw elsewhere = { EVEN_AWAITABLE_FAILED(&kind, -EVEN_EOTHERLOOP), -EVEN_EOTHERLOOP };

static struct gather *new_gather(size_t n, int *statuses, const void *site)
{
    struct gather *g = (struct gather *)(void *)even__zeroed_new(&kind, site);
    if (!g)
        return NULL;
    if (n && !(g->children = even__calloc(n * sizeof *g->children))) {
        g->pub.base.state = EVEN_DONE;
        even_unref(&g->pub.base);
        return NULL;
    }
    g->n = g->pending = n;
    g->fork.kind = &fork_kind;
    g->statuses = statuses;
    even__trace(GATHERED, .loop = even__thread.loop, .task = even__current_object(), .object = &g->pub.base,
                .site = site, .value = (int64_t)n);
    if (n == 0)
        even__complete(&g->pub.base, 0);
    return g;
}

static void add(struct gather *g, size_t i, even_awaitable *x, void *into, size_t size, const void *site)
{
    struct child *c = &g->children[i];
    even__create_task(x, NULL, site);   /* which reports what cannot be one */
    switch (even__check_shared(x, even__thread.loop, site)) {
    case -EVEN_ESPENT: x = &spent.base; break;
    case -EVEN_EAWAITED: x = &awaited_already.base; break;
    case -EVEN_EOTHERLOOP: even_unref(x); x = &elsewhere.base; break;
    }
    *c = (struct child){ EVEN_HANDLE(child_done), x, g, into, size };
    even__add_waiter(x, &c->done, even__thread.loop);
}

static even_int_aw *refuse(void)
{
    return even__thread.loop ? &without_memory : &without_loop;
}

even_int_aw *even_gather_entries(const even_gather_entry *entries, size_t n, int *statuses)
{
    const void *site = __builtin_return_address(0);
    struct gather *g = even__thread.loop ? new_gather(n, statuses, site) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (g)
            add(g, i, entries[i].object, entries[i].into, entries[i].size, site);
        else
            even__drop_silently(entries[i].object);
    }
    return g ? &g->pub : refuse();
}

even_int_aw *even_gather_array(size_t n, const void *objects, void *results, size_t result_size, int *statuses)
{
    const void *site = __builtin_return_address(0);
    struct gather *g = even__thread.loop ? new_gather(n, statuses, site) : NULL;
    for (size_t i = 0; i < n; i++) {
        even_awaitable *x;          /* an array of pointers to whatever kind of awaitable: copied, not punned */
        memcpy(&x, (const char *)objects + i * sizeof x, sizeof x);
        if (g)
            add(g, i, x, results ? (char *)results + i * result_size : NULL, result_size, site);
        else
            even__drop_silently(x);
    }
    return g ? &g->pub : refuse();
}
