/* The worker pool: see pool.h.
 *
 * One lock guards all of it. A job's state says who has the job, and is changed under the lock alone: WAITING, the
 * queue of its tenant; RUNNING, a worker; TOLD, the inbox or the queue of its loop; OVER, its owner.
 *
 * A worker that has finished a job tells the loop with the lock held, and only if the job was not abandoned. Whoever
 * abandons it, or gets it back, takes the lock as well, and may then free the job and close the loop: the worker is
 * done with both.
 */
#include "pool.h"
#include "../base/sys.h"
#include <signal.h>
#include <time.h>

enum { OVER, WAITING, RUNNING, TOLD };

#define MS INT64_C(1000000)
static const int64_t idle_time = 10000 * MS;
/* An abandoned job keeps its place for a moment. Jobs are often given up in a row, and the first ones free their places
 * while the last ones still wait: those must not begin just before they are given up themselves, for they would hang,
 * too. */
static const int64_t leaving_time = 50 * MS;

/* On the stack of its thread. */
struct worker {
    pthread_t thread;
    pthread_cond_t wake;        /* by CLOCK_MONOTONIC */
    bool is_called;             /* ends its sleep: it looks for a job, */
    bool is_to_end;             /* or ends and is joined */
    struct worker *next;        /* in pool.idle */
};

/* If jobs wait until one that runs loses its place, an idle worker sleeps only until then: the *watcher*. */
static struct {
    pthread_mutex_t lock;
    struct worker *idle;        /* a stack: those that are not needed stay at its bottom, and end */
    struct worker *watcher;     /* one of them, */
    int64_t watched;            /* and until when it sleeps */
    unsigned workers;           /* all of them */
    unsigned coming;            /* those that were started or called, and have not looked for a job yet */
    struct even__tenant *tenants, **last_tenant;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .last_tenant = &pool.tenants };

/* A child has none of the workers. The jobs are the parent's; those that waited keep their links,
 * which nobody follows. */
static void forget_workers(void)
{
    pool.idle = pool.watcher = NULL;
    pool.workers = pool.coming = 0;
    for (struct even__tenant *t = pool.tenants; t; t = t->next) {
        even__queue_init(&t->waiting);
        even__queue_init(&t->placed);
        even__queue_init(&t->leaving);
        t->waits = t->places = t->hangs = 0;
    }
}

EVEN__AT_FORK(.lock = &pool.lock, .in_child = forget_workers);

/* ---- tenants and their places; all with the lock held ---- */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (1000 * MS) + t.tv_nsec;
}

static struct even__job *job_of(even_handle *h)
{
    return even__container_of(h, struct even__job, handle);
}

static void enter_tenant(struct even__tenant *t)
{
    *pool.last_tenant = t;
    pool.last_tenant = &t->next;
}

/* How many of its waiting jobs may begin. */
static unsigned tenant_due(const struct even__tenant *t)
{
    unsigned share = t->share - t->places, most = t->most - t->places - t->hangs;
    unsigned room = share < most ? share : most;
    return t->waits < room ? t->waits : room;
}

static unsigned all_due(void)
{
    unsigned due = 0;
    for (const struct even__tenant *t = pool.tenants; t; t = t->next)
        due += tenant_due(t);
    return due;
}

static void leave_queue(struct even__job *job)
{
    even__queue_remove(&job->handle);
    job->tenant->waits--;
}

static void enter_place(struct even__job *job, even_handle *list, int64_t time)
{
    job->place_until = time ? now() + time : INT64_MAX;
    job->has_place = true;
    job->tenant->places++;
    even__queue_append(list, &job->handle);
}

static void leave_place(struct even__job *job)
{
    even__queue_remove(&job->handle);
    job->has_place = false;
    job->tenant->places--;
}

/* When the first job of the list loses its place. */
static int64_t first_until(even_handle *list)
{
    return even__queue_is_empty(list) ? INT64_MAX : job_of(list->next)->place_until;
}

static void drop_places(even_handle *list, int64_t at)
{
    while (first_until(list) <= at) {       /* bounded by the tenant's share */
        struct even__job *job = job_of(list->next);
        leave_place(job);
        job->tenant->hangs++;
    }
}

/* Who waits gets the places of those that hang, when it is time. */
static void drop_all_places(void)
{
    for (struct even__tenant *t = pool.tenants; t; t = t->next)
        if (t->waits) {
            const int64_t at = now();
            drop_places(&t->placed, at);
            drop_places(&t->leaving, at);
        }
}

/* When that changes anything; INT64_MAX: nobody has to watch. */
static int64_t next_place(void)
{
    int64_t next = INT64_MAX;
    for (struct even__tenant *t = pool.tenants; t; t = t->next) {
        if (t->waits <= tenant_due(t) || t->places + t->hangs >= t->most)
            continue;
        const int64_t placed = first_until(&t->placed), leaving = first_until(&t->leaving);
        const int64_t first = placed < leaving ? placed : leaving;
        next = first < next ? first : next;
    }
    return next;
}

