/* getaddrinfo(3) on threads of its own, so that a slow name server holds up nothing else.
 *
 * A job owns all that it works with. Who asks may go away meanwhile, and its loop with it: the job then finds nobody to
 * tell, and frees itself. What decides is job->asker, under the lock; while it is set, its loop is alive.
 */
#include "resolve.h"
#include "../base/fork.h"
#include "../base/sys.h"
#include <evenloop/io.h>
#include <signal.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 4, IDLE_SECONDS = 10 };

struct even__job {
    even_handle handle;             /* brings it back */
    struct even__resolve *asker;    /* NULL: gone */
    enum { WAITING, RUNNING, SENT, LOST } state;    /* LOST: in a child of the process that asked */
    struct even__job *next;
    char *host, *service;
    struct addrinfo hints;
    int status;
    struct addrinfo *list;
    unsigned forks;                 /* of the process that asked: a child of it has neither queue nor threads */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t more;            /* by CLOCK_MONOTONIC */
    struct even__job *first, **end;
    unsigned threads, idle;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER, .end = &pool.first };
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool.more, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* A child has none of the threads; and what they waited on, it cannot use as it is. */
static void forget_threads(void)
{
    pool.first = NULL;
    pool.end = &pool.first;
    pool.threads = pool.idle = 0;
    init();
}

EVEN__AT_FORK(.lock = &pool.lock, .in_child = forget_threads);

static void job_free(struct even__job *job)
{
    even_freeaddrinfo(job->list);
    even__free(job->host);
    even__free(job->service);
    even__free(job);
}

/* ---- in a thread ---- */

static int translate(int rc, int error)
{
    switch (rc) {
    case 0: return 0;
    case EAI_SYSTEM: return error ? -error : -EIO;
    case EAI_MEMORY: return -ENOMEM;
    case EAI_ADDRFAMILY: return -EVEN_EAI_ADDRFAMILY;
    case EAI_AGAIN: return -EVEN_EAI_AGAIN;
    case EAI_BADFLAGS: return -EVEN_EAI_BADFLAGS;
    case EAI_FAMILY: return -EVEN_EAI_FAMILY;
    case EAI_NODATA: return -EVEN_EAI_NODATA;
    case EAI_NONAME: return -EVEN_EAI_NONAME;
    case EAI_SERVICE: return -EVEN_EAI_SERVICE;
    case EAI_SOCKTYPE: return -EVEN_EAI_SOCKTYPE;
    case EAI_OVERFLOW: return -EOVERFLOW;
    default: return -EVEN_EAI_FAIL;
    }
}

static void work(struct even__job *job)
{
    struct addrinfo *list = NULL;
    errno = 0;
    job->status = translate(getaddrinfo(job->host, job->service, &job->hints, &list), errno);
    if (job->status == 0) {
        job->status = even__addrinfo_copy(list, &job->list);
        freeaddrinfo(list);
    }
}

/* The next job, or NULL after some idle seconds. Locked. */
static struct even__job *next_job(void)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += IDLE_SECONDS;
    while (!pool.first) {
        pool.idle++;
        int rc = pthread_cond_timedwait(&pool.more, &pool.lock, &end);
        pool.idle--;
        if (rc != 0 && !pool.first)
            return NULL;
    }
    struct even__job *job = pool.first;
    pool.first = job->next;
    if (!pool.first)
        pool.end = &pool.first;
    job->state = RUNNING;
    return job;
}

static void *thread_main(void *unused)
{
    struct even__job *job;
    pthread_mutex_lock(&pool.lock);
    while ((job = next_job())) {
        pthread_mutex_unlock(&pool.lock);
        work(job);
        pthread_mutex_lock(&pool.lock);
        bool wanted = job->asker != NULL;
        if (wanted) {
            job->state = SENT;
            even_call_soon_threadsafe(job->asker->loop, &job->handle);
        }
        pthread_mutex_unlock(&pool.lock);
        if (!wanted)
            job_free(job);
        pthread_mutex_lock(&pool.lock);
    }
    pool.threads--;
    pthread_mutex_unlock(&pool.lock);
    return unused;
}

/* Signals are for the loop's thread. */
static int start_thread(void)
{
    pthread_t thread;
    sigset_t all, before;
    int rc = (int)even__fault_syscall("pthread_create()");
    if (rc < 0)
        return rc;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = -pthread_create(&thread, NULL, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_detach(thread);
    return rc;
}

/* ---- in the loop's thread ---- */

static void answered(even_handle *h)
{
    struct even__job *job = even__container_of(h, struct even__job, handle);
    struct even__resolve *r = job->asker;

    pthread_mutex_lock(&pool.lock);     /* the thread may be on its way out of the call that brought this here */
    pthread_mutex_unlock(&pool.lock);
    r->job = NULL;
    r->status = job->status;
    r->list = job->list;
    job->list = NULL;
    job_free(job);
    r->handle.run(&r->handle);
}

int even__resolver_ask(struct even__resolve *r, const char *host, const char *service, const struct addrinfo *hints)
{
    int rc = 0;
    struct even__job *job = even__calloc(sizeof *job);
    if (!job)
        return -ENOMEM;
    if ((host && !(job->host = even__strdup(host))) || (service && !(job->service = even__strdup(service)))) {
        job_free(job);
        return -ENOMEM;
    }
    job->handle.run = answered;
    job->asker = r;
    job->hints = *hints;
    job->forks = even__forks;

    pthread_once(&once, init);
    pthread_mutex_lock(&pool.lock);
    *pool.end = job;
    pool.end = &job->next;
    unsigned waiting = 0;
    for (const struct even__job *j = pool.first; j; j = j->next)
        waiting++;
    if (waiting > pool.idle && pool.threads < THREADS_MAX) {
        pool.threads++;
        if ((rc = start_thread()) < 0 && --pool.threads > 0)
            rc = 0;     /* one of the others will come to it */
    }
    if (rc == 0) {
        r->job = job;
        pthread_cond_signal(&pool.more);
    } else {
        pool.first = NULL;      /* without a thread it is the only one */
        pool.end = &pool.first;
    }
    pthread_mutex_unlock(&pool.lock);
    if (rc < 0)
        job_free(job);
    return rc;
}

unsigned even__resolver_busy(void)
{
    pthread_once(&once, init);
    pthread_mutex_lock(&pool.lock);
    unsigned busy = pool.threads - pool.idle;
    pthread_mutex_unlock(&pool.lock);
    return busy;
}

void even__resolve_cancel(struct even__resolve *r)
{
    struct even__job *job = r->job;
    if (!job)
        return;
    r->job = NULL;
    pthread_mutex_lock(&pool.lock);
    job->asker = NULL;
    int state = job->forks == even__forks || job->state == SENT ? job->state : LOST;
    if (state == WAITING) {
        struct even__job **at = &pool.first;
        while (*at != job)
            at = &(*at)->next;
        *at = job->next;
        if (!*at)
            pool.end = at;
    }
    pthread_mutex_unlock(&pool.lock);
    if (state == SENT) {        /* it is in the loop's inbox, or has been taken in */
        even__inbox_take(r->loop);
        even_handle_cancel(&job->handle);
    }
    if (state != RUNNING)
        job_free(job);
}
