/* The loop and its callback level: handles, timers, operations, readiness.
 *
 * This is asyncio's low-level API. Coroutines and tasks (await.h) stand on it, so does the Python face, and
 * so does whoever integrates another library. Nothing here allocates on the way: handles, timers and
 * operations are structures that live in whatever owns them, and stay where they are until they have run,
 * or have been cancelled.
 */
#ifndef EVENLOOP_LOOP_H
#define EVENLOOP_LOOP_H

#include <evenloop/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number of the binary interface: layouts that the macros compile into programs. */
#define EVEN_ABI 3

typedef struct even_loop even_loop;
typedef struct even_handle even_handle;

/* ---- Handles: a function to be called by the loop (asyncio.Handle) -----------------------------------
 *
 * Embedded in whoever owns it; the function gets the handle and finds its owner with even_container_of().
 * Its memory belongs to you, and must stay until it has run or was cancelled. A handle stands in one queue
 * at a time.
 */
struct even_handle {
    even_handle *next, *prev;       /* the queue it stands in; next is NULL while it stands in none */
    void (*run)(even_handle *self);
};

#define EVEN_HANDLE(function) { NULL, NULL, (function) }

#define even_container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* True while the handle waits to be run. */
static inline bool even_handle_is_queued(const even_handle *h) { return h->next != NULL; }

/* Take a handle out of the queue it stands in; nothing if it stands in none. (Handle.cancel) */
EVEN_API void even_handle_cancel(even_handle *h);

/* ---- A loop ------------------------------------------------------------------------------------------ */

typedef struct even_loop_options {
    const char *backend;    /* "uring", "epoll", "sim"; NULL: EVENLOOP_BACKEND, else the best that works here */
    uint64_t seed;          /* sim alone: permutes what is free to come in any order; 0: EVENLOOP_SEED, else FIFO */
    size_t lent_max;        /* bytes of the loop's buffers that readers may hold at a time: the rest is copied; 0: 16 MiB */
} even_loop_options;

/* Make a loop. `options` may be NULL. It may be run or stepped in one thread, then in another, which need not wait for the
 * first one's end, and closed in a third; but not while tasks of C are in it, which stay in their thread. On io_uring each change
 * costs a new ring, and all that is pending is asked for anew.
 * Errors: -EVEN_EBACKEND (an unknown name, or a backend that this kernel refuses), -ENOMEM, -EMFILE, ...
 * (asyncio.new_event_loop) */
EVEN_API int even_loop_new(even_loop **loop, const even_loop_options *options);

/* Close a loop that is not running: queued handles and timers are dropped without being run, operations
 * are cancelled and waited for. Any thread may call it. NULL is allowed. -EVEN_ERUNNING while it runs.
 * (loop.close) */
EVEN_API int even_loop_close(even_loop *loop);

/* The loop that runs in this thread, or NULL. (asyncio.get_running_loop) */
EVEN_API even_loop *even_running_loop(void);

/* "uring", "epoll" or "sim": to be shown. What a program does differently on one of them is asked of its properties. */
EVEN_API const char *even_loop_backend(const even_loop *loop);

/* What the loop's backend is like: those of these that hold. */
enum {
    EVEN_LOOP_VIRTUAL_TIME = 1,     /* its clock jumps to what comes next. Nothing of the world can be waited for: no signal, no
                                     * process, no name server */
    EVEN_LOOP_REAL_FILES = 2,       /* operations and watches work on every descriptor of the system; else on the loop's own
                                     * sockets, and on others only where they need not wait */
    EVEN_LOOP_TRIES_FIRST = 4       /* a start makes the system call at once, and tells a pass later: who makes the call himself
                                     * first, and starts an operation for the rest alone, pays no more and knows sooner */
};
EVEN_API unsigned even_loop_properties(const even_loop *loop);

/* The loop's clock, in seconds: monotonic, its zero anywhere. (loop.time) */
EVEN_API double even_time(even_loop *loop);
EVEN_API int64_t even_time_ns(even_loop *loop);

/* Run until even_loop_stop(). -EVEN_ERUNNING if this loop, or another one in this thread, runs already;
 * -EVEN_EFORK in the child of a fork. A failing system call ends the run with its error.
 * (loop.run_forever) */
