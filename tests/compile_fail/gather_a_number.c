/* into: this is not an awaitable */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    int x;
    return await(gather(into(&x, 3)));  /* here */
}
