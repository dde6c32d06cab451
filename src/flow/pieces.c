/* Memory for what has come: buffers of a loop's, and copies. */
#include "pieces.h"
#include "source.h"
#include "../base/sys.h"
#include <string.h>

enum {
    SCRATCH = 256 * 1024,   /* more gains nothing: the copy then is all that counts, and it would fall out of the cache */
    BLOCK = 64 * 1024,      /* bytes of a block, its header included */
    BLOCKS_IDLE = 32        /* that wait for their next use */
};

struct scratch {
    struct even__piece piece;
    even_loop *loop;
    unsigned char space[SCRATCH];
};

struct block {
    struct even__piece piece;
    even_loop *loop;
    unsigned char space[];
};
static const size_t BLOCK_SPACE = BLOCK - sizeof(struct block);

/* ---- copies ---- */

static void copy_release(struct even__piece *p)
{
    even__free(p);
}

struct even__piece *even__piece_new(const void *data, size_t n)
{
    struct even__piece *p = even__malloc(sizeof *p + n);
    if (!p)
        return NULL;
    *p = (struct even__piece){ NULL, copy_release, (unsigned char *)(p + 1), n, 0, 0 };
    memcpy(p->data, data, n);
    return p;
}

struct even__piece *even__piece_own(struct even__piece *p)
{
    if (p->release == copy_release)
        return p;
    struct even__piece *copy = even__piece_new(p->data, p->length);
    if (!copy)
        return p;
    copy->next = p->next;
    p->release(p);
    return copy;
}

/* ---- the large buffer ---- */

static void scratch_release(struct even__piece *p)
{
    even_loop *loop = ((struct scratch *)(void *)p)->loop;
    if (loop->scratch)
        even__free(p);
    else
        loop->scratch = p;
}

struct even__piece *even__scratch_take(even_loop *loop)
{
    if (!loop->scratch && loop->lent_in != loop->passes)
        even__receivers_return(loop);
    struct scratch *b = (struct scratch *)(void *)loop->scratch;
    loop->scratch = NULL;
    if (even__unlikely(!b) && (b = even__malloc(sizeof *b)))
        b->loop = loop;
    if (!b)
        return NULL;
    b->piece = (struct even__piece){ .release = scratch_release, .data = b->space, .spare = SCRATCH };
    return &b->piece;
}

bool even__piece_is_scratch(const struct even__piece *p)
{
    return p->release == scratch_release;
}

/* ---- blocks ---- */

static void block_release(struct even__piece *p)
{
    even_loop *loop = ((struct block *)(void *)p)->loop;
    loop->blocks_out--;
    if (loop->blocks_idle >= BLOCKS_IDLE) {
        even__free(p);
        return;
    }
    p->next = loop->blocks;
    loop->blocks = p;
    loop->blocks_idle++;
}

struct even__piece *even__block_take(even_loop *loop)
{
    struct block *b = (struct block *)(void *)loop->blocks;
    if (even__unlikely(loop->blocks_out >= loop->lent_max / BLOCK))
        return NULL;
    if (even__likely(b != NULL)) {
        loop->blocks = b->piece.next;
        loop->blocks_idle--;
    } else {
        b = even__malloc(BLOCK);
        if (!b)
            return NULL;
        b->loop = loop;
    }
    loop->blocks_out++;
    b->piece = (struct even__piece){ .release = block_release, .data = b->space, .spare = (uint32_t)BLOCK_SPACE, .size = BLOCK };
    return &b->piece;
}

void even__pieces_close(even_loop *loop)
{
    even__free(loop->scratch);
    loop->scratch = NULL;
    while (loop->blocks) {
        struct even__piece *p = loop->blocks;
        loop->blocks = p->next;
        even__free(p);
    }
    even__check(loop->blocks_out == 0 && loop->lent_bytes == 0);
}
