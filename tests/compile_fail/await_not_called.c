/* await: this is a function, or text; was it called, as in await(f(...))? */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x), (int, y)) { return x + y; }

async(int, program)
{
    return await(answer);   /* here */
}
