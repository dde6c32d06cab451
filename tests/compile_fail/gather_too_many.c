/* at_most_16|non-integer type */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, program)
{
    return await(gather(even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1), even_sleep(1)));     /* here */
}
