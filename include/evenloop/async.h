/* async, await and the like: typed macros over await.h. GNU C (gcc >= 11, clang >= 14).
 *
 *     async(const char *, say_after, (double, delay), (const char *, what))
 *     {
 *         try_await(even_sleep(delay));
 *         puts(what);
 *         return what;
 *     }
 *
 * defines a coroutine function. Calling it, say_after(2, "2s"), runs nothing: it gives a coroutine object, a
 * `struct say_after_co *` (also written even_co(say_after) *), whose `result` has the type named first. EVEN_SHORT_NAMES,
 * defined before the header, gives the bare words; without it each has its EVEN_ or even_ form.
 *
 * Arguments: up to 16, each `(type, name)`. A pointer to a function needs a typedef; an array cannot be one.
 * Results: any type that can be assigned. One that is int or ssize_t (long) fails by returning -4095..-1, as this
 * library's functions do (even_value() returns such a number as a value); any other by even_fail(). `void`: the result is
 * the status, an int.
 * One await per full expression: C does not say in which order `f(await(a), await(b))` awaits.
 * Compound literals among the arguments of a coroutine live until the end of the enclosing block, in wait_for(), gather() and
 * so on, too; but what stands inside of await(...) itself lives until that is over: a result must not point into it.
 */
#ifndef EVENLOOP_ASYNC_H
#define EVENLOOP_ASYNC_H

#include <evenloop/await.h>
#include <errno.h>

#pragma GCC system_header   /* errors are then reported at the user's line */

/* ---- Lists of arguments ---- */

#define EVEN__CAT_(a, b) a##b
#define EVEN__CAT(a, b) EVEN__CAT_(a, b)
#define EVEN__SECOND_(a, b, ...) b
#define EVEN__SECOND(...) EVEN__SECOND_(__VA_ARGS__)
/* How many there are; a few beyond the limit are named by a word that says it. */
#define EVEN__NTH(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, N, ...) N
#define EVEN__COUNT(...)                                                                                               \
    EVEN__NTH(__VA_ARGS__, _takes_at_most_16, _takes_at_most_16, _takes_at_most_16, _takes_at_most_16,                 \
              16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)

#define EVEN__M1(f, a) f a
#define EVEN__M2(f, a, ...) f a EVEN__M1(f, __VA_ARGS__)
#define EVEN__M3(f, a, ...) f a EVEN__M2(f, __VA_ARGS__)
#define EVEN__M4(f, a, ...) f a EVEN__M3(f, __VA_ARGS__)
#define EVEN__M5(f, a, ...) f a EVEN__M4(f, __VA_ARGS__)
#define EVEN__M6(f, a, ...) f a EVEN__M5(f, __VA_ARGS__)
#define EVEN__M7(f, a, ...) f a EVEN__M6(f, __VA_ARGS__)
#define EVEN__M8(f, a, ...) f a EVEN__M7(f, __VA_ARGS__)
#define EVEN__M9(f, a, ...) f a EVEN__M8(f, __VA_ARGS__)
#define EVEN__M10(f, a, ...) f a EVEN__M9(f, __VA_ARGS__)
#define EVEN__M11(f, a, ...) f a EVEN__M10(f, __VA_ARGS__)
#define EVEN__M12(f, a, ...) f a EVEN__M11(f, __VA_ARGS__)
#define EVEN__M13(f, a, ...) f a EVEN__M12(f, __VA_ARGS__)
#define EVEN__M14(f, a, ...) f a EVEN__M13(f, __VA_ARGS__)
#define EVEN__M15(f, a, ...) f a EVEN__M14(f, __VA_ARGS__)
#define EVEN__M16(f, a, ...) f a EVEN__M15(f, __VA_ARGS__)
#define EVEN__M_takes_at_most_16(f, ...) , even_async_takes_at_most_16_arguments even__too_many
/* f applied to each parenthesised pair; nothing for none. */
#define EVEN__EACH(f, ...) __VA_OPT__(EVEN__CAT(EVEN__M, EVEN__COUNT(__VA_ARGS__))(f, __VA_ARGS__))

