/* The simulated backend: virtual time, and behind it a network in memory (sim_net.c).
 *
 * The clock begins at 0 and moves only when nothing is ready: then it jumps to whatever comes first, the loop's
 * deadline or an arrival on the network. Without a seed all that has no order of its own comes first in, first out; a
 * seed (the options', or EVENLOOP_SEED) permutes it, the same way each time.
 *
 * Nothing outside can be waited for, but one thing: a job in another thread, which time stands still for (jobs.h). A
 * thread of the program's own that calls even_call_soon_threadsafe() must be announced in the same way: where nothing
 * is announced, nothing pending and no timer set, the loop would sleep for ever, and says -EVEN_EDEADLOCK instead.
 *
 * Of real descriptors, the loop's own wake-up is waited for; any other can be closed, and read and written where that
 * does not wait (files, pipes with something in them). Everything else on them, readiness too, is refused with
 * -EOPNOTSUPP: real waiting has no place in virtual time. So is a foreign loop around this one.
 */
#include "sim.h"
#include "../base/sys.h"
#include "jobs.h"
#include "net.h"
#include "wake.h"
#include <poll.h>
#include <unistd.h>

/* An operation's `own`. */
enum { STRAY = 1 };

static int sim_open(even_loop *loop, const even_loop_options *options)
{
    int rc = even__sim_read_seed(loop, options);
    if (rc < 0)
        return rc;
    struct even__sim_state *sim = even__calloc(sizeof *sim);
    if (!sim)
        return -ENOMEM;
    if ((rc = sim->wake_fd = even__wake_open()) < 0) {
        even__free(sim);
        return rc;
    }
    sim->loop = loop;
    even__queue_init(&sim->strays);
    even__sim_net_open(sim);
    loop->backend_state = sim;
    return 0;
}

static int do_real(const even_op *op);

/* With the loop; a close is carried out first, but for a fork's child, whose parent does that. */
static void end_strays(struct even__sim_state *sim)
{
    bool ours = sim->loop->pid == getpid();
    while (!even__queue_is_empty(&sim->strays)) {   /* bounded: while closing, only the library hears of an end */
        even_op *op = even__container_of(sim->strays.next, even_op, handle);
        even__queue_remove(&op->handle);
        even__sim_done(sim, op, ours && even__op_is(op, EVEN__OP_CLOSES) ? do_real(op) : -ECANCELED);
    }
}

static void sim_close(even_loop *loop)
{
    struct even__sim_state *sim = even__sim_of(loop);
    sim->closing = true;
    even__sim_net_close(sim);
    end_strays(sim);
    close(sim->wake_fd);
    even__free(sim);
    loop->backend_state = NULL;
}

static int sim_attach(even_loop *loop)
{
    (void)loop;
    return 0;
}

static void sim_detach(even_loop *loop, bool comes_back)
{
    (void)loop, (void)comes_back;
}

static int64_t sim_now(even_loop *loop)
{
    return even__sim_of(loop)->now;
}

static void sim_start(even_loop *loop, even_op *op)
{
    struct even__sim_state *sim = even__sim_of(loop);
    if (sim->closing || !even__sim_net_start(sim, op)) {
        op->own = STRAY;
        even__queue_append(&sim->strays, &op->handle);
    }
}

static void sim_cancel(even_loop *loop, even_op *op)
{
    op->state = EVEN__OP_CANCELING;
    if (op->own != STRAY)       /* that ends at the next poll anyway; its number may be a new socket's by now */
        even__sim_net_cancel(even__sim_of(loop), op);
}

static ssize_t sim_receive(even_loop *loop, even_op *op, void *buffer, size_t length)
{
    return even__sim_net_receive(even__sim_of(loop), op->fd, buffer, length);
}

static int sim_watch(even_loop *loop, even_watch *watch)
{
    return even__sim_net_watch(even__sim_of(loop), watch);
}

static void sim_unwatch(even_loop *loop, even_watch *watch)
{
    even__sim_net_unwatch(even__sim_of(loop), watch);
}

