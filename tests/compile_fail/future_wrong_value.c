/* incompatible type */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

EVEN_FUTURE(text_future, const char *);

async(int, program)
{
    struct text_future *f = even_future_new(struct text_future);
    struct { int x; } point = { 1 };
    return even_set_result(f, point);   /* here */
}
