/* The public header by itself, as C and as C++: nothing else is included, and the plain functions can be named. */
#include <evenloop.h>

int use_it(even_loop *loop, even_timer *timer);
int use_it(even_loop *loop, even_timer *timer)
{
    static even_handle handle = EVEN_HANDLE(0);
    even_call_soon(loop, &handle);
    even_unref(&even_sleep(0.5)->base);
    return even_call_later(loop, timer, 1.5);
}
