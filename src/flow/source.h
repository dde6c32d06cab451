/* A source: what has come of a stream of bytes and was not taken yet, and how more of it is brought. In public it is an
 * even_receiver (evenloop/loop.h). This is what its end below calls, and what a stream above needs besides. */
#ifndef EVEN__SOURCE_H
#define EVEN__SOURCE_H

#include "../loop/loop.h"
#include "ends.h"

/* ---- For the end ---- */

/* A piece has come. It is the source's from now on. */
void even__source_piece(even_receiver *r, struct even__piece *piece);
/* There is something to take; and the end is at work still, and says so again when all of it was taken and more comes. */
void even__source_ready(even_receiver *r);
/* The end is no longer at work:
 *   > 0         there is something to take
 *   0           the end of the stream
 *   -EINTR      nothing happened: it wants to be started again
 *   -ECANCELED  it was stopped (else a failure)
 *   other       the failure */
void even__source_over(even_receiver *r, int32_t result);

/* ---- For a stream ---- */

/* A source of an end, with all memory of the end's own for the end to fill in. `run` is called by the loop, as that of any
 * handle; with r->at_once set also from wherever it is noticed that something has come or the end is no longer at work: from
 * inside the backend, that is, where no code of the program's may run. */
void even__source_init(even_receiver *r, even_loop *loop, const struct even__end *end, void (*run)(even_handle *));

/* Up to n bytes, n > 0, of all that is kept. Where nothing is, they are fetched: into `buffer` itself if that is large, else
 * read ahead. As even_receiver_take_into(). */
ssize_t even__source_read(even_receiver *r, void *buffer, size_t n);

/* Nothing is kept, nor to be fetched, nor the end come: it has to be waited for. */
static inline bool even__source_is_dry(const even_receiver *r)
{
    return r->wanted && !r->first && !r->readable && !r->over;
}

/* What was lent is the source's again. */
void even__source_take_back(even_receiver *r);

/* As even_receiver_take(), but the piece stays as it is until the next call that takes, or clears. It leaves the ring of
 * buffers, and another one takes its place; beyond the loop's lent_max it is copied instead. */
ssize_t even__source_lend(even_receiver *r, const void **data);

/* What is kept is given up. What was lent stays as it is, until even_receiver_clear() at the latest. */
void even__source_drop_kept(even_receiver *r);

/* Fetch one more piece behind those that are kept; > 0 if there is one, else as even_receiver_take(). */
ssize_t even__source_more(even_receiver *r);

/* Where the first of these n bytes begins in what is kept, looking only at its first `limit` bytes and from byte `from` on;
 * -1: nowhere. *have: how many bytes are kept, at most `limit`. */
ssize_t even__source_find(const even_receiver *r, size_t from, size_t limit, const void *bytes, size_t n, size_t *have);

/* Bytes that were taken come again, first. 0 or -ENOMEM. */
int even__source_give_back(even_receiver *r, const void *data, size_t n);

/* Its failure was the moment's: it may be started again, and have better luck. */
void even__source_forgive(even_receiver *r);

#endif
