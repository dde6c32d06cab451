/* The seam between the loop and the kernel.
 *
 * A backend turns started operations, watches and a deadline into completions. What it may count on:
 *  - it is called by one thread at a time; between attach() and detach() always by the same one;
 *  - an operation that is pending is linked in nothing but the backend's own lists (its handle's links are the
 *    backend's until it completes), and its memory stays.
 * What it must do:
 *  - end every started operation exactly once, with even__op_done(), and only from inside poll(), attach(), detach() or
 *    close(): never from inside start() or cancel();
 *  - touch nothing of an operation after that;
 *  - start in order: two sends on one descriptor leave in the order of their starts.
 */
#ifndef EVEN__BACKEND_H
#define EVEN__BACKEND_H

#include "../base/base.h"
#include <evenloop/loop.h>
#include <netinet/in.h>

/* What even_op.state means. A backend may use numbers from EVEN__OP_BACKEND on while the operation is its. */
enum even__op_state { EVEN__OP_IDLE, EVEN__OP_PENDING, EVEN__OP_CANCELING, EVEN__OP_BACKEND };

struct even__backend {
    const char *name;       /* to be chosen by, and shown: nobody compares it, nor the address of this */
    unsigned properties;    /* EVEN_LOOP_VIRTUAL_TIME, ... */
    bool by_name_only;      /* never the default */

    /* Make and unmake the state in loop->backend_state. close() ends what is still pending (it is called by any thread,
     * after detach()). 0 or a negative errno. */
    int (*open)(even_loop *loop, const even_loop_options *options);
    void (*close)(even_loop *loop);

    /* This thread begins, and ends, to use it, for a run or for one step: cheap where the same thread does so again. After
     * detach() nothing is with the kernel that another thread could not take over: its attach() may do that, and end operations.
     * Not so if this thread `comes_back` for what it has handed over: if there is such a thing, the backend stays attached. */
    int (*attach)(even_loop *loop);
    void (*detach)(even_loop *loop, bool comes_back);

    int64_t (*now)(even_loop *loop);                            /* ns */

    void (*start)(even_loop *loop, even_op *op);                /* cannot fail: a failure is a completion */
    void (*cancel)(even_loop *loop, even_op *op);               /* likewise */

    /* The socket of an EVEN_OP_RECEIVE that said, or ended by saying, that there is something: fetch it. As recv(2), with a
     * negative errno; -EAGAIN: not now. The operation is pending afterwards if it will say when there is more; if it is not, and
     * less came than asked for, it has to be started again. */
    ssize_t (*receive)(even_loop *loop, even_op *op, void *buffer, size_t length);

    /* The number is a new file's. NULL: nothing is remembered of numbers. */
    void (*adopt)(even_loop *loop, int fd);

    /* Level-triggered readiness: while a watch stands, queue its handle (even__watch_ready) in each poll() that finds its
     * descriptor ready, unless it is queued still. stop() leaves nothing behind. */
    int (*watch)(even_loop *loop, even_watch *watch);
    void (*unwatch)(even_loop *loop, even_watch *watch);

    /* From any thread, and from a signal handler: let the poll() that waits, or else the next one, return at once. */
    void (*wake)(even_loop *loop);

    /* Hand over what was started; wait up to `timeout` ns (0: do not wait, -1: without end); complete what is over. 0, or
     * the failure that ends the run. EINTR is no failure. */
    int (*poll)(even_loop *loop, int64_t timeout);

    /* True if a poll(0) may find something, as far as memory tells without a system call. */
    bool (*peek)(even_loop *loop);

    /* For debug builds and tests: does each operation stand in the one list that fits its state? Changes nothing. */
    bool (*is_valid)(even_loop *loop);

    int (*fd)(even_loop *loop);                                 /* for embedding; -errno */
    void (*submit)(even_loop *loop);                            /* embedding: hand over what was started, reap nothing */

    /* Sockets, so that a simulated network can stand behind the same functions. All non-blocking and close-on-exec; negative
     * errno. `linger` 0 makes a reset of the close. */
    const struct even__net {
        int (*socket)(even_loop *loop, int family, int type, int protocol);
        int (*bind)(even_loop *loop, int fd, const struct sockaddr *address, socklen_t length);
        int (*listen)(even_loop *loop, int fd, int backlog);
        int (*name)(even_loop *loop, int fd, bool peer, struct sockaddr_storage *address, socklen_t *length);
        int (*shutdown)(even_loop *loop, int fd, int how);
        int (*set_option)(even_loop *loop, int fd, int level, int option, int value);
        int (*close)(even_loop *loop, int fd);                  /* at once; nothing may be pending */
    } *net;
};