EVEN_API int even_loop_run_forever(even_loop *loop);

/* Finish the pass in progress, then return from the run; what the pass started is handed to the kernel. Before a run: that run
 * makes one pass. (loop.stop) */
EVEN_API void even_loop_stop(even_loop *loop);

EVEN_API bool even_loop_is_running(const even_loop *loop);

/* Call `before` and `after` around each wait that may block, in the loop's thread: to let go of a lock meanwhile. Between
 * the two, nothing of the loop may be touched but by even_call_soon_threadsafe(); completions queue their handles then,
 * and run nothing. NULLs take them away. */
EVEN_API void even_loop_set_wait_hooks(even_loop *loop, void (*before)(void *data), void (*after)(void *data), void *data);

/* Queue a handle for the next pass, behind all that is queued. From the loop's thread only. One that is queued already stays
 * where it is, with a report. (loop.call_soon) */
EVEN_API void even_call_soon(even_loop *loop, even_handle *h);

/* Queue a handle for the end of the pass: it runs once the pass has run its handles, before the loop asks the kernel again.
 * For whoever collects what many handles give, and hands it over as one: a buffer to be sent, for one. Outside of a pass: for
 * the end of the next one, which does not wait. From the loop's thread only; else as even_call_soon(). */
EVEN_API void even_call_before_wait(even_loop *loop, even_handle *h);

/* While handles are ready, nobody waits for the kernel. By default the loop then looks in memory alone, where that tells, and
 * asks the kernel after some 60 passes or 100 us. With `yes` it asks in each pass: for programs that count passes, as those for
 * asyncio do. */
EVEN_API void even_loop_ask_each_pass(even_loop *loop, bool yes);

/* even_call_soon() from any thread, and from a signal handler; wakes the loop if it sleeps. It may not be cancelled
 * until the loop's thread has taken it in. After even_loop_close() began: -EVEN_ECLOSED; -EVEN_ESTATE, with a report, for one
 * that is queued already.
 * (loop.call_soon_threadsafe) */
EVEN_API int even_call_soon_threadsafe(even_loop *loop, even_handle *h);

/* A loop's door: what another thread may hold of it, whether or not the loop is still there. Counted; any thread may call these,
 * even_door_call_soon() a signal handler, too.
 * even_loop_door() gives a new reference: call it while the loop is certainly open, in the loop's thread for one.
 * even_door_call_soon() is even_call_soon_threadsafe(): after the loop was closed it gives -EVEN_ECLOSED, at any time, and the
 * handle is yours. */
typedef struct even_door even_door;
EVEN_API even_door *even_loop_door(even_loop *loop);
EVEN_API even_door *even_door_ref(even_door *door);     /* gives door */
EVEN_API void even_door_unref(even_door *door);         /* NULL is allowed */
EVEN_API int even_door_call_soon(even_door *door, even_handle *h);

/* ---- Timers (asyncio.TimerHandle) ------------------------------------------------------------------- */

typedef struct even_timer {
    even_handle handle;
    int64_t deadline;               /* ns on the loop's clock */
    uint32_t index;                 /* its place in the heap, from 1; 0: not in it */
    uint32_t order;                 /* equal deadlines come in the order of their calls */
} even_timer;

#define EVEN_TIMER(function) { EVEN_HANDLE(function), 0, 0, 0 }

/* Run the timer's handle after `delay` seconds (negative: as soon as possible), or at `when` on the loop's
 * clock. An armed timer is moved. Errors: -EINVAL for NaN, -ENOMEM; -EVEN_ESTATE, with a report, for one that is armed in another
 * loop. (loop.call_later, loop.call_at) */
EVEN_API int even_call_later(even_loop *loop, even_timer *timer, double delay);
EVEN_API int even_call_at(even_loop *loop, even_timer *timer, double when);
EVEN_API int even_call_at_ns(even_loop *loop, even_timer *timer, int64_t deadline);

/* Disarm; nothing if it is not armed, nor, with a report, if that is in another loop. (TimerHandle.cancel) */
EVEN_API void even_timer_cancel(even_loop *loop, even_timer *timer);

