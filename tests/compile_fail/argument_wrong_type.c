/* incompatible type */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

async(int, count, (const char *, text)) { return *text; }

async(int, program)
{
    struct { int x; } point = { 1 };
    return await(count(point));     /* here */
}
