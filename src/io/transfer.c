/* What reads and writes share. */
#include "stream.h"
#include "../base/sys.h"

void *even__transfer_new(const even_kind *kind, even_stream *s, void (*complete)(even_op *), const void *site)
{
    struct even__transfer *t = (struct even__transfer *)(void *)even__operation_new(kind, site);
    if (even__unlikely(!t))
        return NULL;
    t->aw.result = 0;
    t->op.handle.next = t->op.handle.prev = NULL;
    t->op.handle.run = NULL;
    t->op.complete = complete;
    t->op.loop = s->loop;
    t->op.state = 0;
    t->stream = s;
    return t;
}

void even__transfer_refuse(struct even__transfer *t)
{
    const even_stream *s = t->stream;
    const even_task *task = even_current_task();
    const char *who = task ? even_name_any(&task->base) : "an operation", *what = t->aw.base.kind->name;
    bool task_of_its_own = even__is_task(&t->aw.base);
    const void *site = task_of_its_own ? NULL : even__made_at(&t->aw.base);
    int rc = s->fd < 0 ? -EBADF : s->closing ? -ECANCELED : -EBUSY;
    char where[EVEN__SITE_MAX] = "";

    if (rc != -ECANCELED && even__report_wanted(site)) {
        if (site)
            even__site_name(site, where, sizeof where);
        if (rc == -EBADF)
            even__report("%s in %s: %s%s%s", what, who, even__stream_why_not(s), site ? "; at " : "", where);
        else
            even__report("%s in %s: another task is doing the same on this stream (descriptor %d)%s%s", what, who, s->fd,
                         site ? "; at " : "", where);
    }
    even__complete(&t->aw.base, rc);
}

/* Not by what was the operation's own, so that the next one may have better luck. */
static bool is_broken_by(int result)
{
    switch (result) {
    case 0: case -ECANCELED: case -ENOMEM: case -ENOBUFS: case -EFAULT: case -EAGAIN: case -EVEN_EFORK:
    case -EPIPE:        /* writing is over, and reading perhaps not; this the kernel does tell again */
        return false;
    default:
        return true;
    }
}

ssize_t even__transfer_failure(struct even__transfer *t)
{
    even_stream *s = t->stream;
    const bool reads = t->op.kind == EVEN_OP_RECV;
    const int result = t->op.result;
    if (s->failure < 0 && (reads ? result == 0 && !s->ended : result == -EPIPE))
        return s->failure;
    if (reads && result == 0)
        s->ended = true;
    if (s->failure == 0 && is_broken_by(result))
        s->failure = result;
    return result;
}

bool even__transfer_cancel(even_awaitable *x)
{
    even_op_cancel(&((struct even__transfer *)(void *)x)->op);
    return true;
}
