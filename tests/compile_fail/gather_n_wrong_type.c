/* type is not that of the results */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x), (int, y)) { return x + y; }

async(int, program)
{
    struct answer_co *objects[2] = { answer(1, 2), answer(3, 4) };
    double results[2];
    return await(gather_n(2, objects, results));    /* here */
}
