/* Slabs for awaitables and tasks: type-stable cells, so that a spent object can still be named.
 *
 * Each thread has a heap; a heap outlives its thread while anything of it lives, and is taken over by the next
 * thread that needs one. A cell may be freed by any thread. A freed cell keeps its first word and all that
 * follows the second one until it is used again, and the last 64 that were freed are held back.
 *
 *   chunk (64 KiB, aligned): | header | cell | cell | ... |      a cell: | kind | link | ... |
 */
#ifndef EVEN__HEAP_H
#define EVEN__HEAP_H

#include "base.h"
#include "sys.h"
#include "thread.h"
#include <stdatomic.h>
#ifdef EVEN__ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)0)
#endif

enum {
    EVEN__HEAP_CHUNK = 64 * 1024,
    EVEN__HEAP_STEP = 16,                       /* between small size classes */
    EVEN__HEAP_SMALL = 512,                     /* up to here in steps, then doubling */
    EVEN__HEAP_RECORDS = EVEN__HEAP_SMALL / EVEN__HEAP_STEP + 5 + 1,    /* the class of what is no awaitable */
    EVEN__HEAP_CLASSES = EVEN__HEAP_RECORDS + 1,
    EVEN__HEAP_HELD = 64,   /* finds a stale pointer for 1.6 ns; a thousand would double the cost of an await */
    EVEN__HEAP_KEPT = 32    /* bytes of a freed cell that stay readable for the sanitizer: an awaitable's header */
};

struct even__cell {
    const void *kind;       /* stays as it was */
    struct even__cell *link;
};

struct even__chunk {
    struct even__heap *heap;
    struct even__chunk *next;
    size_t cell_size;
    size_t used;            /* bytes handed out so far, this header included */
    size_t size;
    unsigned class;
    unsigned idle;          /* while the heap is settled: how many of its cells are free */
};

struct even__heap {
    struct even__cell *free[EVEN__HEAP_CLASSES];
    struct even__cell *held[EVEN__HEAP_HELD];
    size_t taken, freed;                        /* how often, ever */
    struct even__chunk *current[EVEN__HEAP_CLASSES];
    struct even__chunk *chunks;
    struct even__chunk *spare[EVEN__HEAP_CLASSES];  /* those of which nothing is in use */
    unsigned chunk_count, settled_count;            /* of those in use; and how many these were when it was settled last */
    char *region, *region_end;
    _Atomic(struct even__cell *) remote;        /* freed by other threads */
    struct even__heap *next;                    /* in the list of heaps without a thread */
};

void *even__heap_alloc_slow(unsigned class, size_t size);
void even__heap_free_remote(struct even__heap *heap, struct even__cell *cell);

static inline struct even__chunk *even__chunk_of(void *cell)
{
    return (struct even__chunk *)((uintptr_t)cell & ~(uintptr_t)(EVEN__HEAP_CHUNK - 1));
}

static inline void *even__heap_take(unsigned class, size_t size)
{
    struct even__heap *heap = even__thread.heap;
    struct even__cell *cell;
    if (even__unlikely(even__fault_memory()))
        return NULL;
    if (even__unlikely(!heap || !(cell = heap->free[class])))
        return even__heap_alloc_slow(class, size);
    heap->free[class] = cell->link;
    heap->taken++;
    ASAN_UNPOISON_MEMORY_REGION(cell, size);
    return cell;
}

/* A cell of at least `size` bytes, aligned to 16, its content undefined (zero the first time); NULL without memory. */
static inline void *even__heap_alloc(size_t size)
{
    if (even__unlikely(size > EVEN__HEAP_SMALL))
        return even__fault_memory() ? NULL : even__heap_alloc_slow(EVEN__HEAP_CLASSES, size);
    return even__heap_take((unsigned)((size + EVEN__HEAP_STEP - 1) / EVEN__HEAP_STEP), size);
}

/* The same for records that are no awaitables, all of one size: even__heap_each() passes them over. */
static inline void *even__heap_alloc_record(size_t size)
{
    return even__heap_take(EVEN__HEAP_RECORDS, size);
}

static inline void even__heap_free_here(struct even__heap *heap, struct even__cell *cell)
{
    struct even__cell **slot = &heap->held[heap->freed++ % EVEN__HEAP_HELD], *out = *slot;
    *slot = cell;
    if (even__likely(out != NULL)) {
        unsigned class = even__chunk_of(out)->class;
        out->link = heap->free[class];
        heap->free[class] = out;
    }
}

static inline void even__heap_free(void *p)
{
    struct even__cell *cell = p;
    struct even__chunk *chunk = even__chunk_of(cell);

    ASAN_POISON_MEMORY_REGION((char *)p + EVEN__HEAP_KEPT,
                              chunk->cell_size > EVEN__HEAP_KEPT ? chunk->cell_size - EVEN__HEAP_KEPT : 0);
    if (even__likely(chunk->heap == even__thread.heap))
        even__heap_free_here(chunk->heap, cell);
    else
        even__heap_free_remote(chunk->heap, cell);
}

/* Call `visit` on each awaitable's cell of this thread's heap that was ever handed out, freed ones too. */
void even__heap_each(void (*visit)(void *cell, void *data), void *data);

/* The same for all that it has in use, in large pieces. */
void even__heap_chunks(void (*visit)(void *memory, size_t size));

/* After a peak: set the chunks aside in which nothing lives, so that nobody walks over them. They are used again before new ones
 * are mapped, for cells of the same size. */
void even__heap_settle(void);

/* Cells of this thread's heap that are handed out. */
size_t even__heap_live(void);

#endif
