/* The epoll backend's state, and what its parts know of each other: epoll.c says how it works. */
#ifndef EVEN__EPOLL_H
#define EVEN__EPOLL_H

#include "../loop/loop.h"
#include "chain.h"
#include <sys/epoll.h>

/* An operation waits to read, to write, or (EVEN_OP_POLL) for whatever it says. */
enum { EVEN__EPOLL_LISTS = EVEN__ANY + 1 };

/* In the done list: its result stands, only nobody was told. */
enum { EVEN__EPOLL_DONE = EVEN__OP_BACKEND };

/* As what a descriptor that is not watched stands registered. */
static const uint32_t EVEN__EPOLL_EDGE = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;

/* What is remembered of a descriptor. All zero: nothing. */
struct even__epoll_slot {
    even_op *pending[EVEN__EPOLL_LISTS];    /* each a chain */
    even_watch *watch[2];
    uint32_t events;                /* as registered; 0: it is not */
    uint32_t polled;                /* what pending[ANY] wants, and perhaps what some wanted that are over by now */
    uint32_t generation;            /* of the registration */
    uint8_t dry;                    /* bit IN, OUT: would give EAGAIN; only while registered as EDGE */
    bool irregular;                 /* a hang-up, an error or urgent data was seen */
    enum { EVEN__EPOLL_UNKNOWN, EVEN__EPOLL_TCP, EVEN__EPOLL_OTHER } type;
};

/* A wait takes this many events at most: a few hundred microseconds of work, then the handles have their turn. What is
 * left stays in the kernel's list, before what comes later. */
enum { EVEN__EPOLL_EVENTS = 256 };

/* In place of a generation and a descriptor: an event of what wakes us, which has come with it. */
static const uint64_t EVEN__EPOLL_WAKE = UINT64_MAX;

struct even__epoll_state {
    int fd;
    int wake_fd;                    /* registered for its edges, and never read */
    bool no_pwait2;                 /* a kernel before 5.11, or a filter */
    even_handle done;               /* operations with a result */
    uint64_t looked_pass;           /* when the kernel was asked last */
    int64_t looked_at;
    struct even__epoll_slot *slot;  /* by descriptor */
    uint32_t slots;
    struct epoll_event event[EVEN__EPOLL_EVENTS];
};

static inline struct even__epoll_slot *even__epoll_find(const struct even__epoll_state *e, int fd)
{
    return (uint32_t)fd < e->slots ? &e->slot[fd] : NULL;
}

static inline void even__epoll_finish(struct even__epoll_state *e, even_op *op, long result)
{
    even__check(op->state == EVEN__OP_PENDING);
    op->result = (int32_t)result;
    op->state = EVEN__EPOLL_DONE;
    even__queue_append(&e->done, &op->handle);
}

static inline bool even__epoll_is_watched(const struct even__epoll_slot *s)
{
    return s->watch[EVEN__IN] || s->watch[EVEN__OUT];
}

/* What a poll wants. */
static inline uint32_t even__epoll_asked(const even_op *op)
{
    return (uint32_t)op->args.poll.events & (EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP);
}

/* epoll_slot.c: what is remembered of a descriptor, and its registration. */
/* Of an open one, since an invalid number could be huge; NULL without memory. */
struct even__epoll_slot *even__epoll_find_or_grow(struct even__epoll_state *e, int fd);
void even__epoll_finish_all(struct even__epoll_state *e, struct even__epoll_slot *s, int result);
uint32_t even__epoll_wanted(const struct even__epoll_slot *s);    /* as what it should be registered */
/* Register what is wanted. `make_sure`: even if it stands registered so; the number may have another meaning now. */
int even__epoll_update(even_loop *loop, int fd, struct even__epoll_slot *s, bool make_sure);
/* The same; if that fails, all who wait for the descriptor are told. */
void even__epoll_update_or_end(even_loop *loop, int fd, struct even__epoll_slot *s);
/* That failed: who waits for what is not registered would wait for ever. */
void even__epoll_refused(even_loop *loop, struct even__epoll_slot *s, int rc);
void even__epoll_forget(even_loop *loop, int fd);   /* the number will mean, or means already, another file */

/* epoll_op.c */
void even__epoll_start(even_loop *loop, even_op *op);
void even__epoll_cancel(even_loop *loop, even_op *op);
ssize_t even__epoll_receive(even_loop *loop, even_op *op, void *buffer, size_t length);
int even__epoll_close_descriptor(even_loop *loop, int fd);
/* Does this operation, the first in its queue, stay there when something has come for it? It does if nobody stands behind it, and
 * only an edge is told: once, that is, though its receiver may leave the bytes where they are. */
static inline bool even__epoll_stands(const struct even__epoll_slot *s, const even_op *op)
{
    return op->kind == EVEN_OP_RECEIVE && s->events == EVEN__EPOLL_EDGE && op->handle.next == &op->handle;
}
/* Try those that wait, in order, until one has to wait on. Bounded: nothing joins the queue meanwhile. */
void even__epoll_run_list(even_loop *loop, struct even__epoll_slot *s, int list);

/* epoll_check.c */
bool even__epoll_is_valid(even_loop *loop);

/* epoll_watch.c */
int even__epoll_watch(even_loop *loop, even_watch *watch);
void even__epoll_unwatch(even_loop *loop, even_watch *watch);

#endif
