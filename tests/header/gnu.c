/* The typed macros, short names and long ones, without a warning. */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async_decl(int, shared, (int, a));
async_def(int, shared, (int, a))
{
    return a;
}

typedef struct { int x, y; } point;
async(point, make_point, (int, x), (int, y))
{
    return (point){ x, y };
}

async(void, nothing)
{
    try_await(even_sleep(0));
}

async(const char *, twelve, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h), (int, i), (int, j),
      (int, k), (const char *, l))
{
    if (a + b + c + d + e + f + g + h + i + j + k < 0)
        even_fail(-EINVAL);
    return l;
}

/* Members that have our short names are not touched. */
struct other { int await, into, gather; };

async(int, handle, (even_stream *, s), (int, n))
{
    return n + await(even_close(s));
}

async(int, main_co)
{
    point p;
    const char *text;
    struct other other = { .await = 1, .into = 2, .gather = 3 };
    __auto_type task = create_task(make_point(1, 2), .name = "point");
    __auto_type task2 = create_task(shared(3));
    int rc = await(gather(into(&p, task), into(&text, twelve(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, "l")), nothing()));
    if (rc == 0 && (rc = await(nothing())) == 0)
        rc = await(wait_for(shield(task2), 1.0));
    struct shared_co *many[2] = { shared(1), shared(2) };
    int results[2], statuses[2];
    rc += await(gather_n(2, many, results)) + await(gather_statuses(statuses, even_sleep(1), nothing()));
    return other.await + other.into + other.gather + p.x + rc + even_await(even_sleep(await(even_sleep(0))));
}

/* What these macros are given is evaluated once, with no warning of the places where only its type is looked at; const
 * arguments; a task, or another reference, that nobody keeps. */
EVEN_FUTURE(point_future, point);
async(int, constant, (const int, n), (const char *const, text), (const point, p))
{
    return n + text[0] + p.x;
}
async(int, once, (int, n))
{
    int i = 0, a, b, statuses[2];
    int *at = &a;
    struct point_future *f = even_future_new(struct point_future);
    even_set_result(f, ((point){ i++, n }));
    create_task(shared(i++));
    even_ref(f);
    int rc = await(wait_for(shared(i++), 1));
    rc += await(wait_for(shield(create_task(shared(i++), .name = "s")), 1));
    rc += await(gather(into(at++, shared(1)), into(&b, wait_for(shared(i++), 1)), gather(shared(2), nothing())));
    rc += await(gather_statuses(statuses, nothing(), wait_for(gather(into(&a, shield(shared(i++)))), 1)));
    rc += await(gather_n(2, ((struct shared_co *[]){ shared(i++), shared(1) }), ((int[2]){ 0 })));
    rc += await(constant(i++, "a", (point){ 1, 2 }));
    even_server *server;
    rc += await(even_start_server(&server, handle(EVEN_STREAM, i++), NULL, 0, .backlog = 5));
    return rc + await(f).x;
}

int start(void);
int start(void)
{
    return even_run(main_co(), .backend = "epoll") + (int)even_run(main_co()) + even_run(once(1));
}
