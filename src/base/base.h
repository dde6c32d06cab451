/* What every room of the house uses: compiler words, memory, reports. Knows nothing above itself. */
#ifndef EVEN__BASE_H
#define EVEN__BASE_H

#include <evenloop/error.h>
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define even__likely(x) __builtin_expect(!!(x), 1)
#define even__unlikely(x) __builtin_expect(!!(x), 0)
#define even__noinline __attribute__((noinline))

/* For a function that returns after a switch of stacks: the processor predicts that a return goes where the last call came
 * from, and that was on another stack. Such a function is left by an indirect jump (in entry.S), which is predicted by where it
 * went before; a wrong guess costs some 20 cycles. */
#if defined(__x86_64__) && defined(__has_attribute)
#if __has_attribute(function_return)
#define even__returns_after_switch __attribute__((noinline, function_return("thunk-extern")))
#endif
#endif
#ifndef even__returns_after_switch
#define even__returns_after_switch __attribute__((noinline))
#endif

#define even__container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* Built with a sanitizer? gcc says it with a macro, clang by __has_feature. */
#if defined(__SANITIZE_ADDRESS__)
#define EVEN__ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define EVEN__TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EVEN__ASAN 1
#elif __has_feature(thread_sanitizer)
#define EVEN__TSAN 1
#endif
#endif

/* For our own mistakes. On in every build where it is cheap; what is dear goes into even__check_slow(). */
void even__bug(const char *what, const char *file, int line) __attribute__((noreturn, cold));
#define even__check(condition) (even__likely(condition) ? (void)0 : even__bug(#condition, __FILE__, __LINE__))
#ifdef EVEN_DEBUG
#define even__check_slow(condition) even__check(condition)
#else
#define even__check_slow(condition) ((void)0)
#endif

/* Memory, through even_set_allocator()'s functions. NULL when there is none. */
void *even__malloc(size_t size) __attribute__((malloc, warn_unused_result));
void *even__calloc(size_t size) __attribute__((malloc, warn_unused_result));
void *even__realloc(void *memory, size_t size) __attribute__((warn_unused_result));
void even__free(void *memory);
/* Zero, and never given back: so it is not taken from those functions. */
void *even__calloc_for_good(size_t size) __attribute__((malloc, warn_unused_result));
char *even__strdup(const char *text) __attribute__((warn_unused_result));

/* A line for people: a misuse, a failure that nobody fetched. Goes to the report hook, else to standard error. Who may say the
 * same again and again asks first whether it is wanted once more: `place` is what it is about (where an object was made, its
 * kind, who called). */
void even__report(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
bool even__report_is_wanted(const char *kind, const void *place) __attribute__((cold));
#define even__report_wanted(place) even__report_is_wanted(__func__, place)
/* How many were not told: as a loop ends. */
void even__report_untold(void) __attribute__((cold));

/* "file.c:12" for a code address, from debug information where there is any, else "program+0x1234". `site` is a
 * return address: the line is that of the call. The text goes into `out`, cut to its size; returns out. */
char *even__site_name(const void *site, char *out, size_t size);
enum { EVEN__SITE_MAX = 256 };
/* The same in parts, for the narrator: the line's number and the file's base name; 0 and no file if unknown. */
int even__site_line(const void *site, char *file, size_t size);

/* A deterministic generator (splitmix64): same seed, same numbers. */
static inline uint64_t even__random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
