/* this is not an awaitable */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    return await(wait_for(3, 1.0));     /* here */
}
