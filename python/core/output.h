/* The sending half of a transport: what was written waits in chunks until the turn ends, and goes out as one. Its owner is
 * an object of asyncio's flow-control class, which has the marks. */
#ifndef EVENLOOP_PYTHON_OUTPUT_H
#define EVENLOOP_PYTHON_OUTPUT_H

#include "held.h"

struct output {
    struct held held;
    even_op op;                     /* sends, or waits for room */
    even_handle flush;              /* at the end of the turn */
    int fd;
    int lost;                       /* nothing goes out any more; asyncio's counter of writes since */
    bool socket;                    /* else it is written to as a file */
    bool apart;                     /* each chunk is a message: nothing is joined */
    bool tries_first;               /* the end of a turn writes what it can, before it leaves the rest to an operation */
    char tell_flushed;              /* somebody waits for all to be sent: the end, a shutdown, sendfile */
    PyObject **chunks;              /* not yet being sent: from `first` */
    size_t first, count, capacity;
    PyObject *sending;
    size_t sent, size;              /* of `sending`; of all that is to be sent */
};

/* Find the slots of asyncio's flow-control class, the base of those with an output. */
int output_find_slots(struct state *state, PyObject *base);

/* Once held_init() was called. */
void output_init(struct output *o, int fd, bool socket, bool apart);

static inline bool output_is_sending(const struct output *o)
{
    return even_op_is_pending(&o->op) || even_handle_is_queued(&o->op.handle);
}

/* What write() was given, as bytes: a new reference; NULL with an exception. Its class may be the program's, and its methods
 * close or abort: so the writer looks at its state after this. */
PyObject *output_chunk(PyObject *data);
/* The write() of a chunk, whose reference it takes, while nothing is lost. */
PyObject *output_write(struct output *o, PyObject *chunk);
/* How much is still to be sent. */
size_t output_size(struct output *o);
/* The turn is over for it, now: what it wrote goes with the next wait. */
void output_end_turn(struct output *o);
/* What the kernel takes without waiting, now. Failures are for the operation that comes after it. */
void output_send_now(struct output *o);
/* Send what goes at once. True if there is more to come: bytes that are left, or a protocol that is to go on and may write. */
PyObject *output_flush_now(struct output *o);
/* What the kernel takes goes out now, behind what was handed over to it before; for what comes then is an abort. */
void output_send_last(struct output *o);
/* A run ends: what was written goes out before. */
void outputs_flush(struct loop *loop);
/* Nothing more goes out: what waits is forgotten, what is being sent is asked to end. */
void output_stop(struct output *o);
/* The core's loop is gone. */
void output_drop(struct output *o);
/* The object ends. */
void output_free(struct output *o);

#endif