#define EVEN__FIELD(type, name) type name;
#define EVEN__PARAMETER(type, name) , type name
#define EVEN__VALUE_(type, name) , even__all->arg.name
#define EVEN__INITIALIZER(type, name) .name = name,
#define EVEN__DROP_COMMA_(ignored, ...) __VA_ARGS__
#define EVEN__DROP_COMMA(...) EVEN__DROP_COMMA_(__VA_ARGS__)
#define EVEN__PARAMETERS_(...) EVEN__DROP_COMMA(~ EVEN__EACH(EVEN__PARAMETER, __VA_ARGS__))
#define EVEN__PARAMETERS(...) EVEN__CAT(EVEN__P, EVEN__CAT(EVEN__P, __VA_OPT__(1)))(__VA_ARGS__)
#define EVEN__PEVEN__P(...) void
#define EVEN__PEVEN__P1(...) EVEN__PARAMETERS_(__VA_ARGS__)

/* yes if R is exactly `void`, else no */
#define EVEN__VOID_void(x) ~, 1
#define EVEN__IFV0(yes, no) no
#define EVEN__IFV1(yes, no) yes
#define EVEN__IF_VOID(R, yes, no) EVEN__CAT(EVEN__IFV, EVEN__SECOND(EVEN__VOID_##R(~), 0, ~))(yes, no)

/* ---- Definitions ----
 *
 * To use a coroutine before its definition, or from another file, declare it: `static async_decl(int, f, (int, x));`, or in a
 * header `async_decl(int, f, (int, x));`. Then define it: `async_def(int, f, (int, x)) { ... }`. */

#define even_co(name) struct name##_co

#define EVEN_ASYNC_DECL(R, F, ...)                                                                                     \
    struct F##_co {                                                                                                    \
        even_awaitable base;                                                                                           \
        EVEN__IF_VOID(R, int, R) result;                                                                               \
    } *F(EVEN__PARAMETERS(__VA_ARGS__)) __attribute__((warn_unused_result))

#define EVEN__CLASS_OF(lvalue)                                                                                         \
    _Generic((lvalue), int: EVEN_RESULT_INT, long: EVEN_RESULT_LONG, default: EVEN_RESULT_OTHER)
#define EVEN__RESULT_CLASS(R, lvalue) EVEN__IF_VOID(R, EVEN_RESULT_VOID, EVEN__CLASS_OF(lvalue))

#define EVEN__LONG_OF(lvalue)                                                                                          \
    _Generic(&(lvalue), int *: *(int *)(void *)&(lvalue), long *: *(long *)(void *)&(lvalue), default: 0)

/* The body's first, hidden parameter points to the result: it lets even_fail() return "a zero of the body's type". Its
 * name is what a compiler says when even_fail() or try_await() stands outside of a body. */
