/* The system-call edge: the one place where errno becomes a negative number, and where tests make calls fail.
 *
 * even__sys(call(...)) gives the call's result, or -errno. In a build with EVEN_FAULTS, the Nth such call of a
 * test fails without being made (faults.h); the same counter runs over allocations apart.
 */
#ifndef EVEN__SYS_H
#define EVEN__SYS_H

#include <errno.h>
#include <stdbool.h>

#ifdef EVEN_FAULTS
/* 0: go on; else the negative errno to fail with. `what` is the text of the call. */
int even__fault_syscall(const char *what);
bool even__fault_memory(void);
#else
#define even__fault_syscall(what) 0
#define even__fault_memory() false
#endif

#define even__sys(call)                                                                                                \
    __extension__({                                                                                                    \
        long even__sys_r = even__fault_syscall(#call);                                                                 \
        if (even__sys_r == 0 && (even__sys_r = (long)(call)) == -1)                                                    \
            even__sys_r = -errno;                                                                                      \
        even__sys_r;                                                                                                   \
    })

/* For mmap() and its like: the pointer, or NULL. */
#define even__sys_map(call)                                                                                            \
    __extension__({                                                                                                    \
        void *even__sys_p = even__fault_memory() ? MAP_FAILED : (call);                                                \
        even__sys_p == MAP_FAILED ? NULL : even__sys_p;                                                                \
    })

#endif
