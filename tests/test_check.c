/* What even__loop_is_valid() sees: each invariant is broken on purpose, which is told, and mended again. And what each change of
 * state asks first. */
#define EVEN_SHORT_NAMES
#define TEST_ON TEST_ALL
#include "await/await.h"
#include "backend/epoll.h"
#include "backend/sim_net.h"
#ifdef EVEN_HAVE_URING
#include "backend/uring.h"
#endif
#include "sockets.h"        /* behind those, since it has a loop for all */
#include <evenloop.h>
#include <sys/wait.h>

/* Once `place` is what it must not be, the check says so; and not before or afterwards. */
#define TOLD(place, wrong)                                                                                             \
    do {                                                                                                               \
        __typeof__(place) right = (place);                                                                             \
        assert_true(even__loop_is_valid(loop));                                                                        \
        (place) = (wrong);                                                                                             \
        assert_false(even__loop_is_valid(loop));                                                                       \
        (place) = right;                                                                                               \
        assert_true(even__loop_is_valid(loop));                                                                        \
    } while (0)

static void nothing(even_handle *h)
{
    (void)h;
}

/* ---- the loop's own ---- */

TEST(queues_timers_and_lists_are_looked_at, .no_faults = true)
{
    even_handle one = EVEN_HANDLE(nothing), two = EVEN_HANDLE(nothing), last = EVEN_HANDLE(nothing);
    even_timer early = EVEN_TIMER(nothing), late = EVEN_TIMER(nothing);
    open_loop();
    even_call_soon(loop, &one);
    even_call_soon(loop, &two);
    even_call_before_wait(loop, &last);
    assert_int_equal(even_call_later(loop, &early, 1), 0);
    assert_int_equal(even_call_later(loop, &late, 2), 0);
    TOLD(two.prev, &two);
    TOLD(two.run, NULL);
    TOLD(last.run, NULL);
    TOLD(loop->flushing.next, &one);
    TOLD(early.index, 2);
    TOLD(early.deadline, late.deadline + 1);
    TOLD(late.handle.next, &late.handle);
    even_timer_cancel(loop, &early);
    even_timer_cancel(loop, &late);
    even_handle_cancel(&one);
    even_handle_cancel(&two);
    even_handle_cancel(&last);
    close_loop();
}

TEST(watches_are_looked_at, .on = TEST_KERNEL, .no_faults = true)
{
    int p[2];
    even_watch w;
    open_loop();
    unix_pair(p);
    assert_int_equal(even_watch_start(loop, &w, p[0], POLLIN, nothing), 0);
    for (int i = 0; i < 2; i++) {       /* as it was started, and when the kernel has it */
        TOLD(w.loop, NULL);
        TOLD(w.fd, p[1]);
        if (strcmp(even_loop_backend(loop), "uring") == 0)
            TOLD(w.backend, NULL);
        pump();
    }
    even_watch_stop(&w);
    pump();
    close_loop();
    close_pair(p);
}

TEST(receivers_are_looked_at, .on = TEST_KERNEL, .no_faults = true)
{
    int p[2];
    even_receiver r;
    const void *data;
    open_loop();
    unix_pair(p);
    even_receiver_init(&r, loop, p[0], nothing);
    even_receiver_start(&r);
    TOLD(r.working, false);
    TOLD(r.loop, NULL);
    put(p[1], "abc");
    pump();
    TOLD(r.kept, 7);
    TOLD(loop->lent_bytes, 1);
    assert_int_equal(even_receiver_take(&r, &data), 3);
    TOLD(r.lent, NULL);
    even_receiver_stop(&r);
    pump();
    close_loop();
    close_pair(p);
}

/* ---- backends ---- */

/* Two receives of one descriptor, so that the second waits for the first, and one that was asked to end. */
struct three {
    int p[2], q[2];
    even_op first, second, asked;
    char byte[3];
};

static void start_three(struct three *t)
{
    open_loop();
    unix_pair(t->p);
    unix_pair(t->q);
    even_op_init(&t->first, loop, nothing);
    even_op_init(&t->second, loop, nothing);
    even_op_init(&t->asked, loop, nothing);
    even_op_recv(&t->first, t->p[0], &t->byte[0], 1, 0);
    even_op_recv(&t->second, t->p[0], &t->byte[1], 1, 0);
    even_op_recv(&t->asked, t->q[0], &t->byte[2], 1, 0);
    assert_true(even__loop_is_valid(loop));
    pump();
    even_op_cancel(&t->asked);
    assert_true(even__loop_is_valid(loop));
}