#define EVEN_ASYNC_DEF(R, F, ...)                                                                                      \
    struct F##__arg {                                                                                                  \
        EVEN__EACH(EVEN__FIELD, __VA_ARGS__)                                                                           \
    };                                                                                                                 \
    struct F##__all {                                                                                                  \
        struct F##_co co;                                                                                              \
        struct F##__arg arg;                                                                                           \
    };                                                                                                                 \
    static R F##__body(R *even_fail_and_try_await_belong_into_an_async_body                                            \
                          __attribute__((unused)) EVEN__EACH(EVEN__PARAMETER, __VA_ARGS__));                           \
    static long F##__enter(even_awaitable *even__self)                                                                 \
    {                                                                                                                  \
        struct F##__all *even__all = (struct F##__all *)(void *)even__self;                                            \
        EVEN__IF_VOID(R, , even__all->co.result =)                                                                     \
        F##__body((R *)&even__all->co.result EVEN__EACH(EVEN__VALUE_, __VA_ARGS__));                                   \
        return EVEN__IF_VOID(R, even__all->co.result = even__self->status, EVEN__LONG_OF(even__all->co.result));       \
    }                                                                                                                  \
    static const even_kind F##__kind = {                                                                               \
        .name = #F,                                                                                                    \
        .file = __FILE__,                                                                                              \
        .line = __LINE__,                                                                                              \
        .size = sizeof(struct F##__all),                                                                               \
        .result_size = sizeof(((struct F##_co *)0)->result),                                                           \
        .argument_offset = offsetof(struct F##__all, arg),                                                             \
        .argument_size = sizeof(struct F##__arg),                                                                      \
        .result_class = EVEN__RESULT_CLASS(R, ((struct F##_co *)0)->result),                                           \
        .enter = F##__enter,                                                                                           \
    };                                                                                                                 \
    __attribute__((noinline)) struct F##_co *F(EVEN__PARAMETERS(__VA_ARGS__))                                          \
    {                                                                                                                  \
        static struct F##_co even__failed = { .base = EVEN_AWAITABLE_FAILED(&F##__kind, -ENOMEM) };                    \
        _Static_assert(offsetof(struct F##_co, result) == sizeof(even_awaitable), "over-aligned result");              \
        struct F##__all *even__all =                                                                                   \
            (struct F##__all *)(void *)even__coroutine_new(&F##__kind, __builtin_return_address(0));                   \
        if (__builtin_expect(!even__all, 0))                                                                           \
            return (struct F##_co *)(void *)even__without_memory(&even__failed.base);                                  \
        struct F##__arg even__arg = { EVEN__EACH(EVEN__INITIALIZER, __VA_ARGS__) };     /* members may be const */     \
        __builtin_memcpy((void *)&even__all->arg, &even__arg, sizeof even__arg);                                       \
        return &even__all->co;                                                                                         \
    }                                                                                                                  \
    static R F##__body(R *even_fail_and_try_await_belong_into_an_async_body                                            \
                          __attribute__((unused)) EVEN__EACH(EVEN__PARAMETER, __VA_ARGS__))

#define EVEN_ASYNC(R, F, ...)                                                                                          \
    static EVEN_ASYNC_DECL(R, F, __VA_ARGS__);                                                                         \
    EVEN_ASYNC_DEF(R, F, __VA_ARGS__)

/* ---- Awaiting ---- */

#define EVEN__CHECK(u, who)                                                                                            \
    _Static_assert(__builtin_classify_type(u) == 5, who ": this is not an awaitable");                                 \
    _Static_assert(sizeof *(u) > 1, who ": this is a function, or text; was it called, as in " who "(f(...))?")

#define EVEN__UNIQUE(name) EVEN__CAT(even__##name, __COUNTER__)

/* x as an awaitable in general; and its type, for which x is looked at and not evaluated. With these a macro is a plain
 * expression: in a statement expression, compound literals would end with it, and a result that nobody uses be no mistake. */
#define EVEN__BASE(x) (&(x)->base)
#define EVEN__TYPE_OF(who, x) __typeof__(EVEN__LOOK_AT(who, x, EVEN__UNIQUE(u)))
#define EVEN__CHECKED_BASE(who, x) EVEN__BASE((EVEN__TYPE_OF(who, x))(void *)EVEN__BASE(x))
#define EVEN__TYPE_OF_SMALL(who, x) __typeof__(EVEN__LOOK_AT_SMALL(who, x, EVEN__UNIQUE(u)))
#define EVEN__LOOK_AT_SMALL(who, x, u)                                                                                 \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, who);                                                                                           \
        _Static_assert(sizeof(u->result) <= 4096, who ": the result is too large; pass a pointer");                    \
        u;                                                                                                             \
    })
#define EVEN__LOOK_AT(who, x, u)                                                                                       \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, who);                                                                                           \
        u;                                                                                                             \
    })

/* A coroutine that was awaited inline is given back already, its result still to be read. */
#define EVEN__UNREF(u) (__builtin_expect((u)->base.state == EVEN_SPENT, 1) ? (void)0 : even_unref(&(u)->base))

/* The value: x's result, zero if it failed; even_status() tells. May suspend. Takes x. */
#define even_await(x) EVEN__AWAIT(x, EVEN__UNIQUE(u))
#define EVEN__AWAIT(x, u)                                                                                              \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, "await");                                                                                       \
        (void)even_await_any(&u->base);                                                                                \
        __typeof__(u->result) EVEN__CAT(u, r) = u->result;                                                             \
        EVEN__UNREF(u);                                                                                                \
        EVEN__CAT(u, r);                                                                                               \
    })

/* The same, but a failure returns from the enclosing async body with it. */
#define even_try_await(x) EVEN__TRY_AWAIT(x, EVEN__UNIQUE(u))
#define EVEN__TRY_AWAIT(x, u)                                                                                          \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, "try_await");                                                                                   \
        int EVEN__CAT(u, s) = even_await_any(&u->base);                                                                \
        __typeof__(u->result) EVEN__CAT(u, r) = u->result;                                                             \
        EVEN__UNREF(u);                                                                                                \
        if (EVEN__CAT(u, s) < 0)                                                                                       \
            even_fail(EVEN__CAT(u, s));                                                                                \
        EVEN__CAT(u, r);                                                                                               \
    })

/* End the enclosing async body with a failure: a statement. (A body of type void returns what a `void *` points to, of which
 * later clangs warn.) */
#define even_fail(status)                                                                                              \
    do {                                                                                                               \
        even__fail(status);                                                                                            \
        EVEN__QUIET(return *even_fail_and_try_await_belong_into_an_async_body)                                         \
    } while (0)
#define EVEN__QUIET(statement) statement;
#ifdef __clang__
#if __has_warning("-Wvoid-ptr-dereference")
#undef EVEN__QUIET
#define EVEN__QUIET(statement)                                                                                         \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wvoid-ptr-dereference\"")                    \
    statement; _Pragma("clang diagnostic pop")
#endif
#endif

/* `return even_value(-1);`: a negative number that is a value and no failure. */
#define even_value(v) (even__mark_value(), (v))

/* ---- Tasks ---- */

/* Gives x itself, with its type. Options by name: create_task(x, .name = "reader", .stack_size = 1 << 20) */
#define even_create_task(x, ...)                                                                                       \
    ((EVEN__TYPE_OF("create_task", x))(void *)even_create_task_any(EVEN__BASE(x),                                      \
                                                                   EVEN__OR_NULL(even_task_options, __VA_ARGS__)))
#define EVEN__OR_NULL(type, ...) EVEN__SECOND(__VA_OPT__(~, (&(type){ __VA_ARGS__ }), ) NULL, NULL)

#define even_cancel(x) even_cancel_any(&(x)->base)
#define even_done(x) even_is_done(&(x)->base)
#define even_name(x) even_name_any(&(x)->base)
#define even_set_name(x, name) even_set_name_any(&(x)->base, name)
#define even_detach(x) even_detach_any(&(x)->base)
#define even_add_done_callback(x, handle) even_add_done_callback_any(&(x)->base, handle)
#define even_remove_done_callback(x, handle) even_remove_done_callback_any(&(x)->base, handle)
/* Another reference; gives x. */
#define even_ref(x) ((EVEN__TYPE_OF("even_ref", x))(void *)even_ref_any(EVEN__BASE(x)))

/* ---- Futures ---- */

/* EVEN_FUTURE(name, type); declares `struct name`, a future of that result; even_future_new(struct name) makes one. */
#define EVEN_FUTURE(name, type) struct name { even_awaitable base; type result; }
EVEN_FUTURE(even_future, ssize_t);
typedef struct even_future even_future;

#define even_future_new(type)                                                                                          \
    ((type *)(void *)even_future_new_any(EVEN__FUTURE_SIZE(((type *)0)->result), EVEN__CLASS_OF(((type *)0)->result)))
#define EVEN__FUTURE_SIZE(lvalue)                                                                                      \
    sizeof(__extension__({                                                                                             \
        _Static_assert(sizeof(lvalue) <= 4096, "even_future_new: the result is too large");                            \
        lvalue;                                                                                                        \
    }))
/* 0, or -EVEN_ESTATE: it was done, and keeps its result. (Future.set_result, Future.set_exception) */
#define even_set_result(f, value)                                                                                      \
    even__set_result(EVEN__BASE(f), (__typeof__((f)->result)[1]){ (value) }, sizeof((f)->result))
#define even_set_error(f, status) even_complete(&(f)->base, status)

/* ---- Entries of a gather ---- */

/* The result of x goes to *target when the gather is done. */
#define even_into(target, x)                                                                                           \
    ((struct even__into){ { .size = EVEN__SIZE_INTO(target, x, EVEN__UNIQUE(u)), .object = EVEN__BASE(x), .into = (target) } })
#define EVEN__SIZE_INTO(target, x, u)                                                                                  \
    sizeof(__extension__({                                                                                             \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, "into");                                                                                        \
        _Static_assert(__builtin_types_compatible_p(__typeof__(*(target)), __typeof__(u->result)),                     \
                       "into: the target's type is not that of the result");                                           \
        u->result;                                                                                                     \
    }))
struct even__into { even_gather_entry entry; };

#define EVEN__SIZE_OF_EACH(objects, results)                                                                           \
    sizeof(__extension__({                                                                                             \
        _Static_assert(__builtin_types_compatible_p(__typeof__(results), void *) ||                                    \
                           __builtin_types_compatible_p(__typeof__(*(results)), __typeof__((*(objects))->result)),     \
                       "gather_n: the array's type is not that of the results");                                       \
        (*(objects))->result;                                                                                          \
    }))

static even_int_aw even__no_awaitable __attribute__((unused));

/* An entry is an into(), or an awaitable alone. */
#define EVEN__ENTRY(x) _Generic(EVEN__LOOK_AT_ENTRY(x, EVEN__UNIQUE(u)), struct even__into: even__entry, default: even__alone)(x)
#define EVEN__LOOK_AT_ENTRY(x, u)                                                                                      \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(_Generic(u, struct even__into: &even__no_awaitable, default: u), "gather");                        \
        u;                                                                                                             \
    })
