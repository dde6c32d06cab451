/* too few arguments to function */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x), (int, y)) { return x + y; }

async(int, program)
{
    return await(answer(1));    /* here */
}