static void end_three(struct three *t)
{
    pump();
    close_loop();
    close_pair(t->p);
    close_pair(t->q);
}

#ifdef EVEN_HAVE_URING
TEST(the_lists_of_io_uring_are_looked_at, .on = TEST_URING, .no_faults = true)
{
    static struct three t;
    start_three(&t);
    struct even__uring_state *s = loop->backend_state;
    struct even__uring_port *port = &s->ports[t.p[0]];
    TOLD(t.first.state, EVEN__OP_PENDING);          /* in the list of what the kernel has */
    TOLD(t.second.state, EVEN__URING_GRANTED);      /* held */
    TOLD(t.asked.state, EVEN__URING_HELD);
    TOLD(t.second.fd, t.q[0]);
    TOLD(t.second.handle.prev, &t.first.handle);
    TOLD(t.first.loop, NULL);
    TOLD(t.first.kind, EVEN_OP_POLL);               /* it has a lane, then, that is nobody's */
    TOLD(s->pending, s->pending + 1);
    TOLD(port->busy[EVEN__IN], false);
    TOLD(port->busy[EVEN__OUT], true);
    TOLD(port->held[EVEN__IN], NULL);               /* one is lost */
    end_three(&t);
}
#endif

TEST(the_lists_of_epoll_are_looked_at, .on = TEST_EPOLL, .no_faults = true)
{
    static struct three t;
    even_op poll;
    start_three(&t);
    even_op_init(&poll, loop, nothing);
    even_op_poll(&poll, t.q[1], POLLIN);
    struct even__epoll_state *e = loop->backend_state;
    struct even__epoll_slot *slot = &e->slot[t.p[0]];
    TOLD(t.first.state, EVEN__EPOLL_DONE);
    TOLD(t.asked.state, EVEN__OP_PENDING);          /* among those that are done */
    TOLD(t.second.fd, t.q[0]);
    TOLD(t.second.kind, EVEN_OP_SEND);              /* it waits for another direction */
    TOLD(t.second.loop, NULL);
    TOLD(t.second.handle.prev, &t.asked.handle);
    TOLD(slot->pending[EVEN__IN], NULL);            /* two are lost */
    TOLD(slot->events, 0);
    TOLD(slot->events, EPOLLIN);                    /* which tells no edges */
    TOLD(e->slot[t.q[1]].polled, EPOLLPRI);
    even_op_cancel(&poll);
    end_three(&t);
}

TEST(the_simulated_network_is_looked_at, .on = TEST_SIM, .no_faults = true)
{
    struct even__sim_state *sim;
    even_op connect, accept, second;
    struct sockaddr_storage address;
    socklen_t n = sizeof address;
    open_loop();
    sim = even__sim_of(loop);
    const struct even__net *net = loop->backend->net;
    int listening = net->socket(loop, AF_INET, SOCK_STREAM, 0), client = net->socket(loop, AF_INET, SOCK_STREAM, 0);
    assert_int_equal(net->listen(loop, listening, 1), 0);
    assert_int_equal(net->name(loop, listening, false, &address, &n), 0);
    even_op_init(&connect, loop, nothing);
    even_op_init(&accept, loop, nothing);
    even_op_init(&second, loop, nothing);
    even_op_connect(&connect, client, (struct sockaddr *)&address, n);
    even_op_accept(&accept, listening, NULL, NULL, 0);
    even_op_accept(&second, listening, NULL, NULL, 0);
    even_op_cancel(&second);                        /* behind another one */
    even__sim_net_run(sim);                         /* the connect has begun, and one accept waits */
    struct even__sim_socket *s = even__sim_find(sim, client), *l = even__sim_find(sim, listening);
    TOLD(connect.state, EVEN__OP_IDLE);
    TOLD(connect.fd, listening);
    TOLD(accept.kind, EVEN_OP_SEND);
    TOLD(accept.state, EVEN__OP_CANCELING);         /* and nobody serves it */
    TOLD(l->pending, 2);
    TOLD(loop->operations, 3);
    TOLD(s->peer->used, 1);
    TOLD(s->peer->segments, 0);
    TOLD(s->peer->peer, NULL);
    TOLD(s->fd, listening);
    TOLD(sim->sockets, 7);
    TOLD(sim->free_fds, 1);
    TOLD(sim->jobs, -1);
    close_loop();
}

/* ---- tasks ---- */

async(int, wait_for_it, (even_future *, f))
{
    return await(f);
}

