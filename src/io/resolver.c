/* getaddrinfo(3) in the worker pool, so that a slow name server holds up nothing else.
 *
 * A query owns all that it works with, so that whoever asked may go away while it is under way: it is abandoned then,
 * and the answer is dropped.
 */
#include "resolve.h"
#include "../base/sys.h"
#include "../thread/pool.h"
#include <evenloop/io.h>
#include <string.h>

/* With a dead name server a call takes 5 to 30 s, whether or not anybody still waits for it. Those that take longer
 * than a second are hanging, and up to 32 may hang before a healthy name has to wait for one of them to return. */
static struct even__tenant names = EVEN__TENANT(names, 4, 32, 1000000000);

struct even__query {
    struct even__job job;
    struct even__resolve *asker;
    char *host, *service;
    struct addrinfo hints;
    int status;
    struct addrinfo *list;
};

static void query_free(struct even__query *q)
{
    even_freeaddrinfo(q->list);
    even__free(q->host);
    even__free(q->service);
    even__free(q);
}

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

static void query_run(struct even__job *job)
{
    struct even__query *q = even__container_of(job, struct even__query, job);
    struct addrinfo *list = NULL;
    errno = 0;
    q->status = translate(getaddrinfo(q->host, q->service, &q->hints, &list), errno);
    if (q->status == 0) {
        q->status = even__addrinfo_copy(list, &q->list);
        freeaddrinfo(list);
    }
}

static void query_done(struct even__job *job)
{
    struct even__query *q = even__container_of(job, struct even__query, job);
    struct even__resolve *r = q->asker;
    r->query = NULL;
    r->status = q->status;
    r->list = q->list;
    q->list = NULL;
    query_free(q);
    r->handle.run(&r->handle);
}

static void query_drop(struct even__job *job)
{
    query_free(even__container_of(job, struct even__query, job));
}

int even__resolver_ask(struct even__resolve *r, const char *host, const char *service, const struct addrinfo *hints)
{
    int rc = -ENOMEM;
    struct even__query *q = even__calloc(sizeof *q);
    if (!q)
        return rc;
    if ((host && !(q->host = even__strdup(host))) || (service && !(q->service = even__strdup(service)))) {
        query_free(q);
        return rc;
    }
    q->job.run = query_run;
    q->job.done = query_done;
    q->job.drop = query_drop;
    q->asker = r;
    q->hints = *hints;
    rc = even__job_start(&q->job, &names, r->loop);
    if (rc < 0)
        query_free(q);
    else
        r->query = q;
    return rc;
}

void even__resolve_cancel(struct even__resolve *r)
{
    struct even__query *q = r->query;
    r->query = NULL;
    if (q)
        even__job_abandon(&q->job);
}
