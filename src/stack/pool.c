/* The pool of stacks of a thread. A class grows in chunks, one mapping each; guards by MADV_GUARD_INSTALL, which splits no
 * mapping, so that a million stacks stay under vm.max_map_count; by mprotect where the kernel has it not. */
#include "stack.h"
#include "../base/sys.h"
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef EVEN_HAVE_VALGRIND
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* What a task may use; and, with what stands above its first frame, the whole. */
static const uint32_t classes[] = { 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20, 64 << 20 };
static uint32_t whole(unsigned number) { return classes[number] + EVEN__STACK_OWN; }
enum { CLASSES = sizeof classes / sizeof *classes, CHUNK_BYTES = 4 << 20, CHUNK_STACKS_MAX = 32 };

struct chunk {
    struct chunk *next;
    char *memory;
    size_t size;
    unsigned class;
};

/* A stack whose pages were given back, its descriptor's too: all that is known of it. */
struct cold {
    char *low;
    void *fiber;
};

struct class {
    struct even__stack *idle;                       /* hot: last in, first out */
    unsigned idle_count, idle_least;                /* and the least there were since the last look */
    struct cold *cold;
    unsigned cold_count, cold_capacity;
    char *fresh, *fresh_end;                        /* what of the newest chunk was never used */
};

struct even__pool {
    struct class class[CLASSES];
    unsigned puts;
    struct chunk *chunks;
};

/* From one stack to the next of its class: whole pages, which have up to 64 KiB on aarch64. */
static size_t slot_size(unsigned number)
{
    size_t page = (size_t)getpagesize();
    return (EVEN__GUARD + whole(number) + page - 1) / page * page;
}

/* So often, stacks that nobody has wanted since the last look are given back, the coldest half of them, but for these. */
enum { COLOURS = 16, CACHE_LINE = 64, LOOK_EVERY = 4096, KEEP = 64 };
_Static_assert(sizeof(struct even__stack) + COLOURS * CACHE_LINE <= EVEN__STACK_OWN, "a task has all that it asked for");

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_int guard_way;    /* 0: not known, 1: MADV_GUARD_INSTALL, 2: mprotect */

static void thread_ends(void)
{
    struct even__pool *pool = even__thread.stacks;
    if (!pool)
        return;
    for (unsigned c = 0; c < CLASSES; c++) {
        for (struct even__stack *s = pool->class[c].idle; s; s = s->next)
            even__sanitizer_end(s->fiber);
        for (unsigned i = 0; i < pool->class[c].cold_count; i++)
            even__sanitizer_end(pool->class[c].cold[i].fiber);
        even__free(pool->class[c].cold);
    }
    for (struct chunk *c = pool->chunks, *next; c; c = next) {
        next = c->next;
        if (even__sanitized)
            even__sanitizer_unmap(c->memory, c->size);
        munmap(c->memory, c->size);
        even__free(c);
    }
    even__free(pool);
    even__thread.stacks = NULL;
}

static struct even__pool *pool_of_thread(void)
{
    pthread_once(&once, even__sanitizer_find);
    if (even__thread_at_end(thread_ends) < 0)
        return NULL;
    return even__thread.stacks = even__calloc(sizeof *even__thread.stacks);
}

/* Probed by its effect, since emulators say yes and do nothing: a write() from a guard page must fail. */
static int probe_guard(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    int way = 2, fds[2];
    char *p = even__sys_map(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!p)
        return way;
    if (madvise(p, page, MADV_GUARD_INSTALL) == 0 && even__sys(pipe(fds)) == 0) {
        if (write(fds[1], p, 1) < 0 && errno == EFAULT)
            way = 1;
        close(fds[0]);
        close(fds[1]);
    }
    munmap(p, page);
    return way;
}

static int install_guard(char *p)
{
    int way = atomic_load_explicit(&guard_way, memory_order_relaxed);
    if (way == 0)
        atomic_store_explicit(&guard_way, way = probe_guard(), memory_order_relaxed);
    if (way == 1)
        return (int)even__sys(madvise(p, EVEN__GUARD, MADV_GUARD_INSTALL));
    int rc = (int)even__sys(mprotect(p, EVEN__GUARD, PROT_NONE));
    if (rc < 0 && even__report_wanted(NULL))
        even__report("no guard for a stack: %s; the limit of mappings (vm.max_map_count) may be reached", even_strerror(rc));
    return rc;
}