/* ---- Operations: what the kernel does for us, with a callback when it is done ---------------------------
 *
 * Fill nothing in by hand: even_op_init() once, then one of the even_op_*() functions starts it. It is over
 * when its handle runs (never from inside the call that starts it); op->result is then what the system call
 * of that name returns, or a negative errno. The structure and every buffer belong to the kernel until then, and
 * another start before that is ignored, with a report.
 * Sockets, pipes and terminals must be non-blocking. Transfers of one descriptor in one direction end in the order
 * of their starts. What is said of a socket holds for TCP, UDP and Unix sockets alike.
 *
 * Nobody at the other end: -EPIPE. No signal comes with it: SIGPIPE, where it would end the program, is ignored from a
 * loop's first even_op_write() or even_op_sendfile() until it is closed, and during even_run().
 * Cancelling loses nothing: what was moved is the result. What an accept brought is the result as well.
 */
typedef struct even_op even_op;

/* Every kind, once: X(NAME, the direction in which it waits, its member of even_op.args, traits). What is said of a kind is
 * generated from here, or is a switch over enum even_op_kind that the compiler holds complete: a kind that a backend has
 * forgotten does not compile.
 *   waits     IN, OUT; ANY: for the events that it names; NOWHERE: it does not wait for its descriptor
 *   ORDERED   ends behind those of its direction that were started before it: they share a lane
 *   FLAGS     has recv(2)'s or send(2)'s flags
 *   THREAD    may block in the kernel, which then has one of its threads do it
 *   STAYS     cannot be cancelled
 *   CLOSES    ends its descriptor, and is carried out in any case, exactly once */
#define EVEN_OPS(X)                                                                                                    \
    X(ACCEPT,   IN,      accept,   0)                                                                                  \
    X(CONNECT,  OUT,     connect,  0)                                                                                  \
    X(RECV,     IN,      bytes,    EVEN__OP_ORDERED | EVEN__OP_FLAGS)                                                  \
    X(SEND,     OUT,     bytes,    EVEN__OP_ORDERED | EVEN__OP_FLAGS)                                                  \
    X(READ,     IN,      bytes,    EVEN__OP_ORDERED | EVEN__OP_THREAD)                                                 \
    X(WRITE,    OUT,     bytes,    EVEN__OP_ORDERED | EVEN__OP_THREAD)                                                 \
    X(POLL,     ANY,     poll,     0)                                                                                  \
    X(CLOSE,    NOWHERE, none,     EVEN__OP_THREAD | EVEN__OP_STAYS | EVEN__OP_CLOSES)                                 \
    X(RECVMSG,  IN,      message,  EVEN__OP_ORDERED | EVEN__OP_FLAGS)                                                  \
    X(SENDMSG,  OUT,     message,  EVEN__OP_ORDERED | EVEN__OP_FLAGS)                                                  \
    X(SENDFILE, OUT,     sendfile, EVEN__OP_ORDERED)                                                                   \
    X(RECEIVE,  IN,      receive,  0)       /* a receiver's own */

#define EVEN__OP_NAME(name, waits, args, traits) EVEN_OP_##name,
enum even_op_kind { EVEN_OP_NONE, EVEN_OPS(EVEN__OP_NAME) };
#undef EVEN__OP_NAME

union even_op_args {
    struct { void *buffer; size_t length; } bytes;              /* at most INT32_MAX are moved at once */
    struct { struct msghdr *message; } message;
    struct { struct sockaddr *address; socklen_t *length; } accept;     /* both may be NULL */
    struct { const struct sockaddr *address; socklen_t length; int32_t phase; } connect;    /* `phase` is the backend's */
    struct { int64_t offset; int32_t file; uint32_t count; } sendfile;
    struct { int32_t events; } poll;                            /* POLLIN, POLLOUT, ... */
    struct { uint32_t how; } receive;
};

struct even_op {
    even_handle handle;             /* run when it is over; its links belong to the backend until then */
    void (*complete)(even_op *op);  /* called as the backend reaps it: queues the handle, or ends an awaitable */
    even_loop *loop;
    int32_t result;
    int32_t fd;
    uint8_t kind;                   /* enum even_op_kind: says which of `args` are meant */
    uint8_t state;                  /* enum even__op_state */
    uint16_t own;                   /* the backend's; 0 at the start */
    uint32_t flags;                 /* those of its system call: recv(2), send(2), accept4(2); else 0 */
    union even_op_args args;
    size_t moved;                   /* with MSG_WAITALL: bytes so far */
};

