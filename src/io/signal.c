/* Signals for loops, at the callback level.
 *
 * One handler serves all signals. It goes through the signal's watches under a lock, in whichever thread it runs: who holds
 * the lock has all signals blocked, the handler too, so nobody ever waits for a lock that its own thread has, and none is
 * held for longer than a walk through a few watches takes. What it does for a watch is a push, which is made for handlers.
 */
#include "../base/fork.h"
#include "../base/sys.h"
#include "../loop/loop.h"
#include <evenloop/process.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static struct {
    atomic_flag lock;
    sigset_t mask;                  /* of the thread that forks */
    even_signal *first[_NSIG];
    struct sigaction before[_NSIG];
} signals = { .lock = ATOMIC_FLAG_INIT };

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&signals.lock, memory_order_acquire))  /* bounded: see above */
        sched_yield();
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&signals.lock, memory_order_release);
}

static void block(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

static void unblock(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

/* A fork finds the list whole and the lock free, whatever the other threads do. */
static void before_fork(void)
{
    sigset_t mask;
    block(&mask);
    lock();
    signals.mask = mask;
}

static void after_fork(void)
{
    sigset_t mask = signals.mask;
    unlock();
    unblock(&mask);
}

EVEN__AT_FORK(.take = before_fork, .let_go = after_fork);

static void on_signal(int number)
{
    int saved = errno;
    const pid_t pid = getpid();
    lock();
    for (even_signal *w = signals.first[number]; w; w = w->next)
        if (w->loop->pid == pid && !__atomic_exchange_n(&w->sent, 1, __ATOMIC_ACQ_REL))
            even_call_soon_threadsafe(w->loop, &w->arrival);
    unlock();
    errno = saved;
}

static void arrived(even_handle *h)
{
    even_signal *w = even__container_of(h, even_signal, arrival);
    __atomic_store_n(&w->sent, 0, __ATOMIC_RELEASE);    /* before it runs: what comes meanwhile is told again */
    w->handle.run(&w->handle);
}

static int take_over(int number)
{
    struct sigaction ours = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };
    sigfillset(&ours.sa_mask);
    return (int)even__sys(sigaction(number, &ours, &signals.before[number]));
}

static void give_back(int number)
{
    struct sigaction now;
    if (sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_signal)
        sigaction(number, &signals.before[number], NULL);
}

int even_signal_start(even_loop *loop, even_signal *w, int number, void (*run)(even_handle *))
{
    sigset_t mask;
    int rc = 0;

    memset(w, 0, sizeof *w);
    if (even__loop_has(loop, EVEN_LOOP_VIRTUAL_TIME))
        return -EOPNOTSUPP;     /* signals come in real time */
    if (number <= 0 || number >= _NSIG || number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL)
        return -EINVAL;
    w->handle.run = run;
    w->arrival.run = arrived;
    w->number = number;
    block(&mask);
    lock();
    even_signal **at = &signals.first[number];
    if (!*at)
        rc = take_over(number);
    if (rc == 0) {
        while (*at)
            at = &(*at)->next;
        w->loop = loop;
        *at = w;
    }
    unlock();
    unblock(&mask);
    return rc;
}

void even_signal_stop(even_signal *w)
{
    sigset_t mask;
    if (!w->loop)
        return;
    block(&mask);
    lock();
    even_signal **at = &signals.first[w->number];
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (!signals.first[w->number])
        give_back(w->number);
    unlock();
    unblock(&mask);
    if (__atomic_load_n(&w->sent, __ATOMIC_ACQUIRE)) {      /* it is in the loop's inbox, or has been taken in */
        even__door_take(w->loop);
        even_handle_cancel(&w->arrival);
    }
    even_handle_cancel(&w->handle);
    w->loop = NULL;
}
