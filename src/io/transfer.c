/* What writes share: an operation of their own. */
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

ssize_t even__transfer_failure(struct even__transfer *t)
{
    even_stream *s = t->stream;
    const int result = t->op.result;
    if (s->failure < 0 && result == -EPIPE)
        return s->failure;
    if (result < 0)
        even__stream_broken(s, result);
    return result;
}

bool even__transfer_cancel(even_awaitable *x)
{
    even_op_cancel(&((struct even__transfer *)(void *)x)->op);
    return true;
}
