/* A handle, and a timer, that notes that it ran, and then does something: so that a test tells in one word what ran when. */
#ifndef EVEN_TEST_NOTE_H
#define EVEN_TEST_NOTE_H

#include "test.h"
#include <evenloop/loop.h>
#include <string.h>

struct note {
    even_handle handle;
    even_timer timer;
    even_loop *loop;
    char name;                      /* 0: it notes nothing */
    void (*then)(struct note *self);
    struct note *other;
    int left;
};

static char story[256];

__attribute__((unused)) static void begin_story(void) { story[0] = 0; }

static void tell(struct note *n)
{
    const size_t length = strlen(story);
    if (length + 1 < sizeof story) {
        story[length] = n->name;
        story[length + 1] = 0;
    }
    if (n->then)
        n->then(n);
}

static void note_run(even_handle *h) { tell(even_container_of(h, struct note, handle)); }
static void note_timer(even_handle *h) { tell(even_container_of(h, struct note, timer.handle)); }

static struct note note(even_loop *loop, char name, void (*then)(struct note *))
{
    return (struct note){ .handle = EVEN_HANDLE(note_run), .timer = EVEN_TIMER(note_timer), .loop = loop, .name = name,
                          .then = then };
}

static void stop(struct note *n) { even_loop_stop(n->loop); }
static void queue_other(struct note *n) { even_call_soon(n->loop, &n->other->handle); }

#endif
