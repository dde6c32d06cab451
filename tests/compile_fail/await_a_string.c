/* await: this is a function|not an awaitable */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    return await("a string");   /* here */
}