/* The next job that may begin, or NULL. Its tenant goes to the end of the line, for the time when workers are short. */
static struct even__job *take_job(void)
{
    for (struct even__tenant **at = &pool.tenants, *t; (t = *at); at = &t->next) {
        if (!tenant_due(t))
            continue;
        struct even__job *job = job_of(t->waiting.next);
        leave_queue(job);
        job->state = RUNNING;
        enter_place(job, &t->placed, t->patience);
        if (t->next) {
            *at = t->next;
            t->next = NULL;
            enter_tenant(t);
        }
        return job;
    }
    return NULL;
}

/* ---- calling workers; with the lock held ---- */

static void *worker_main(void *unused);

static int start_worker(void)
{
    pthread_t thread;
    sigset_t all, before;
    int rc = (int)even__fault_syscall("pthread_create()");
    if (rc < 0)
        return rc;
    sigfillset(&all);       /* signals are for the threads of loops */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = -pthread_create(&thread, NULL, worker_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        pool.workers++;
        pool.coming++;
    }
    return rc;
}

static void leave_idle(struct worker *w)
{
    struct worker **at = &pool.idle;
    while (*at != w)        /* bounded by the tenants' quotas */
        at = &(*at)->next;
    *at = w->next;
    if (pool.watcher == w)
        pool.watcher = NULL;
}

static struct worker *call_idle(void)
{
    struct worker *w = pool.idle;
    if (w) {
        leave_idle(w);
        pool.coming++;
        w->is_called = true;
        pthread_cond_signal(&w->wake);
    }
    return w;
}

/* One for each job that may begin, and a watcher if there is something to watch. 0, or why there are fewer. After each
 * change of what waits and what has a place. */
static int call_workers(void)
{
    int rc = 0;
    drop_all_places();
    if (pool.watcher && next_place() < pool.watched)
        pthread_cond_signal(&pool.watcher->wake);
    while (rc == 0 && all_due() + (!pool.watcher && next_place() != INT64_MAX) > pool.coming)
        if (!call_idle())           /* bounded: each adds one that is coming */
            rc = start_worker();
    return rc;
}

/* ---- in a worker; with the lock held ---- */

/* Until it is called, or a place is free that it has watched; false: nothing came for some seconds. */
static bool sleep_idle(struct worker *self)
{
    const int64_t begin = now();
    int64_t at = begin;
    self->is_called = false;
    self->next = pool.idle;
    pool.idle = self;
    while (!self->is_called) {
        int64_t place = next_place(), end = begin + idle_time;
        if (pool.watcher == self)
            pool.watcher = NULL;
        if (place < INT64_MAX && (!pool.watcher || place < pool.watched)) {
            pool.watcher = self;
            pool.watched = end = place;
        }
        if (at >= end) {
            leave_idle(self);
            return place <= at;
        }
        struct timespec t = { end / (1000 * MS), end % (1000 * MS) };
        at = pthread_cond_timedwait(&self->wake, &pool.lock, &t) == ETIMEDOUT ? end : now();
    }
    pool.coming--;
    return true;
}

/* The next job; NULL: the worker ends. */
static struct even__job *next_job(struct worker *self)
{
    for (;;) {      /* bounded: it sleeps in between */
        drop_all_places();
        struct even__job *job = take_job();
        if (job)
            (void)call_workers();       /* for what else there is to do, or to watch */
        if (job || !sleep_idle(self) || self->is_to_end)
            return job;
    }
}

/* The lock is let go of while drop() runs. */
static void job_has_run(struct even__job *job)
{
    struct even__tenant *tenant = job->tenant;
    if (job->has_place) {
        leave_place(job);
        tenant->hangs++;
    }
    if (job->is_abandoned) {
        pthread_mutex_unlock(&pool.lock);
        job->drop(job);
        pthread_mutex_lock(&pool.lock);
        tenant->hangs--;
        return;
    }
    tenant->hangs--;
    job->state = TOLD;
    (void)even_door_call_soon(job->door, &job->handle);     /* a loop that was closed wants no answer */
}

static void *worker_main(void *unused)
{
    struct worker self = { .thread = pthread_self() };
    const unsigned forks = even__forks;
    pthread_condattr_t attributes;
    struct even__job *job;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&self.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_lock(&pool.lock);
    pool.coming--;
    while ((job = next_job(&self))) {
        pthread_mutex_unlock(&pool.lock);
        job->run(job);
        if (even__unlikely(forks != even__forks))
            return unused;      /* run() forked and returned in the child, too, where this is nobody's worker */
        pthread_mutex_lock(&pool.lock);
        job_has_run(job);
    }
    pool.workers--;
    if (!self.is_to_end)
        pthread_detach(self.thread);
    pthread_mutex_unlock(&pool.lock);
    pthread_cond_destroy(&self.wake);
    return unused;
}