EVEN_API void even_op_init(even_op *op, even_loop *loop, void (*done)(even_handle *self));
/* True from the start until its handle has been queued. */
EVEN_API bool even_op_is_pending(const even_op *op);

/* The new descriptor is non-blocking and close-on-exec. (loop.sock_accept) */
EVEN_API void even_op_accept(even_op *op, int fd, struct sockaddr *address, socklen_t *length, int flags);
/* A Unix socket whose peer's backlog is full: -EAGAIN, and nothing tells when there is room. (loop.sock_connect) */
EVEN_API void even_op_connect(even_op *op, int fd, const struct sockaddr *address, socklen_t length);
/* `flags` are those of recv(2) and send(2), and mean the same on each backend; so with the messages below.
 *   MSG_WAITALL    It is over when all has been moved; or, with what was moved until then, at the end of the stream, at
 *                  urgent data, at a failure (the next operation tells it) or by a cancel. Sends have it, too. Only
 *                  streams are moved in parts. -EOPNOTSUPP together with MSG_PEEK; no meaning together with
 *                  MSG_DONTWAIT, MSG_OOB or MSG_ERRQUEUE.
 *   MSG_DONTWAIT   -EAGAIN where it would have to wait for the socket. It does wait for those started before it.
 *   MSG_OOB, MSG_ERRQUEUE   A receive does not wait, likewise; even_op_poll() does.
 *   MSG_NOSIGNAL   is always set.
 * `sim` has MSG_PEEK, MSG_TRUNC, MSG_WAITALL and MSG_DONTWAIT. It ignores MSG_MORE, MSG_EOR, MSG_CONFIRM, MSG_DONTROUTE
 * and MSG_CMSG_CLOEXEC. A receive with MSG_OOB is -EINVAL, as where nothing urgent has come. The rest: -EOPNOTSUPP.
 * (loop.sock_recv_into, loop.sock_sendall: but the result may be less than asked) */
EVEN_API void even_op_recv(even_op *op, int fd, void *buffer, size_t length, int flags);
EVEN_API void even_op_send(even_op *op, int fd, const void *buffer, size_t length, int flags);

/* Datagrams with their addresses, and what comes beside the bytes: descriptors over a Unix socket, for one. `message`, its
 * name, its vector and its control data belong to the kernel until the operation is over; a receive fills in `msg_namelen`,
 * `msg_controllen` and `msg_flags`, and cuts off what is longer than the vector (MSG_TRUNC). Descriptors that came are yours;
 * with MSG_CMSG_CLOEXEC in `flags` they are close-on-exec. -ECONNREFUSED is the answer to an earlier send on a connected
 * socket. Under `sim`: -EOPNOTSUPP. (loop.sock_recvfrom, loop.sock_sendto) */
EVEN_API void even_op_recvmsg(even_op *op, int fd, struct msghdr *message, int flags);
EVEN_API void even_op_sendmsg(even_op *op, int fd, const struct msghdr *message, int flags);

/* Send up to `count` bytes of the regular file `file`, from `offset` on, without a copy in this program: waits until the
 * socket takes some; the result is how many it took, 0 at the file's end. At most EVEN_SENDFILE_MAX are moved at once, so
 * that the loop's others have their turn. The file's own offset is neither used nor moved. Waits for the disk where the
 * file is not in memory. -ESPIPE or -EINVAL for what is no such file: then read and send. Under `sim`: -EOPNOTSUPP.
 * (loop.sock_sendfile, one step of it) */
enum { EVEN_SENDFILE_MAX = 1 << 20 };
EVEN_API void even_op_sendfile(even_op *op, int fd, int file, int64_t offset, size_t count);

/* Pipes, terminals, sockets, files at their own offset. 0 is the end: nobody has the pipe's other end open for writing.
 * A pending write to a pipe ends with -EPIPE when the last reader goes; where nothing is to be written, even_op_poll() for
 * no events sees it: POLLERR. (asyncio.ReadTransport and WriteTransport of connect_read_pipe, connect_write_pipe) */
