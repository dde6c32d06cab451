/* Objects that have the result of another: wait_for, shield and futures come in a few sizes of results, each a kind. What they
 * need for themselves lies behind the result, at kind->argument_offset. */
#ifndef EVEN__KINDS_H
#define EVEN__KINDS_H

#include "await.h"

enum { EVEN__RESULT_MAX = 4096, EVEN__KINDS = 8 };

#define EVEN__KIND(class, room, own, ...)                                                                               \
    { .size = (uint32_t)(sizeof(even_awaitable) + (room) + sizeof(own)), .result_size = (room),                         \
      .argument_offset = (uint32_t)(sizeof(even_awaitable) + (room)), .argument_size = sizeof(own),                     \
      .result_class = (class), __VA_ARGS__ }

/* The table of kinds for an object whose own part is `own`. */
#define EVEN__KINDS_OF(own, ...)                                                                                        \
    {                                                                                                                   \
        EVEN__KIND(EVEN_RESULT_OTHER, 16, own, __VA_ARGS__), EVEN__KIND(EVEN_RESULT_INT, 16, own, __VA_ARGS__),         \
        EVEN__KIND(EVEN_RESULT_LONG, 16, own, __VA_ARGS__), EVEN__KIND(EVEN_RESULT_VOID, 16, own, __VA_ARGS__),         \
        EVEN__KIND(EVEN_RESULT_OTHER, 64, own, __VA_ARGS__), EVEN__KIND(EVEN_RESULT_OTHER, 256, own, __VA_ARGS__),      \
        EVEN__KIND(EVEN_RESULT_OTHER, 1024, own, __VA_ARGS__), EVEN__KIND(EVEN_RESULT_OTHER, 4096, own, __VA_ARGS__)    \
    }

/* Which of the table: by class where the class says the size. */
static inline unsigned even__kind_index(unsigned class, size_t size)
{
    return size <= 16 ? class : size <= 64 ? 4 : size <= 256 ? 5 : size <= 1024 ? 6 : 7;
}

static inline void *even__own(even_awaitable *x)
{
    return (char *)x + x->kind->argument_offset;
}

/* What a constructor returns that failed: one for each class, with room for every result of it. */
struct even__failed {
    even_awaitable base;
    long result[EVEN__RESULT_MAX / sizeof(long)];
};
#define EVEN__FAILED_OF(kinds, status)                                                                                  \
    {                                                                                                                   \
        [EVEN_RESULT_OTHER] = { EVEN_AWAITABLE_FAILED(&(kinds)[7], status), { 0 } },                                    \
        [EVEN_RESULT_INT] = { EVEN_AWAITABLE_FAILED(&(kinds)[1], status), { (status) } },                               \
        [EVEN_RESULT_LONG] = { EVEN_AWAITABLE_FAILED(&(kinds)[2], status), { (status) } },                              \
        [EVEN_RESULT_VOID] = { EVEN_AWAITABLE_FAILED(&(kinds)[3], status), { (status) } },                              \
    }

#endif
