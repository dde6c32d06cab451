/* makes integer from pointer|incompatible pointer to integer */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, answer, (int, x)) { return x; }

async(int, program)
{
    even_server *server;
    return await(even_start_server(&server, answer(EVEN_STREAM), "localhost", 7000));     /* here */
}
