/* Waiting for a server: for its end, or for ever. */
#include "server.h"
#include "../base/sys.h"

struct wait {
    even_int_aw aw;
    even_server *server;
    even_handle link;           /* among the waiters of the server, or in its list of those who serve for ever */
    bool canceled;
};

static struct wait *wait_new(const even_kind *kind, even_server *server, const void *site)
{
    struct wait *w = (struct wait *)(void *)even__zeroed_new(kind, site);
    if (even__unlikely(!w))
        return NULL;
    w->server = server;
    return w;
}

static void end(struct wait *w, int status)
{
    even__complete(&w->aw.base, status);
    even_unref(&w->server->aw.base);
    even_unref(&w->aw.base);
}

/* Then the wait ends with that. */
static bool is_gone(struct wait *w, const char *who)
{
    even_awaitable *x = &w->aw.base;
    if (!even__server_is_gone(w->server, who, even__is_task(x) ? NULL : even__made_at(x)))
        return false;
    even__complete(x, -EVEN_ESPENT);
    return true;
}

static void hold(struct wait *w)
{
    even_ref_any(&w->server->aw.base);
    even_ref_any(&w->aw.base);
}

/* ---- even_server_wait_closed ---- */

static void server_over(even_handle *h)
{
    end(even__container_of(h, struct wait, link), 0);
}

static void closed_start(even_awaitable *x)
{
    struct wait *w = (struct wait *)(void *)x;
    if (is_gone(w, "even_server_wait_closed"))
        return;
    hold(w);
    w->link.run = server_over;
    int rc = even__check_shared(&w->server->aw.base, even__thread.loop, even__is_task(x) ? NULL : even__made_at(x));
    if (rc < 0 || w->server->aw.base.state == EVEN_DONE)
        end(w, rc);
    else
        even__add_waiter(&w->server->aw.base, &w->link, w->server->loop);
}

static bool closed_cancel(even_awaitable *x)
{
    struct wait *w = (struct wait *)(void *)x;
    even__remove_waiter(&w->server->aw.base, &w->link);
    end(w, -ECANCELED);
    return true;
}

static const even_kind closed_kind = {
    .name = "server_wait_closed",
    .size = sizeof(struct wait),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = closed_start,
    .cancel = closed_cancel,
};

even_int_aw *even_server_wait_closed(even_server *server)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&closed_kind, -ENOMEM), -ENOMEM };
    struct wait *w = wait_new(&closed_kind, server, __builtin_return_address(0));
    return w ? &w->aw : &failed;
}

/* ---- even_serve_forever ---- */

void even__serving_end(even_server *server)
{
    while (!even__queue_is_empty(&server->serving)) {   /* bounded: nobody joins a closed server */
        struct wait *w = even__container_of(server->serving.next, struct wait, link);
        even__queue_remove(&w->link);
        end(w, w->canceled ? -ECANCELED : 0);
    }
}

static void forever_start(even_awaitable *x)
{
    struct wait *w = (struct wait *)(void *)x;
    if (is_gone(w, "even_serve_forever"))
        return;
    hold(w);
    if (w->server->open == 0)
        end(w, 0);
    else
        even__queue_append(&w->server->serving, &w->link);
}

static bool forever_cancel(even_awaitable *x)
{
    struct wait *w = (struct wait *)(void *)x;
    w->canceled = true;
    even__server_close(w->server);  /* ends it, now or when the accepts are over */
    return true;
}

static const even_kind forever_kind = {
    .name = "serve_forever",
    .size = sizeof(struct wait),
    .result_size = sizeof(int),
    .result_class = EVEN_RESULT_INT,
    .start = forever_start,
    .cancel = forever_cancel,
};

even_int_aw *even_serve_forever(even_server *server)
{
    static even_int_aw failed = { EVEN_AWAITABLE_FAILED(&forever_kind, -ENOMEM), -ENOMEM };
    struct wait *w = wait_new(&forever_kind, server, __builtin_return_address(0));
    return w ? &w->aw : &failed;
}
