/* create_task: this is a function, or text; was it called, as in create_task(f(...))? */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x), (int, y)) { return x + y; }

async(int, program)
{
    return await(create_task(answer));  /* here */
}
