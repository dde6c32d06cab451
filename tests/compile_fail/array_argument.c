/* expected ')'|expected ‘;’, ‘,’ or ‘)’ */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, sum, (int[3], numbers))  /* here */
{
    return 0;
}
