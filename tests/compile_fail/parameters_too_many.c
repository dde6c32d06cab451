/* at_most_16|pasting */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g), (int, h), (int, i), (int, j), (int, k), (int, l), (int, m), (int, n), (int, o), (int, p), (int, q))     /* here */
{
    return a;
}
