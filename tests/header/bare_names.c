/* Without EVEN_SHORT_NAMES no bare word is taken. */
#include <evenloop.h>

int async(int await, int into);
int async(int await, int into)
{
    int gather = await, shield = into, wait_for = 1, create_task = 2, try_await = 3, gather_n = 4;
    return gather + shield + wait_for + create_task + try_await + gather_n;
}