EVEN_API void even_op_read(even_op *op, int fd, void *buffer, size_t length);
EVEN_API void even_op_write(even_op *op, int fd, const void *buffer, size_t length);
/* One shot of poll(2): the result is the events seen; POLLERR and POLLHUP come unasked. */
EVEN_API void even_op_poll(even_op *op, int fd, int events);
/* Nothing else may be pending on the descriptor: cancel it and wait for it first. Cannot be cancelled. */
EVEN_API void even_op_close(even_op *op, int fd);

/* A backend may remember a descriptor by its number. If a number was closed with close(2) and now names another file, call
 * this before the first operation on it. Nothing may be pending on it. */
EVEN_API void even_loop_adopt(even_loop *loop, int fd);

/* Ask for a pending operation to end early. It ends all the same through its handle: with -ECANCELED, or
 * with its result if it had already succeeded. Nothing if it is not pending. */
EVEN_API void even_op_cancel(even_op *op);

/* ---- Receivers: a stream's bytes as they come, again and again --------------------------------------------
 *
 *   static void run(even_handle *h)
 *   {
 *       struct connection *c = even_container_of(h, struct connection, receiver.handle);
 *       const void *data;
 *       ssize_t n;
 *       while ((n = even_receiver_take(&c->receiver, &data)) > 0)
 *           ...
 *       if (n != -EAGAIN)           the end (0), or a failure
 *           ...
 *   }
 *
 * The bytes come in buffers of the loop's, which are chosen when there is something for them: a connection that is idle holds
 * none, and starts no operation a message where the kernel can do without (io_uring: one multishot receive into a ring of
 * buffers). Where much comes at once, it is fetched in pieces of up to 256 KiB as it is taken.
 *
 * A receiver is embedded in its owner. Its memory stays while it is active; before it goes, even_receiver_clear() gives up
 * what is kept. All functions are the loop's thread's. The socket is a stream, non-blocking; nobody else receives from it
 * meanwhile, and it is not closed before the receiver is inactive.
 */
typedef struct even_receiver even_receiver;

struct even_receiver {
    even_handle handle;             /* run when there is something to take, and once when it has become inactive */
    even_loop *loop;
    int32_t fd;
    /* What follows is the library's. */
    int32_t result;
    const struct even__end *end;
    bool wanted, working, over, readable, direct, canceled, at_once, lasting;
    uint8_t full, small;
    uint16_t kept;
    even_op op;
    even_handle all, lending;
    struct even__piece *first, *last, *lent;
    const void *into;               /* where the bytes are that were taken last, if not in `lent`; how many, and when */
    size_t into_length;
    uint64_t into_pass;
    uint64_t pass;
    size_t taken, round;
};

/* `run` is called by the loop as any handle. It takes until there is nothing more (or stops): then it is called again when
 * something comes. It may find nothing to take. */
EVEN_API void even_receiver_init(even_receiver *r, even_loop *loop, int fd, void (*run)(even_handle *self));

/* Receive from now on, until the end, a failure, or a stop. What was kept at a stop comes first. Nothing if it does so already.
 * After the end or a failure: its handle runs, and that is told again. (transport.resume_reading) */
EVEN_API void even_receiver_start(even_receiver *r);

/* Receive no more. What has come stays in its order, and may be taken now, or after the next start; until that, the handle
 * does not run for it. What the kernel does for it ends a little later: until then it is active. A start before that is
 * allowed, and it simply goes on. (transport.pause_reading) */
EVEN_API void even_receiver_stop(even_receiver *r);

/* True while the loop or the kernel has it. Whenever it becomes false (by a stop, the end, a failure), perhaps already inside
 * even_receiver_stop() or even_receiver_take(), the handle runs once more afterwards: wait for that, or cancel the handle,
 * before the memory goes. After even_loop_close() it is false, nothing is kept, and the handle does not run. */
EVEN_API bool even_receiver_is_active(const even_receiver *r);

/* The next piece of what came: its length (> 0), and in *data its bytes, which are yours until the next take, untake or clear of
 * this receiver, and until you return to the loop.
 *   0          the end of the stream, as often as it is asked
 *   -EAGAIN    nothing now; or enough for one pass (256 KiB), and the handle runs in the next one
 *   other      the failure that ended it, as often as it is asked: -ECONNRESET, -ENOMEM, ...
 * Never waits. Bytes that came before an end or a failure are taken before it. */