static int grow(struct even__pool *pool, unsigned number)
{
    size_t slot = slot_size(number);
    size_t n = CHUNK_BYTES / slot;
    n = n < 1 ? 1 : n > CHUNK_STACKS_MAX ? CHUNK_STACKS_MAX : n;
    struct chunk *chunk = even__calloc(sizeof *chunk);
    if (!chunk)
        return -ENOMEM;
    chunk->size = n * slot;
    chunk->class = number;
    chunk->memory = even__sys_map(mmap(NULL, chunk->size, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (!chunk->memory) {
        even__free(chunk);
        return -ENOMEM;
    }
    madvise(chunk->memory, chunk->size, MADV_NOHUGEPAGE);   /* a huge page a stack would be 30 times the memory */
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    pool->class[number].fresh = chunk->memory;
    pool->class[number].fresh_end = chunk->memory + chunk->size;
    return 0;
}

static struct even__stack *descriptor(char *low, unsigned number)
{
    /* Stacks lie a multiple of pages apart: their tops would fall into the same few sets of the caches. */
    size_t colour = (uintptr_t)low / slot_size(number) % COLOURS * CACHE_LINE;
    return (struct even__stack *)(void *)(low + whole(number) - sizeof(struct even__stack) - colour);
}

static struct even__stack *describe(char *low, unsigned number, void *fiber)
{
    struct even__stack *s = descriptor(low, number);
    *s = (struct even__stack){ .low = low, .size = whole(number), .class = number, .fiber = fiber };
    return s;
}

static even__noinline struct even__stack *new_stack(struct even__pool *pool, unsigned number, int *error)
{
    struct class *c = &pool->class[number];
    if (c->cold_count) {
        struct cold *cold = &c->cold[--c->cold_count];
        return describe(cold->low, number, cold->fiber);
    }
    if (c->fresh == c->fresh_end && (*error = grow(pool, number)) < 0)
        return NULL;
    if ((*error = install_guard(c->fresh)) < 0)
        return NULL;
    char *low = c->fresh + EVEN__GUARD;
    c->fresh += slot_size(number);
    struct even__stack *s = describe(low, number, NULL);
    (void)VALGRIND_STACK_REGISTER(low, (char *)s);
    return s;
}

static even__noinline struct even__stack *get_first(size_t size, int *error);

struct even__stack *even__stack_get(size_t size, int *error)
{
    struct even__pool *pool = even__thread.stacks;
    unsigned number = 1;

    if (even__unlikely(!pool))
        return get_first(size, error);
    if (even__unlikely(size)) {
        for (number = 0; number < CLASSES && classes[number] < size; number++)
            continue;
        if (number == CLASSES) {
            *error = -EINVAL;
            return NULL;
        }
    }
    struct class *c = &pool->class[number];
    struct even__stack *s = c->idle;
    if (even__unlikely(!s))
        return new_stack(pool, number, error);
    c->idle = s->next;
    if (--c->idle_count < c->idle_least)
        c->idle_least = c->idle_count;
    return s;
}

static even__noinline struct even__stack *get_first(size_t size, int *error)
{
    if (pool_of_thread())
        return even__stack_get(size, error);
    *error = -ENOMEM;
    return NULL;
}

/* Give back all of a class but the `keep` hottest. */
static void trim(struct class *c, unsigned keep)
{
    struct even__stack **at = &c->idle, *s;
    for (unsigned n = 0; *at && n < keep; n++)
        at = &(*at)->next;
    while ((s = *at)) {
        if (c->cold_count == c->cold_capacity) {
            unsigned capacity = c->cold_capacity ? c->cold_capacity * 2 : 64;
            struct cold *cold = even__realloc(c->cold, capacity * sizeof *cold);
            if (!cold)
                return;         /* they stay hot, then */
            c->cold = cold;
            c->cold_capacity = capacity;
        }
        *at = s->next;
        c->idle_count--;
        c->cold[c->cold_count++] = (struct cold){ s->low, s->fiber };
        madvise(s->low, s->size, MADV_DONTNEED);
    }
}

void even__stacks_trim(unsigned keep)
{
    struct even__pool *pool = even__thread.stacks;
    for (unsigned i = 0; pool && i < CLASSES; i++)
        trim(&pool->class[i], keep);
}

static even__noinline void look(struct even__pool *pool)
{
    for (unsigned i = 0; i < CLASSES; i++) {
        struct class *c = &pool->class[i];
        if (c->idle_least > KEEP)
            trim(c, c->idle_count - c->idle_least / 2);
        c->idle_least = c->idle_count;
    }
}

void even__stack_put(struct even__stack *s)
{
    struct even__pool *pool = even__thread.stacks;
    struct class *c = &pool->class[s->class];
    s->next = c->idle;
    c->idle = s;
    c->idle_count++;
    if (even__unlikely(++pool->puts % LOOK_EVERY == 0))
        look(pool);
}

void even__stacks_each(void (*visit)(struct even__stack *))
{
    for (struct chunk *c = even__thread.stacks ? even__thread.stacks->chunks : NULL; c; c = c->next)
        for (char *low = c->memory + EVEN__GUARD; low < c->memory + c->size; low += slot_size(c->class)) {
            struct even__stack *s = descriptor(low, c->class);
            if (s->low == low)      /* not one that was never used, or was given back */
                visit(s);
        }
}

size_t even__stack_high_water(const struct even__stack *s)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;
    char *p = s->low, *top = (char *)(uintptr_t)s;
    while (p < top && (mincore(p, page, &resident) < 0 || !(resident & 1)))
        p += page;
    while (p < top && *p == 0)
        p++;
    return (size_t)(top - p);
}
