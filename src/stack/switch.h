/* The context switch: inline assembly that stores stack pointer, frame pointer and resume address, and tells the compiler
 * that every other register is gone, so that it saves just those that live. A jump, not a return: return prediction would
 * miss (1.1 ns against 9.2). Control words of the floating-point unit stay as they are: they belong to the thread. */
#ifndef EVEN__SWITCH_H
#define EVEN__SWITCH_H

#include "../base/thread.h"

/* The first code of a new stack, in entry.S: calls even__stack_main(), which never returns; ends the frame chain. */
void even__stack_entry(void);

#if defined(__x86_64__)

#if defined(__AVX512F__)
#define EVEN__WIDE_REGISTERS                                                                                           \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27",      \
        "xmm28", "xmm29", "xmm30", "xmm31", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define EVEN__WIDE_REGISTERS
#endif

/* Compiled with -mno-red-zone: what lies under the stack pointer is not ours once we have left. */
#define even__switch_asm(from, to)                                                                                     \
    do {                                                                                                               \
        struct even__context *even__f = (from), *even__t = (to);                                                       \
        __asm__ volatile("leaq 1f(%%rip), %%rax\n\t"                                                                   \
                         "movq %%rsp, 0(%0)\n\t"                                                                       \
                         "movq %%rbp, 8(%0)\n\t"                                                                       \
                         "movq %%rax, 16(%0)\n\t"                                                                      \
                         "movq 0(%1), %%rsp\n\t"                                                                       \
                         "movq 8(%1), %%rbp\n\t"                                                                       \
                         "jmpq *16(%1)\n"                                                                              \
                         "1:"                                                                                          \
                         : "+D"(even__f), "+S"(even__t)                                                                \
                         :                                                                                             \
                         : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc",     \
                           "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",   \
                           "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15" EVEN__WIDE_REGISTERS);                 \
    } while (0)

#elif defined(__aarch64__)

#ifdef __ARM_FEATURE_SVE
#define EVEN__WIDE_REGISTERS                                                                                           \
    , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13", "p14", "p15"
#else
#define EVEN__WIDE_REGISTERS
#endif

/* x18 too: only where it is the platform's would it keep its value, and Linux leaves it to the compiler. */
#define even__switch_asm(from, to)                                                                                     \
    do {                                                                                                               \
        register struct even__context *even__f __asm__("x0") = (from);                                                 \
        register struct even__context *even__t __asm__("x1") = (to);                                                   \
        __asm__ volatile("adr x9, 1f\n\t"                                                                              \
                         "mov x10, sp\n\t"                                                                             \
                         "stp x10, x29, [%0]\n\t"                                                                      \
                         "str x9, [%0, #16]\n\t"                                                                       \
                         "ldp x10, x29, [%1]\n\t"                                                                      \
                         "ldr x9, [%1, #16]\n\t"                                                                       \
                         "mov sp, x10\n\t"                                                                             \
                         "br x9\n"                                                                                     \
                         "1:"                                                                                          \
                         : "+r"(even__f), "+r"(even__t)                                                                \
                         :                                                                                             \
                         : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",   \
                           "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28",  \
                           "x30", "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",   \
                           "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",  \
                           "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31" EVEN__WIDE_REGISTERS);               \
    } while (0)

#else
#error "evenloop has a context switch for x86-64 and for aarch64"
#endif

#endif
