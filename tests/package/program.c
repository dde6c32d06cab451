#define EVEN_SHORT_NAMES
#include <evenloop.h>
#include <stdio.h>

async(int, program)
{
    return await(even_sleep(0.001));
}

int main(void)
{
    int rc = even_run(program());
    printf("%s: %s\n", even_version(), even_strerror(rc));
    return rc != 0;
}