/* ---- in the loop's thread ---- */

static void come_back(even_handle *h)
{
    struct even__job *job = job_of(h);
    pthread_mutex_lock(&pool.lock);     /* the worker may still be inside the call that brought this here */
    pthread_mutex_unlock(&pool.lock);
    even_door_unref(job->door);
    job->state = OVER;
    job->done(job);
}

static void run_here(even_handle *h)
{
    struct even__job *job = job_of(h);
    job->state = RUNNING;
    job->run(job);
    job->state = OVER;
    if (job->is_abandoned)
        job->drop(job);
    else
        job->done(job);
}

int even__job_start(struct even__job *job, struct even__tenant *tenant, even_loop *loop)
{
    const bool here = even__loop_has(loop, EVEN_LOOP_VIRTUAL_TIME);
    job->handle = (even_handle)EVEN_HANDLE(here ? run_here : come_back);
    job->loop = loop;
    job->door = here ? NULL : even_loop_door(loop);
    job->tenant = here ? NULL : tenant;
    job->forks = even__forks;
    job->has_place = job->is_abandoned = false;
    job->state = WAITING;
    if (here) {
        even__call_soon(loop, &job->handle);
        return 0;
    }
    pthread_mutex_lock(&pool.lock);
    if (!tenant->is_known) {
        tenant->is_known = true;
        enter_tenant(tenant);
    }
    even__queue_append(&tenant->waiting, &job->handle);
    tenant->waits++;
    int rc = call_workers();
    if (rc < 0 && pool.workers > 0)
        rc = 0;                 /* one of them will come to it */
    if (rc < 0) {
        leave_queue(job);
        job->state = OVER;
    }
    pthread_mutex_unlock(&pool.lock);
    if (rc < 0)
        even_door_unref(job->door);
    return rc;
}

/* Locked. What the job was until now; after WAITING it is out of its queue. */
static int take_back(struct even__job *job, bool abandon)
{
    const int state = job->state;
    const bool is_parents = job->tenant && job->forks != even__forks;
    even__check(state != OVER);
    if (state == TOLD)          /* what the loop was told before a fork stands in the child's copy of it too */
        return TOLD;
    if (is_parents)
        return WAITING;
    if (state == WAITING) {
        if (job->tenant)
            leave_queue(job);
        else
            even_handle_cancel(&job->handle);
    } else if (abandon) {
        job->is_abandoned = true;
        if (job->tenant && job->has_place) {
            leave_place(job);
            enter_place(job, &job->tenant->leaving, leaving_time);
            (void)call_workers();       /* if there can be no more: the job's own will come to those that wait */
        }
    }
    return state;
}

bool even__job_withdraw(struct even__job *job)
{
    pthread_mutex_lock(&pool.lock);
    const int state = take_back(job, false);
    if (state == WAITING)
        job->state = OVER;
    pthread_mutex_unlock(&pool.lock);
    if (state == WAITING)
        even_door_unref(job->door);
    return state == WAITING;
}

void even__job_abandon(struct even__job *job)
{
    even_loop *loop = job->loop;
    even_door *door = job->door;
    pthread_mutex_lock(&pool.lock);
    const int state = take_back(job, true);
    if (state != RUNNING)
        job->state = OVER;
    pthread_mutex_unlock(&pool.lock);
    if (state == TOLD) {
        even__door_take(loop);
        even_handle_cancel(&job->handle);
    }
    even_door_unref(door);
    if (state != RUNNING)       /* else it is the worker's now */
        job->drop(job);
}

unsigned even__pool_busy(void)
{
    unsigned busy = 0;
    pthread_mutex_lock(&pool.lock);
    for (const struct even__tenant *t = pool.tenants; t; t = t->next)
        busy += t->places + t->hangs;
    pthread_mutex_unlock(&pool.lock);
    return busy;
}

/* ---- at the end of the process ---- */

/* Idle workers end, so that nothing of theirs is left to leak; those that are coming are idle or busy soon. The busy
 * ones may hang for long: the process ends over them. A signal handler that calls exit() may have interrupted whoever
 * has the lock: then nobody is waited for. */
__attribute__((destructor)) static void end_idle_workers(void)
{
    struct worker *w;
    if (pthread_mutex_trylock(&pool.lock) != 0)
        return;
    for (int i = 0; i < 100 && pool.coming; i++) {
        pthread_mutex_unlock(&pool.lock);
        nanosleep(&(struct timespec){ 0, MS }, NULL);
        pthread_mutex_lock(&pool.lock);
    }
    while (pool.idle) {
        pool.idle->is_to_end = true;
        const pthread_t thread = (w = call_idle())->thread;
        pthread_mutex_unlock(&pool.lock);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
}