extern const struct even__backend even__uring, even__epoll, even__sim;
extern const struct even__net even__net_kernel;                 /* net.c: the system calls themselves */

/* The backend of that name, or of EVENLOOP_BACKEND, or the best: opens it for the loop. A name is in error: -EVEN_EBACKEND
 * and a report that names it. */
int even__backend_open(even_loop *loop, const even_loop_options *options);

/* EVEN_OPS() as a table, by kind. The directions are those of a wait, and index what a backend has of each. */
enum { EVEN__IN, EVEN__OUT, EVEN__ANY, EVEN__NOWHERE };
enum even__op_args { EVEN__ARGS_none, EVEN__ARGS_bytes, EVEN__ARGS_message, EVEN__ARGS_accept, EVEN__ARGS_connect,
                     EVEN__ARGS_sendfile, EVEN__ARGS_poll, EVEN__ARGS_receive };
enum { EVEN__OP_ORDERED = 1, EVEN__OP_FLAGS = 2, EVEN__OP_THREAD = 4, EVEN__OP_STAYS = 8, EVEN__OP_CLOSES = 16 };

struct even__op_row {
    uint8_t waits;
    uint8_t lane;           /* the direction in which it keeps its order, EVEN__IN or EVEN__OUT; else EVEN__NOWHERE */
    uint8_t args, traits;
};
#define EVEN__OP_ROW(name, waits, args, traits)                                                                        \
    { EVEN__##waits, EVEN__OP_ORDERED & (traits) ? EVEN__##waits : EVEN__NOWHERE, EVEN__ARGS_##args, traits },
static const struct even__op_row even__op_rows[] = {
    { .lane = EVEN__NOWHERE },      /* EVEN_OP_NONE */
    EVEN_OPS(EVEN__OP_ROW)
};
#undef EVEN__OP_ROW

static inline const struct even__op_row *even__op_row(const even_op *op)
{
    return &even__op_rows[op->kind];
}

static inline bool even__op_is(const even_op *op, unsigned trait)
{
    return even__op_row(op)->traits & trait;
}

/* For a switch: the compiler tells which kind it forgot. */
static inline enum even_op_kind even__op_kind(const even_op *op)
{
    return (enum even_op_kind)op->kind;
}

/* With MSG_WAITALL a transfer goes on until all is moved. The kernel's flag is of no use for it: it waits in the call, or (that
 * of io_uring) loses the failure that comes behind some bytes, and ends where a run ends. So the backend counts them in
 * op->moved; what ends the operation after some of them, whatever it is, ends it with their number (op.c). */
static inline bool even__op_wants_all(const even_op *op)
{
    return even__unlikely(op->flags & MSG_WAITALL) && even__op_is(op, EVEN__OP_FLAGS);
}
int32_t even__op_moved(even_op *op, int32_t result);

/* A watched descriptor is ready. */
void even__watch_ready(even_watch *watch, int ready);

/* EVEN_OP_RECEIVE, the operation of a receiver, has no buffer. It ends as soon as there is something to fetch by receive(),
 * the end of the stream or a failure included: its result is > 0 then, or a negative errno if it cannot tell. Nothing is
 * fetched before that.
 *
 * It need not end for that: even__receiver_ready() says it too, as often as something comes after all had been fetched, from
 * inside poll(). The operation stays pending then, until it is cancelled, or receive() fails or reaches the end of the stream:
 * that ends it without a word, as the one who asked knows.
 *
 * Unless `args.receive.how` says EVEN__RECEIVE_DIRECT, a backend may fetch by itself instead, into buffers of its own, as
 * often as something comes: each piece goes to even__receiver_piece(), from inside poll(), detach() or close(). It ends then
 * with 0 at the end of the stream; with the failure; or with -ENOBUFS, for want of a buffer, and nothing is lost. */
enum {
    EVEN__RECEIVE_DIRECT = 1,
    EVEN__RECEIVE_BACKEND = 2,              /* bits from here on are the backend's; a start clears them */
    EVEN__RECEIVE_BUFFER = 16 * 1024        /* bytes of such a buffer */
};

/* What came, once: it is its receiver's until that calls `release`. */
struct even__piece {
    struct even__piece *next;
    void (*release)(struct even__piece *piece);
    unsigned char *data;
    size_t length;                          /* > 0 */
    uint32_t spare;                         /* bytes behind them that are the piece's, too */
    uint32_t size;                          /* of the buffer that it keeps others from; 0: it is of that length by itself */
};
void even__receiver_piece(even_op *op, struct even__piece *piece);
void even__receiver_ready(even_op *op);

/* Nobody looks any more at the pieces that were taken before: release them. */
void even__receivers_return(even_loop *loop);

#endif
