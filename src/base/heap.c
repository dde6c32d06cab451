#include "heap.h"
#include "fork.h"
#include <string.h>
#include <sys/mman.h>

enum {
    CHUNK = EVEN__HEAP_CHUNK,
    REGION = 16 * CHUNK,    /* mapped at once */
    HEADER = (sizeof(struct even__chunk) + 15) & ~15
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct even__heap *without_thread;
EVEN__AT_FORK(.lock = &lock);

static void thread_ends(void)
{
    struct even__heap *heap = even__thread.heap;
    if (!heap)
        return;
    pthread_mutex_lock(&lock);
    heap->next = without_thread;
    without_thread = heap;
    pthread_mutex_unlock(&lock);
    even__thread.heap = NULL;
}

static struct even__heap *heap_of_thread(void)
{
    if (even__thread_at_end(thread_ends) < 0)
        return NULL;
    pthread_mutex_lock(&lock);
    struct even__heap *heap = without_thread;
    if (heap)
        without_thread = heap->next;
    pthread_mutex_unlock(&lock);
    if (!heap)
        heap = even__calloc(sizeof *heap);
    return even__thread.heap = heap;
}

/* Mapped memory aligned to CHUNK. Type-stable: it is never given back. */
static void *map_aligned(size_t size)
{
    char *p = even__sys_map(mmap(NULL, size + CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!p)
        return NULL;
    char *aligned = (char *)(((uintptr_t)p + CHUNK - 1) & ~(uintptr_t)(CHUNK - 1));
    if (aligned > p)
        munmap(p, (size_t)(aligned - p));
    if (aligned < p + CHUNK)
        munmap(aligned + size, (size_t)(p + CHUNK - aligned));
    return aligned;
}

static struct even__chunk *new_chunk(struct even__heap *heap, unsigned class, size_t cell_size)
{
    size_t size = CHUNK;
    struct even__chunk *c = heap->spare[class];

    if (c && c->cell_size >= cell_size) {
        heap->spare[class] = c->next;
        size = c->size;
        cell_size = c->cell_size;
    } else if (HEADER + cell_size > CHUNK) {   /* one cell larger than a chunk: a chunk of its own */
        size = (HEADER + cell_size + CHUNK - 1) & ~(size_t)(CHUNK - 1);
        c = map_aligned(size);
    } else {
        if (heap->region == heap->region_end) {
            heap->region = map_aligned(REGION);
            heap->region_end = heap->region ? heap->region + REGION : NULL;
        }
        c = (struct even__chunk *)(void *)heap->region;
        if (c)
            heap->region += CHUNK;
    }
    if (!c)
        return NULL;
    *c = (struct even__chunk){ heap, heap->chunks, cell_size, HEADER, size, class, 0 };
    heap->chunks = c;
    heap->chunk_count++;
    return heap->current[class] = c;
}

static bool take_remote(struct even__heap *heap)
{
    struct even__cell *c = atomic_exchange_explicit(&heap->remote, NULL, memory_order_acquire), *next;
    bool any = c != NULL;
    for (; c; c = next) {
        next = c->link;
        even__heap_free_here(heap, c);
    }
    return any;
}

/* The class of a size beyond the small ones, and its cells' size; the last class takes all that is larger still, each in a
 * chunk of its own. */
static unsigned large_class(size_t size, size_t *cell_size)
{
    unsigned class = EVEN__HEAP_SMALL / EVEN__HEAP_STEP + 1;
    *cell_size = EVEN__HEAP_SMALL * 2;
    while (*cell_size < size && class < EVEN__HEAP_RECORDS - 1) {
        *cell_size *= 2;
        class++;
    }
    return class;
}

static void *take_largest(struct even__heap *heap, unsigned class, size_t size)
{
    for (struct even__cell **at = &heap->free[class]; *at; at = &(*at)->link) {
        struct even__cell *cell = *at;
        if (even__chunk_of(cell)->cell_size >= size) {
            *at = cell->link;
            return cell;
        }
    }
    struct even__chunk *before = heap->current[class], *c = new_chunk(heap, class, (size + 15) & ~(size_t)15);
    if (!c)
        return NULL;
    heap->current[class] = before;      /* full already */
    c->used += c->cell_size;
    return (char *)c + HEADER;
}

void *even__heap_alloc_slow(unsigned class, size_t size)
{
    struct even__heap *heap = even__thread.heap;
    size_t cell_size = class == EVEN__HEAP_RECORDS ? (size + 15) & ~(size_t)15 : (size_t)class * EVEN__HEAP_STEP;
    struct even__cell *cell;

    if (size > SIZE_MAX / 2 || (!heap && !(heap = heap_of_thread())))
        return NULL;
    if (class == EVEN__HEAP_CLASSES)
        class = large_class(size, &cell_size);
    if (cell_size < size) {
        if (!(cell = take_largest(heap, class, size)))
            return NULL;
        cell_size = even__chunk_of(cell)->cell_size;
    } else if ((cell = heap->free[class]) || (take_remote(heap) && (cell = heap->free[class]))) {
        heap->free[class] = cell->link;
    } else {
        struct even__chunk *c = heap->current[class];
        if ((!c || c->used + cell_size > c->size) && !(c = new_chunk(heap, class, cell_size)))
            return NULL;
        cell = (struct even__cell *)(void *)((char *)c + c->used);
        c->used += cell_size;
    }
    heap->taken++;
    ASAN_UNPOISON_MEMORY_REGION(cell, cell_size);
    return cell;
}

void even__heap_free_remote(struct even__heap *heap, struct even__cell *cell)
{
    struct even__cell *head = atomic_load_explicit(&heap->remote, memory_order_relaxed);
    do
        cell->link = head;
    while (!atomic_compare_exchange_weak_explicit(&heap->remote, &head, cell, memory_order_release, memory_order_relaxed));
}

void even__heap_each(void (*visit)(void *, void *), void *data)
{
    for (struct even__chunk *c = even__thread.heap ? even__thread.heap->chunks : NULL; c; c = c->next)
        for (size_t at = HEADER; c->class != EVEN__HEAP_RECORDS && at + c->cell_size <= c->used; at += c->cell_size)
            visit((char *)c + at, data);
}

void even__heap_chunks(void (*visit)(void *, size_t))
{
    for (struct even__chunk *c = even__thread.heap ? even__thread.heap->chunks : NULL; c; c = c->next)
        visit(c, c->used);
}

size_t even__heap_live(void)
{
    struct even__heap *heap = even__thread.heap;
    if (heap)
        take_remote(heap);
    return heap ? heap->taken - heap->freed : 0;
}

/* ---- settling ---- */

/* Fewer than this many cells of a chunk live, on the average: it pays to look for empty ones. */
enum { LIVING_FEW = 8, CHUNKS_FEW = 16 };

static bool is_empty(const struct even__chunk *c)
{
    return c->idle == (c->used - HEADER) / c->cell_size;
}

static void count_idle(struct even__heap *heap)
{
    for (struct even__chunk *c = heap->chunks; c; c = c->next)
        c->idle = 0;
    for (unsigned class = 0; class < EVEN__HEAP_CLASSES; class++)
        for (struct even__cell *cell = heap->free[class]; cell; cell = cell->link)
            even__chunk_of(cell)->idle++;
}

static void forget_cells_of_empty(struct even__heap *heap)
{
    for (unsigned class = 0; class < EVEN__HEAP_CLASSES; class++)
        for (struct even__cell **at = &heap->free[class]; *at;) {
            if (is_empty(even__chunk_of(*at)))
                *at = (*at)->link;
            else
                at = &(*at)->link;
        }
}

static void set_empty_aside(struct even__heap *heap)
{
    for (struct even__chunk **at = &heap->chunks, *c; (c = *at);) {
        if (!is_empty(c)) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = heap->spare[c->class];
        heap->spare[c->class] = c;
        heap->chunk_count--;
        if (heap->current[c->class] == c)
            heap->current[c->class] = NULL;
    }
}

void even__heap_settle(void)
{
    struct even__heap *heap = even__thread.heap;
    if (!heap || heap->chunk_count < CHUNKS_FEW || heap->chunk_count < 2 * heap->settled_count ||
        even__heap_live() / LIVING_FEW > heap->chunk_count)
        return;
    count_idle(heap);
    forget_cells_of_empty(heap);
    set_empty_aside(heap);
    heap->settled_count = heap->chunk_count;
}
