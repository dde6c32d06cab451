/* even_fail_and_try_await_belong_into_an_async_body */
#define EVEN_SHORT_NAMES
#include <evenloop.h>

int main(void)
{
    try_await(even_sleep(1));   /* here */
    return 0;
}
