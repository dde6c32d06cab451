/* await: this is not an awaitable */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    return await(42);   /* here */
}