static inline __attribute__((always_inline, unused)) even_gather_entry even__entry(struct even__into i)
{
    return i.entry;
}
static inline __attribute__((always_inline, unused)) even_gather_entry even__alone(void *x)
{
    return (even_gather_entry){ (even_awaitable *)x, 0, 0 };
}

#define EVEN__E1(a) EVEN__ENTRY(a)
#define EVEN__E2(a, ...) EVEN__ENTRY(a), EVEN__E1(__VA_ARGS__)
#define EVEN__E3(a, ...) EVEN__ENTRY(a), EVEN__E2(__VA_ARGS__)
#define EVEN__E4(a, ...) EVEN__ENTRY(a), EVEN__E3(__VA_ARGS__)
#define EVEN__E5(a, ...) EVEN__ENTRY(a), EVEN__E4(__VA_ARGS__)
#define EVEN__E6(a, ...) EVEN__ENTRY(a), EVEN__E5(__VA_ARGS__)
#define EVEN__E7(a, ...) EVEN__ENTRY(a), EVEN__E6(__VA_ARGS__)
#define EVEN__E8(a, ...) EVEN__ENTRY(a), EVEN__E7(__VA_ARGS__)
#define EVEN__E9(a, ...) EVEN__ENTRY(a), EVEN__E8(__VA_ARGS__)
#define EVEN__E10(a, ...) EVEN__ENTRY(a), EVEN__E9(__VA_ARGS__)
#define EVEN__E11(a, ...) EVEN__ENTRY(a), EVEN__E10(__VA_ARGS__)
#define EVEN__E12(a, ...) EVEN__ENTRY(a), EVEN__E11(__VA_ARGS__)
#define EVEN__E13(a, ...) EVEN__ENTRY(a), EVEN__E12(__VA_ARGS__)
#define EVEN__E14(a, ...) EVEN__ENTRY(a), EVEN__E13(__VA_ARGS__)
#define EVEN__E15(a, ...) EVEN__ENTRY(a), EVEN__E14(__VA_ARGS__)
#define EVEN__E16(a, ...) EVEN__ENTRY(a), EVEN__E15(__VA_ARGS__)

