/* requires 2 arguments|too few arguments provided */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int x))     /* here */
{
    return x;
}
