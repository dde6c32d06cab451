/* even_start_server: this is a function, or text; was it called */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, echo, (even_stream *, s)) { (void)s; return 0; }

async(int, program)
{
    even_server *server;
    return await(even_start_server(&server, echo, "localhost", 7000));     /* here */
}