/* ---- Running ---- */

/* The main coroutine's result: an int or a ssize_t tells a failure, of the run itself too; for other results
 * even_status() does. Options by name: even_run(serve(), .backend = "epoll") */
#define even_run(x, ...) EVEN__RUN(x, EVEN__UNIQUE(u), __VA_ARGS__)
#define EVEN__RUN(x, u, ...)                                                                                           \
    __extension__({                                                                                                    \
        __auto_type u = (x);                                                                                           \
        EVEN__CHECK(u, "even_run");                                                                                    \
        int EVEN__CAT(u, s) = even_run_any(&u->base, EVEN__OR_NULL(even_run_options, __VA_ARGS__), EVEN_ABI);          \
        __typeof__(u->result) EVEN__CAT(u, r) = u->result;                                                             \
        even_unref(&u->base);                                                                                          \
        (void)EVEN__CAT(u, s);                                                                                         \
        EVEN__CAT(u, r);                                                                                               \
    })

/* `int main(void) { return even_main(serve()); }`: runs it, and gives an exit status, 1 if it failed. Options as even_run(). */
#define even_main(x, ...) EVEN__MAIN(x, EVEN__UNIQUE(s), __VA_ARGS__)
/* The asm keeps `return even_main(...)` from being a jump, after which nothing would tell the program's line. */
#define EVEN__MAIN(x, s, ...)                                                                                          \
    __extension__({                                                                                                    \
        int s = even_main_any(EVEN__CHECKED_BASE("even_main", x), EVEN__OR_NULL(even_run_options, __VA_ARGS__),        \
                              EVEN_ABI);                                                                               \
        __asm__ volatile("");                                                                                          \
        s;                                                                                                             \
    })

/* ---- Short names ---- */

#ifdef EVEN_SHORT_NAMES
#define async(...) EVEN_ASYNC(__VA_ARGS__)
#define async_decl(...) EVEN_ASYNC_DECL(__VA_ARGS__)
#define async_def(...) EVEN_ASYNC_DEF(__VA_ARGS__)
#define await(x) even_await(x)
#define try_await(x) even_try_await(x)
#define create_task(...) even_create_task(__VA_ARGS__)
#define into(target, x) even_into(target, x)
#endif

#include <evenloop/combine.h>

#endif
