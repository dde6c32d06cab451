/* A sink: what is to be sent down a stream of bytes, in its order, and how far that is.
 *
 * What is put waits in chunks until the pass ends, and then goes with the loop's next wait: small chunks as one. A chunk is
 * its owner's memory, and is released when it was sent, or given up; or it is a copy. */
#ifndef EVEN__SINK_H
#define EVEN__SINK_H

#include "../loop/loop.h"
#include "ends.h"

struct even__chunk {
    struct even__chunk *next;
    void (*release)(struct even__chunk *chunk);     /* runs nothing of the program's */
    const void *data;
    size_t length;
};

struct even__sink {
    even_handle handle;             /* run when it has become so small that one may go on (`low`), when all has been sent, on a
                                     * failure, and when it is at rest after a stop */
    even_loop *loop;
    const struct even__end *end;
    int32_t fd;
    int32_t failure;                /* what it failed with, told as often as it is asked; 0 */
    size_t size;                    /* bytes that are not sent yet */
    size_t high, low;               /* with more than `high`, its owner should put no more until it has at most `low` */
    bool at_once;                   /* the handle is run from wherever that is noticed: see even__source_init() */
    /* What follows is the sink's. */
    bool full;                      /* it had more than `high` */
    bool working;                   /* its end sends */
    bool ending, ended;             /* the end of the stream is to be sent; was sent */
    bool stopped;
    even_op op;
    even_handle flush;              /* among those that hand over at the end of the pass */
    struct even__chunk *first, *last;
    size_t done;                    /* bytes of the first that are sent */
};

enum { EVEN__SINK_HIGH = 64 * 1024, EVEN__SINK_LOW = 16 * 1024 };

/* A sink of an end, which fills in what is its own; with the marks above. */
void even__sink_init(struct even__sink *s, even_loop *loop, const struct even__end *end, void (*run)(even_handle *));
/* One of a socket. */
void even__sink_of_socket(struct even__sink *s, even_loop *loop, int fd, void (*run)(even_handle *));

/* Send these bytes behind what was put before. 0, and the chunk is the sink's; else it stays its owner's: the failure of the
 * sink, or -EPIPE behind the end or a stop. */
int even__sink_put(struct even__sink *s, struct even__chunk *chunk);
/* The same with a copy of them; -ENOMEM. */
int even__sink_put_copy(struct even__sink *s, const void *data, size_t n);

/* No more is put: the end of the stream follows what was. */
void even__sink_end(struct even__sink *s);

/* Send no more. What is left is given up; what its end has in hands, as soon as that is over. Then the handle runs. */
void even__sink_stop(struct even__sink *s);
/* The same, but first all is sent that goes without waiting. From the loop's thread; not from inside the backend. */
void even__sink_abort(struct even__sink *s);

/* Its end sends. */
static inline bool even__sink_is_active(const struct even__sink *s) { return s->working; }

/* ---- For the end ---- */

/* It has sent so much (> 0); or -EINTR: nothing, ask again; -ECANCELED: it was stopped; else the failure. */
void even__sink_went(struct even__sink *s, int32_t result);

#endif