static int do_real(const even_op *op)
{
    bool in = op->kind == EVEN_OP_READ;
    if (op->fd >= EVEN__SIM_FD || op->fd < 0)
        return -EBADF;
    if (op->kind == EVEN_OP_CLOSE)
        return even__net_close(op->loop, op->fd);
    if (!in && op->kind != EVEN_OP_WRITE)
        return -EOPNOTSUPP;
    struct pollfd p = { .fd = op->fd, .events = in ? POLLIN : POLLOUT };
    int rc = (int)even__sys(poll(&p, 1, 0));
    if (rc <= 0)
        return rc < 0 ? rc : -EOPNOTSUPP;
    return in ? (int)even__sys(read(op->fd, op->args.bytes.buffer, op->args.bytes.length)) :
                (int)even__sys(write(op->fd, op->args.bytes.buffer, op->args.bytes.length));
}

static void run_strays(struct even__sim_state *sim)
{
    even_handle now;
    even__queue_init(&now);
    even__queue_splice(&now, &sim->strays);
    while (!even__queue_is_empty(&now)) {   /* bounded: what is started meanwhile waits for the next poll */
        even_op *op = even__container_of(now.next, even_op, handle);
        even__queue_remove(&op->handle);
        even__sim_done(sim, op, op->state == EVEN__OP_CANCELING ? -ECANCELED : do_real(op));
    }
}

/* Another thread works: only it can bring us on. */
static int wait_really(struct even__sim_state *sim)
{
    struct pollfd p = { .fd = sim->wake_fd, .events = POLLIN };
    int rc = (int)even__sys(poll(&p, 1, -1));
    if (rc < 0)
        return rc == -EINTR ? 0 : rc;
    even__wake_read(sim->wake_fd);
    return 0;
}

static int sim_poll(even_loop *loop, int64_t timeout)
{
    struct even__sim_state *sim = even__sim_of(loop);
    int64_t deadline = timeout < 0 || timeout > INT64_MAX - sim->now ? INT64_MAX : sim->now + timeout;
    sim->progress = false;
    for (;;) {      /* bounded by the deadline, and by what is in flight: only completions bring more */
        run_strays(sim);
        even__sim_net_run(sim);
        if (sim->progress || sim->now >= deadline || atomic_exchange(&sim->woken, false))
            return 0;
        if (sim->jobs)
            return wait_really(sim);
        int64_t next = even__sim_net_next(sim);
        if (next > deadline)
            next = deadline;
        if (next == INT64_MAX)
            return -EVEN_EDEADLOCK;
        sim->now = next;
    }
}

static bool sim_peek(even_loop *loop)
{
    struct even__sim_state *sim = even__sim_of(loop);
    return !even__queue_is_empty(&sim->strays) || even__sim_net_next(sim) <= sim->now;
}

static void sim_wake(even_loop *loop)
{
    struct even__sim_state *sim = even__sim_of(loop);
    atomic_store(&sim->woken, true);
    even__wake_write(sim->wake_fd);
}

static int sim_fd(even_loop *loop)
{
    (void)loop;
    return -EOPNOTSUPP;
}

static void sim_submit(even_loop *loop)
{
    (void)loop;
}

void even__sim_jobs(even_loop *loop, int change)
{
    if (!even__loop_has(loop, EVEN_LOOP_VIRTUAL_TIME))
        return;
    struct even__sim_state *sim = even__sim_of(loop);
    sim->jobs += change;
    even__check(sim->jobs >= 0);
}

const struct even__backend even__sim = {
    .name = "sim",
    .properties = EVEN_LOOP_VIRTUAL_TIME,
    .by_name_only = true,
    .open = sim_open,
    .close = sim_close,
    .attach = sim_attach,
    .detach = sim_detach,
    .now = sim_now,
    .start = sim_start,
    .cancel = sim_cancel,
    .receive = sim_receive,
    .watch = sim_watch,
    .unwatch = sim_unwatch,
    .wake = sim_wake,
    .poll = sim_poll,
    .peek = sim_peek,
    .is_valid = even__sim_is_valid,
    .fd = sim_fd,
    .submit = sim_submit,
    .net = &even__sim_net,
};
