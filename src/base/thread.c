/* The context of a thread: its number, and its end. */
#include "thread.h"
#include <pthread.h>
#include <stdatomic.h>

__thread struct even__thread even__thread;

static pthread_key_t key;
static int key_error;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A later destructor of the program's may use the library again: then pthread calls this once more. */
static void thread_ends(void *unused)
{
    (void)unused;
    while (even__thread.ends_count)
        even__thread.ends[--even__thread.ends_count]();
}

static void make_key(void)
{
    key_error = -pthread_key_create(&key, thread_ends);
}

int even__thread_at_end(void (*end)(void))
{
    pthread_once(&once, make_key);
    if (key_error < 0)
        return key_error;
    for (unsigned i = 0; i < even__thread.ends_count; i++)
        if (even__thread.ends[i] == end)
            return 0;       /* what it was to give back could not be made, perhaps, and is made now */
    int rc = -pthread_setspecific(key, &even__thread);
    if (rc == 0) {
        even__check(even__thread.ends_count < EVEN__THREAD_ENDS);
        even__thread.ends[even__thread.ends_count++] = end;
    }
    return rc;
}

uint64_t even__thread_new_number(void)
{
    static _Atomic uint64_t last;
    return even__thread.number = atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1;
}
