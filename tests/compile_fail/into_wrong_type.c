/* type is not that of the result */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x), (int, y)) { return x + y; }

async(int, program)
{
    const char *text;
    return await(gather(into(&text, answer(1, 2))));    /* here */
}
