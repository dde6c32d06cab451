/* invalid initializer|incompatible type */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    struct { int x; } point = await(even_sleep(1));   /* here */
    return point.x;
}
