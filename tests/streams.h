/* What the tests of streams share: both ends of a connection in one loop. */
#ifndef EVEN_TEST_STREAMS_H
#define EVEN_TEST_STREAMS_H

#include "test.h"
#include "backend/backend.h"
#include <evenloop.h>
#include <string.h>

struct ends {
    even_server *server;
    even_stream *client, *peer;     /* peer: the server's end, which its handler holds */
    even_future *accepted, *let_go;
    bool over;                      /* the handler is, and `peer` gone: something failed */
};

async(int, hold, (struct ends *, e), (even_stream *, s))
{
    if (!e)
        return 0;
    e->peer = s;
    even_set_result(e->accepted, 0);
    int rc = await(e->let_go);
    e->over = true;
    return rc;
}

async(int, open_ends, (struct ends *, e), (const char *, host))
{
    e->over = false;
    e->accepted = even_future_new(even_future);
    e->let_go = even_future_new(even_future);
    try_await(even_start_server(&e->server, hold(e, EVEN_STREAM), host, 0));
    try_await(even_open_connection(&e->client, host, even_server_port(e->server)));
    try_await(wait_for(e->accepted, 2));        /* for the runs in which something fails */
    await(even_sleep(0));
    assert_false(e->over);
    return 0;
}

async(int, close_ends, (struct ends *, e))
{
    assert_int_equal(await(even_close(e->client)), 0);
    even_set_result(e->let_go, 0);
    even_server_close(e->server);
    assert_int_equal(await(even_server_wait_closed(e->server)), 0);
    even_server_free(e->server);
    return 0;
}

#define STREAM_TEST(test_name, host, ...)                                                                              \
    static async_decl(int, test_name##_body, (struct ends *, e));                                                      \
    async(int, test_name##_main)                                                                                       \
    {                                                                                                                  \
        static struct ends ends;        /* a handler may still run when the body has given up */                       \
        try_await(open_ends(&ends, host));                                                                             \
        try_await(test_name##_body(&ends));                                                                            \
        try_await(close_ends(&ends));                                                                                  \
        return 0;                                                                                                      \
    }                                                                                                                  \
    TEST(test_name, __VA_ARGS__) { assert_int_equal(even_run(test_name##_main()), 0); }                                \
    async_def(int, test_name##_body, (struct ends *, e))

#define V4 "127.0.0.1"

static inline void send_all(even_stream *s, const char *text)
{
    size_t n = strlen(text);
    assert_int_equal(await(even_write_all(s, text, n)), n);
}

static inline void expect(even_stream *s, const char *text)
{
    char got[256];
    size_t n = strlen(text);
    memset(got, 0, sizeof got);
    assert_int_equal(await(even_read_exactly(s, got, n)), n);
    assert_memory_equal(got, text, n);
}

/* A task whose work we are going to wait for: that it could begin is made sure of first. */
#define begun(x)                                                                                                       \
    __extension__({                                                                                                    \
        __auto_type begun_task = create_task(x);                                                                       \
        assert_int_equal(await(even_sleep(0)), 0);                                                                     \
        assert_true(!even_done(begun_task) || even_status_of(&begun_task->base) == 0);                                 \
        begun_task;                                                                                                    \
    })

#endif