EVEN_API ssize_t even_receiver_take(even_receiver *r, const void **data);

/* The same into a buffer of yours: up to n bytes, n > 0. Where much comes at once they are received there and nowhere else. */
EVEN_API ssize_t even_receiver_take_into(even_receiver *r, void *buffer, size_t n);

/* The last n bytes of what was taken last were not wanted: they are taken again, first. The rest is no longer yours.
 * After even_receiver_take_into() they are copied from your buffer, which must still hold them. Once for each take, before
 * you return to the loop; n == 0 does nothing. The result: 0; -EINVAL, with a report, for more than was taken last, or
 * where nothing was; -ENOMEM, after even_receiver_take_into() alone. After a failure all is as it was. */
EVEN_API int even_receiver_untake(even_receiver *r, size_t n);

/* Drop all that is kept. Receiving goes on if it did. */
EVEN_API void even_receiver_clear(even_receiver *r);

/* ---- Readiness, level-triggered (loop.add_reader, loop.add_writer) ------------------------------------ */

typedef struct even_watch {
    even_handle handle;             /* run once a pass while the descriptor is ready */
    even_loop *loop;
    int32_t fd;
    uint16_t events;                /* asked for: POLLIN, POLLOUT */
    uint16_t ready;                 /* seen, when the handle runs; POLLERR and POLLHUP come unasked */
    void *backend;
    even_handle all;                /* the loop's list of watches */
} even_watch;

/* Errors: -EBADF, -EPERM (a file that cannot be polled), -EEXIST (this direction of the descriptor is watched
 * already), -ENOMEM. Stop it before the descriptor is closed. */
EVEN_API int even_watch_start(even_loop *loop, even_watch *watch, int fd, int events, void (*run)(even_handle *self));
EVEN_API void even_watch_stop(even_watch *watch);

/* ---- Embedding in a foreign loop ------------------------------------------------------------------------
 *
 *   struct pollfd p = { even_loop_fd(loop), POLLIN, 0 };
 *   for (;;) { poll(&p, 1, even_loop_timeout(loop)); even_loop_step(loop); }
 *
 * Between two steps no loop runs in the thread: even_running_loop() is NULL, and create_task() fails with -EVEN_ENOLOOP. Another
 * loop may run then. To begin tasks, queue a handle (even_call_soon()) whose function makes them. Ask for the time-out anew after
 * each step, and after whatever else queued a handle or set a timer. SIGINT and SIGTERM are the program's business here. At the
 * end cancel the tasks, step until they are done, and close the loop.
 */

/* A descriptor that is readable when the loop has something to reap. It stays the loop's. Under `sim`
 * -EOPNOTSUPP: no poll() waits for virtual time, and a step does not move it on. */
EVEN_API int even_loop_fd(even_loop *loop);
/* Milliseconds until the loop wants a step, rounded up: 0 if anything is ready, -1 if it waits for its
 * descriptor alone. Submits what is queued first. If a file or a terminal is being read or written (even_op_read() and the like),
 * the same thread must make the next step, or call even_loop_leave_thread(), before another one steps or closes the loop. */
EVEN_API int even_loop_timeout(even_loop *loop);
/* One pass that never blocks. Errors as of even_loop_run_forever(). */
EVEN_API int even_loop_step(even_loop *loop);

/* ---- Hooks ---------------------------------------------------------------------------------------------- */

/* Where the library's reports go ("coroutine 'f' was never awaited", ...): NULL puts standard error back.
 * `text` ends without a newline, and is yours until the hook returns. For all loops and threads. */
EVEN_API void even_set_report_hook(void (*hook)(void *data, const char *text), void *data);

/* Where memory comes from; NULLs put the C library's functions back. To be set before the first loop. */
EVEN_API void even_set_allocator(void *(*allocate)(size_t), void *(*resize)(void *, size_t), void (*release)(void *));

/* Bytes of the version of the library that runs: "0.1.0". */
EVEN_API const char *even_version(void);

#ifdef __cplusplus
}
#endif
#endif
