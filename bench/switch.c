/* The raw switch pair, there and back, N times: `bench_switch N`. Needs the library's own header, and no library. */
#include "../src/stack/switch.h"
#include "gate.h"
#include <stdint.h>
#include <stdlib.h>

enum { STACK = 65536 };

static struct even__context here, there;

__attribute__((noreturn)) static void other_side(void)
{
    for (;;)
        even__switch_asm(&there, &here);
}

__attribute__((noinline)) static void pairs(unsigned long long n)
{
    for (unsigned long long i = 0; i < n; i++)
        even__switch_asm(&here, &there);
}

int main(int argc, char **argv)
{
    unsigned long long n = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    char *stack = malloc(STACK);
    if (!stack)
        return 1;
    /* As a call would leave it: 8 bytes off an alignment of 16 on x86-64, where a return address stands. */
    uintptr_t top = ((uintptr_t)stack + STACK) & ~(uintptr_t)15;
#ifdef __x86_64__
    top -= 8;
#endif
    there.sp = (void *)top;
    there.pc = (void *)(uintptr_t)other_side;
    pairs(10000);
    gate_open();
    pairs(n);
    gate_close(n, "");
    free(stack);
    return 0;
}
