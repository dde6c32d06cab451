/* What bytes come from and go to: the table that each kind of end fills in. A socket does (socket.c), memory does in the
 * tests; a pipe and TLS over another pair of ends fit it, too.
 *
 * An end brings bytes in one of two ways, and may change between them. It says that there is something, and the source takes it
 * when it wants to:
 *
 *     source: start()  ->  end: even__source_over(r, 1)  ->  source: take(), take(), ... until -EAGAIN  ->  start() again
 *
 * An end that can say so again without being asked stays at work meanwhile:
 *
 *     source: start()  ->  end: even__source_ready(r)  ->  source: take(), ... until -EAGAIN  ->  end: even__source_ready(r)
 *
 * Or it hands over pieces of memory as they come, until it is stopped or has to end:
 *
 *     source: start()  ->  end: even__source_piece(), even__source_piece(), ...  ->  even__source_over(r, why)
 *
 * Between start() and even__source_over() the end is at work, and the source is active. All of it is the loop's thread's.
 *
 * What is sent is put piece by piece, one at a time:
 *
 *     sink: put()  ->  end: even__sink_went(s, so many)  ->  sink: put(), ...  ->  sink: shutdown()
 */
#ifndef EVEN__ENDS_H
#define EVEN__ENDS_H

#include <evenloop/loop.h>

struct even__sink;

struct even__end {
    const char *what;               /* "socket": what it is, for people */

    /* ---- a source's ---- */

    /* Bring what comes. With r->direct set it hands over no pieces. Ends with even__source_over(), perhaps at once. */
    void (*start)(even_receiver *r);
    /* Bring no more: even__source_over() comes soon, with -ECANCELED unless something else came first. */
    void (*stop)(even_receiver *r);
    /* After it said that there is something: as recv(2), with a negative errno; -EAGAIN: nothing now. An end that is
     * still at work says when there is more; it clears r->working where it cannot promise that, and after 0 or a
     * failure. */
    ssize_t (*take)(even_receiver *r, void *buffer, size_t size);

    /* ---- a sink's ---- */

    /* Send n > 0 bytes, or some of them. Ends with even__sink_went(), never from inside this call; they stay until then. */
    void (*put)(struct even__sink *s, const void *data, size_t n);
    /* Nothing comes behind what was sent: 0 or a negative errno. */
    int (*shutdown)(struct even__sink *s);
    /* What was put need not be sent: even__sink_went() comes soon, with -ECANCELED unless something else came first. */
    void (*cancel)(struct even__sink *s);
};

extern const struct even__end even__end_socket;

#endif
