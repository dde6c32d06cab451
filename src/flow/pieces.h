/* Memory for what has come. A piece is given back by its own `release`. */
#ifndef EVEN__PIECES_H
#define EVEN__PIECES_H

#include "../loop/loop.h"

/* A piece with a copy of these bytes; NULL without memory. */
struct even__piece *even__piece_new(const void *data, size_t n);
/* The same bytes in memory of their own, instead of the piece. Without memory for that, the piece itself. */
struct even__piece *even__piece_own(struct even__piece *p);

/* The loop's large buffer, empty, for what is gone when its taker returns to the loop. NULL without memory. */
struct even__piece *even__scratch_take(even_loop *loop);
bool even__piece_is_scratch(const struct even__piece *p);

/* A smaller one, empty, for what may stay. NULL without memory, or if lent_max bytes of them are out. */
struct even__piece *even__block_take(even_loop *loop);

/* All have come back. */
void even__pieces_close(even_loop *loop);

#endif