async(int, look_at_tasks)
{
    even_future *f = even_future_new(even_future);
    even_task *task = (even_task *)create_task(wait_for_it(even_ref(f)));
    loop = even_running_loop();
    struct even__task *t = even__task_of(task);
    struct even__tasks *tasks = loop->tasks;
    even_awaitable *x = t->object;
    TOLD(t->started, true);             /* it waits for nothing, and yet does not run */
    TOLD(t->wake.run, nothing);         /* it stands in no queue, and no ring */
    await(even_sleep(0));
    TOLD(t->loop, NULL);
    TOLD(t->waits_for, NULL);
    TOLD(t->waits_for, x);              /* but it is no waiter of that */
    TOLD(t->wake.prev, &t->wake + 1);
    TOLD(x->refs, 0);
    TOLD(x->state, EVEN_DONE);
    TOLD(x->by.task, even__current());
    TOLD(tasks->all.prev, &t->wake);
    even__remove_waiter(&f->base, &t->wake);
    assert_false(even__loop_is_valid(loop));
    even__add_waiter(&f->base, &t->wake, loop);
    assert_true(even__loop_is_valid(loop));
    even_set_result(f, 0);
    assert_true(even__loop_is_valid(loop));
    even__queue_remove(&t->all);        /* it will run, but is in the list no more */
    assert_false(even__loop_is_valid(loop));
    even__queue_append(&tasks->all, &t->all);
    await((even_int_aw *)(void *)x);
    even_unref(&f->base);
    assert_true(even__loop_is_valid(loop));
    return 0;
}

TEST(tasks_are_looked_at, .no_faults = true)
{
    assert_int_equal(even_run(look_at_tasks()), 0);
}

/* ---- changes of state ---- */

/* In a child, which is to end by an abort() that says what does not hold. */
#define BUG(text, ...)                                                                                                 \
    do {                                                                                                               \
        int bug__pipe[2], bug__status;                                                                                 \
        char bug__said[512] = "";                                                                                      \
        assert_int_equal(pipe(bug__pipe), 0);                                                                          \
        pid_t bug__child = fork();                                                                                     \
        if (bug__child == 0) {                                                                                         \
            signal(SIGABRT, SIG_DFL);                                                                                  \
            dup2(bug__pipe[1], STDERR_FILENO);                                                                         \
            __VA_ARGS__;                                                                                               \
            _exit(0);                                                                                                  \
        }                                                                                                              \
        close(bug__pipe[1]);                                                                                           \
        assert_true(read(bug__pipe[0], bug__said, sizeof bug__said - 1) > 0);                                          \
        close(bug__pipe[0]);                                                                                           \
        assert_int_equal(waitpid(bug__child, &bug__status, 0), bug__child);                                            \
        assert_true(WIFSIGNALED(bug__status) && WTERMSIG(bug__status) == SIGABRT);                                     \
        assert_non_null(strstr(bug__said, "this is a bug in the library"));                                            \
        assert_non_null(strstr(bug__said, text));                                                                      \
    } while (0)

static void ended(even_op *op)
{
    (void)op;
}

TEST(an_operation_ends_once, .on = TEST_EPOLL, .no_faults = true, .no_valgrind = true)
{
    int p[2];
    even_op op;
    even_receiver r;
    open_loop();
    unix_pair(p);
    even_op_init(&op, loop, NULL);
    op.complete = ended;
    BUG("op->state", even__op_done(&op, 0));
    even_op_close(&op, -1);
    BUG("op->state", even__op_receive(&op, p[0], true));
    BUG("op->state", even__epoll_finish(loop->backend_state, &op, 0));
    pump();
    even_receiver_init(&r, loop, p[0], nothing);
    BUG("r->working", r.op.complete(&r.op));
    close_loop();
    close_pair(p);
}

TEST(a_future_ends_once, .on = TEST_SIM, .no_faults = true, .no_valgrind = true)
{
    even_future *f = even_future_new(even_future);
    assert_int_equal(even_set_result(f, 0), 0);
    BUG("x->state", even__complete(&f->base, 0));
    even_unref(&f->base);
}

#ifdef EVEN_DEBUG
TEST(a_pass_tells_what_it_broke, .no_faults = true, .no_valgrind = true)
{
    BUG("even__loop_is_valid", open_loop(); loop->operations++; even_loop_step(loop));
    BUG("even__loop_is_valid", open_loop(); loop->lent_bytes++; even_loop_step(loop));
}
#endif
